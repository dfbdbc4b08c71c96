"""The base of every model of both kits."""

import keras

from shared_layers.runtime.presets import Presets

if keras.backend.backend() == "tensorflow":
    from shared_layers.runtime.replicas import ReplicatedModel as BackendModel
else:
    BackendModel = keras.Model


class Model(Presets, BackendModel):
    """A `keras.Model` that is made from presets and trains on one device, mirrored, or on several workers.

    `fit`, `evaluate` and `predict` take what Keras's take. Build and compile the model under the strategy's
    scope; several replicas or workers then reach the weights that one process reaches with the same global
    batches, also with gradient accumulation, clipping, loss scaling and a moving average of the weights.

    Example:
        >>> from shared_layers.runtime import get_strategy
        >>> class Halves(Model):
        ...     def call(self, inputs):
        ...         return inputs / 2
        >>> with get_strategy("mirrored").scope():
        ...     model = Halves()
        >>> model.predict(keras.ops.ones((3, 1)), verbose=0).tolist()
        [[0.5], [0.5], [0.5]]
    """
