"""LayerScale: a learned factor per channel on a residual branch."""

import keras


@keras.saving.register_keras_serializable(package="shared_layers")
class LayerScale(keras.layers.Layer):
    """LayerScale: multiplies each channel by a learned factor, initially small.

    Args:
        init_value: float, initial factor of every channel.

    Call arguments:
        inputs: float tensor (..., d).

    Returns:
        float tensor (..., d).

    Reference: Touvron et al. 2021, "Going deeper with Image Transformers", section 2.
    """

    def __init__(self, init_value=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.init_value = init_value
        self.supports_masking = True

    def build(self, input_shape):
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.init_value),
        )

    def call(self, inputs):
        return inputs * self.gamma

    def get_config(self):
        return {**super().get_config(), "init_value": self.init_value}

    def compute_output_shape(self, input_shape):
        return input_shape
