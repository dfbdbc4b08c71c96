"""The base class of all models."""

import keras

from shared_layers.runtime.presets import Presets

if keras.backend.backend() == "tensorflow":
    from shared_layers.runtime.replicas import ReplicatedModel as BackendModel
else:
    BackendModel = keras.Model


class Model(Presets, BackendModel):
    """Base class of models: a `keras.Model` with presets, which trains on one device, several replicas or workers.

    `fit`, `evaluate` and `predict` have the same arguments as in Keras. Build and compile the model under the strategy's
    scope; training on several replicas or workers then gives the same weights as one process with the same global
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
