"""The base of every model of both kits."""

import keras

if keras.backend.backend() == "tensorflow":
    from shared_layers.runtime.replicas import ReplicatedModel as BackendModel
else:
    BackendModel = keras.Model


class Model(BackendModel):
    """A `keras.Model` that trains under every `tf.distribute` strategy and knows presets."""
