"""DropPath: stochastic depth."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="shared_layers")
class DropPath(keras.layers.Layer):
    """Stochastic depth: in training, drops a residual branch per example and scales kept ones by 1 / (1 - rate).

    Args:
        rate: float in [0, 1), probability that an example's branch is dropped.
        seed: int or `None`, random seed.

    Call arguments:
        inputs: float tensor (b, ...).
        training: bool, whether to drop branches.

    Returns:
        float tensor of the same shape.

    Raises:
        ValueError: a rate outside [0, 1).

    Reference: Huang et al. 2016, "Deep Networks with Stochastic Depth", section 3 (scaled at training time, not at test).
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` should lie in [0, 1). Received: rate={rate}")
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if rate else None
        self.supports_masking = True

    def build(self, input_shape):
        self.built = True

    def call(self, inputs, training=None):
        if not self.rate or not training:
            return inputs
        per_example = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        kept = keras.random.uniform(per_example, dtype="float32", seed=self.seed_generator) >= self.rate
        return inputs * ops.cast(kept, inputs.dtype) / (1 - self.rate)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}

    def compute_output_shape(self, input_shape):
        return input_shape
