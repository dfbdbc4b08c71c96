"""Texts as arrays of ids, and what a model says of them; TensorFlow only, as tokenizers are."""

import keras
import numpy as np
import tensorflow as tf

from textkit.datasets.buckets import Buckets

INPUTS = ("token_ids", "segment_ids", "padding_mask")  # of a model
_AT_ONCE = 1024
_BUCKETS = 8


def encode(tokenizer, texts, pairs=None, **options):
    """Encodes texts however many they are.

    Args:
        tokenizer: `textkit.Tokenizer`.
        texts: list of str.
        pairs: list of str, the second text of each; or `None`.
        **options: of `Tokenizer.encode`.

    Returns:
        dict of arrays (n, t), all padded to the longest; see `Tokenizer.encode`.
    """
    return stack_rows(tokenizer, list(encoded_rows(tokenizer, texts, pairs, **options)))


def encoded_rows(tokenizer, texts, pairs=None, **options):
    """Yields what `encode` makes of each text, without padding: dict of arrays (t, ...)."""
    for start in range(0, len(texts), _AT_ONCE):
        chunk = slice(start, start + _AT_ONCE)
        encoded = tokenizer.encode(texts[chunk], None if pairs is None else pairs[chunk], **options)
        arrays = {name: values.numpy() for name, values in encoded.items()}
        for row, length in enumerate(arrays["padding_mask"].sum(axis=1)):
            yield {name: values[row, :length] for name, values in arrays.items()}


def stack_rows(tokenizer, rows):
    """Puts rows of `encoded_rows` below one another: dict of arrays (n, t, ...)."""
    fill = {"token_ids": tokenizer.pad_id, "segment_ids": 0, "padding_mask": False, "offsets": -1}
    return {name: _stack([row[name] for row in rows], fill[name]) for name in rows[0]}


def predict(model, inputs, of_tokens=False, batch_size=32, progress=None):
    """Runs a model on encoded texts, those of like length together.

    Args:
        model: a model with a head.
        inputs: dict of arrays (n, t), see `encode`.
        of_tokens: bool, whether the logits are of tokens.
        batch_size: int.
        progress: callable of (done, total), or `None`.

    Returns:
        float32 (n, c) or, of tokens, (n, t, ...), 0 in padding; a dict of such where the model gives one.
    """
    ids, mask = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None), tf.bool)
    signature = {name: mask if name == "padding_mask" else ids for name in INPUTS}
    # One graph for all widths, which `model.predict` would make anew for each.
    run = tf.function(lambda batch: model(batch, training=False), input_signature=[signature], autograph=False)
    count, width = inputs["token_ids"].shape
    found, done = None, 0
    planned = Buckets((inputs["padding_mask"].sum(axis=1),), batch_size, None, _BUCKETS, 1)
    for rows, real, (longest,) in planned.batches(None):
        outputs = run({name: tf.constant(inputs[name][rows, :longest]) for name in INPUTS})
        outputs = keras.tree.map_structure(lambda values: values.numpy()[:real], outputs)  # noqa: B023 -- used at once
        if found is None:
            found = keras.tree.map_structure(lambda values: _room(values, count, width, of_tokens), outputs)
        for room, values in zip(keras.tree.flatten(found), keras.tree.flatten(outputs), strict=True):
            if of_tokens:
                room[rows[:real], :longest] = values
            else:
                room[rows[:real]] = values
        done += real
        if progress:
            progress(done, count)
    return found


def _room(values, count, width, of_tokens):
    shape = (count, width, *values.shape[2:]) if of_tokens else (count, *values.shape[1:])
    return np.zeros(shape, values.dtype)


def _stack(rows, fill):
    """Arrays (t, ...) of unlike lengths as one, (n, most t, ...), padded with `fill`."""
    stacked = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), fill, rows[0].dtype)
    for place, row in zip(stacked, rows, strict=True):
        place[: len(row)] = row
    return stacked
