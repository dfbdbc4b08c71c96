"""The error for what only one of Keras's backends can do."""

import keras


def require_tensorflow(what):
    """Refuses to go on under another backend than TensorFlow.

    Args:
        what: str, what needs it ("A strategy").

    Raises:
        ValueError: under another backend.

    Example:
        >>> require_tensorflow("A strategy")
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(f"{what} needs Keras's TensorFlow backend. Received: KERAS_BACKEND={backend}")
