"""The check for features that need the TensorFlow backend."""

import keras


def require_tensorflow(what):
    """Raises under another Keras backend than TensorFlow.

    Args:
        what: str, what needs TensorFlow, for the message ("A strategy").

    Raises:
        ValueError: another backend.

    Example:
        >>> require_tensorflow("A strategy")
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(f"{what} needs Keras's TensorFlow backend. Received: KERAS_BACKEND={backend}")
