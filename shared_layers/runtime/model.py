"""The base of every model of both kits."""

import keras


class Model(keras.Model):
    """A `keras.Model` that trains under every `tf.distribute` strategy and knows presets."""
