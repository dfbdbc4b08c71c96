"""Predictor: predictions for many texts, batched by length; TensorFlow only, like tokenizers."""

import keras
import numpy as np
import tensorflow as tf

from textkit.encoding import DEFAULT_LENGTH, INPUTS, encode, most_tokens

_DTYPES = {name: tf.bool if name == "padding_mask" else tf.int32 for name in INPUTS}


class Predictor:
    """Runs a model on texts, in batches of similar length with little padding.

    A single graph serves all shapes; `model.predict` traces one for each new shape.

    Args:
        model: a `TextEncoder`, or a model with a head on one.
        batch_size: int, texts of a batch. Small batches have less padding; 8 is good on a CPU.

    Raises:
        ValueError: `batch_size` below 1.

    Example:

    >>> import numpy as np
    >>> from textkit import TextEncoder
    >>> from textkit.prediction import Predictor
    >>> encoder = TextEncoder(11, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16)
    >>> ids = np.array([[2, 7, 3, 0, 0], [2, 7, 5, 6, 3]])
    >>> found = Predictor(encoder)({"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids > 0})
    >>> found["pooled_output"].shape, found["sequence_output"].shape
    ((2, 8), (2, 5, 8))
    """

    def __init__(self, model, batch_size=8):
        if batch_size < 1:
            raise ValueError(f"Expected at least 1. Received: batch_size={batch_size}")
        self.model, self.batch_size = model, batch_size
        signature = {name: tf.TensorSpec((None, None), dtype) for name, dtype in _DTYPES.items()}
        self._run = tf.function(lambda batch: model(batch, training=False), input_signature=[signature], autograph=False)

    def __call__(self, texts, pairs=None, max_length=None, progress=None):
        """Computes the outputs for texts.

        Args:
            texts: list of str, for a model with a tokenizer; or dict of arrays (n, t), see `textkit.encoding.encode`.
            pairs: list of str, the second text of each; or `None`.
            max_length: int, for strings: texts are truncated to this many tokens. `None` for the number of learned
                positions of the model, or 512 if its positions are not learned.
            progress: callable of (done, total), or `None`.

        Returns:
            The outputs of the model, NumPy arrays (n, ...) in the order of the texts. Outputs for each token are (n, t,
            ...); their values at padding are undefined.

        Raises:
            ValueError: no texts, strings for a model without a tokenizer, or a length beyond its positions.
        """
        inputs = texts
        if not isinstance(texts, dict):
            most = most_tokens(self.model, max_length) or DEFAULT_LENGTH
            inputs = encode(self.model.tokenizer, texts, pairs, max_length=most)
        lengths = inputs["padding_mask"].sum(axis=1)
        if not len(lengths):
            raise ValueError("Expected texts. Received: none")
        order = np.argsort(lengths, kind="stable")
        found = self._room(len(order), inputs["token_ids"].shape[1])
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            longest = max(int(lengths[rows[-1]]), 1)
            outputs = self._run({name: tf.constant(inputs[name][rows, :longest], _DTYPES[name]) for name in INPUTS})
            for room, values in zip(keras.tree.flatten(found), keras.tree.flatten(outputs), strict=True):
                room[(rows, *(slice(size) for size in values.shape[1:]))] = values.numpy()
            if progress:
                progress(start + len(rows), len(order))
        return found

    def _room(self, count, width):
        """Zero arrays for the outputs of `count` texts of `width` tokens, the sizes that the graph leaves open."""

        def make(output):
            sizes = (width if size is None else size for size in output.shape[1:])
            return np.zeros((count, *sizes), output.dtype.as_numpy_dtype)

        return keras.tree.map_structure(make, self._run.get_concrete_function().structured_outputs)
