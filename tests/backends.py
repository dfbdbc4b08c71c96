"""Which backend a test needs."""

import keras
import pytest

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="tf.function, tf.distribute and SavedModel need Keras's TensorFlow backend",
)
