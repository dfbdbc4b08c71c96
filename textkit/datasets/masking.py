"""Data for masked-language-model pretraining: packed rows of tokens, masked anew in each epoch; TensorFlow only.

The input is token ids, with the index of the word that each token belongs to.
"""

import numpy as np
import tensorflow as tf

from shared_layers.runtime import check_ranges
from textkit.datasets.buckets import Buckets

NO_WORD = -1  # special tokens and padding, which are never masked

# A selected token is replaced by the mask (80 %), by a random token (10 %), or kept (10 %).
_MASK_TOKEN_RATE, _RANDOM_TOKEN_RATE = 0.8, 0.1

_RANGES = {
    "max_length": ("of at least 3 tokens", lambda value: value >= 3),
    "mask_selection_rate": ("in (0, 1)", lambda value: 0 < value < 1),
}


def words_between_spaces(text, offsets):
    """Finds the word of each token where words are separated by spaces, for example in segmented Chinese text.

    Args:
        text: str.
        offsets: int (n, 2), the characters where each token begins and ends; -1 for special tokens.

    Returns:
        int32 (n,), word indices from 0 (from 1 if the text begins with a space); `NO_WORD` for special tokens.

    Example:
        >>> words_between_spaces("新年 讲话", [[-1, -1], [0, 1], [1, 2], [3, 4], [4, 5], [-1, -1]])
        array([-1,  0,  0,  1,  1, -1], dtype=int32)
    """
    space = np.array([False, *(character.isspace() for character in text)])
    words = np.cumsum(space[1:] & ~space[:-1])
    begins = np.asarray(offsets)[:, 0]
    return np.where(begins < 0, NO_WORD, words[np.maximum(begins, 0)] if len(text) else NO_WORD).astype("int32")


def pack(documents, max_length, *, start_id, end_id, pad_id=0, cross_documents=True, cut_sentences=False):
    """Packs sentences of documents into rows, as many as fit in `max_length` tokens.

    A row is RoBERTa's "full sentences": a start token, consecutive sentences, and an end token; an end token also separates
    documents within a row. All tokens of a row attend to each other, and all segment ids are 0: there is no next-sentence
    prediction.

    Args:
        documents: iterable of documents, each a list of sentences (or lines, or paragraphs). A sentence is two int sequences
            (n,): token ids without special tokens, and word indices, equal for neighbouring tokens of one word.
        max_length: int, the maximum number of tokens of a row, special tokens included.
        start_id: int, the id of the start token, see `textkit.Tokenizer`.
        end_id: int, the id of the end token.
        pad_id: int, the id of the padding token.
        cross_documents: bool, whether a row may continue with the next document. If False, a row ends with its document
            ("doc sentences"), and many rows are short.
        cut_sentences: bool, whether a sentence may continue in the next row, so that rows are full. If False, only
            sentences longer than a row are cut.

    Returns:
        dict of arrays (n, t), t at most `max_length`: "token_ids" int32; "word_ids" int32, counted from 0 in each row,
        `NO_WORD` for special tokens and padding; "padding_mask" bool, True for tokens.

    Raises:
        ValueError: `max_length` below 3, no tokens, or token ids and word indices of different lengths.

    Reference:
        Liu et al., "RoBERTa: A Robustly Optimized BERT Pretraining Approach", 2019, section 4.2.
    """
    check_ranges(_RANGES, max_length=max_length)
    rows = [_framed(row, start_id, end_id) for row in _rows(documents, max_length - 2, cross_documents, cut_sentences)]
    if not rows:
        raise ValueError("Expected documents with at least one token. Received: none")
    lengths = np.array([len(ids) for ids, _ in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    packed = {"token_ids": np.full(mask.shape, pad_id, "int32"), "word_ids": np.full(mask.shape, NO_WORD, "int32")}
    packed["token_ids"][mask], packed["word_ids"][mask] = (np.concatenate(column) for column in zip(*rows, strict=True))
    return {**packed, "padding_mask": mask}


def masked_batches(
    packed,
    *,
    mask_id,
    vocabulary_size,
    special_ids=(),
    mask_selection_rate=0.15,
    whole_words=False,
    batch_size=None,
    batch_tokens=None,
    buckets=8,
    training=False,
    seed=0,
    first_epoch=None,
    multiple_of=1,
):
    """Makes batches of masked rows for `fit` or `evaluate`; in training, the masks are drawn anew in each epoch.

    Of the selected tokens 80 % are replaced by the mask, 10 % by a random token, and 10 % are kept. Rows of similar length
    share a batch, see `textkit.datasets.buckets.Buckets`; an incomplete batch is filled with repeated rows of weight 0.

    Args:
        packed: dict of arrays, as returned by `pack`.
        mask_id: int, the id of the mask token.
        vocabulary_size: int.
        special_ids: iterable of int, ids that are never used as random tokens.
        mask_selection_rate: float in (0, 1), the fraction of a row's tokens (without special tokens) that are selected for
            prediction.
        whole_words: bool, whether all tokens of a word are selected together. Words are drawn until the next one would
            exceed the rate, so slightly fewer tokens are selected.
        batch_size: int, the maximum number of rows of a batch. Exactly one of `batch_size` and `batch_tokens` is given.
        batch_tokens: int, the maximum number of tokens of a batch, padding included.
        buckets: int, see `textkit.datasets.buckets.Buckets`.
        training: bool, whether to shuffle and to draw new masks in each epoch.
        seed: int, for the order and the masks. The same seed gives the same batches in each epoch.
        first_epoch: int or `None`, see `textkit.datasets.batches`.
        multiple_of: int, the number of rows of every batch is a multiple of it: the number of replicas.

    Returns:
        `tf.data.Dataset` of ({"token_ids", "segment_ids" int32 (b, n), "padding_mask" bool (b, n), "mask_positions" int32
        (b, m)}, labels int32 (b, m), weights float32 (b, m)), m the maximum number of selected tokens of a row. In rows with
        fewer, the remaining positions, labels and weights are 0.

    Raises:
        ValueError: an option out of its range.

    Reference:
        Devlin et al. 2019, section 3.1; whole-word masking as in BERT's code, May 2019.
    """
    check_ranges(_RANGES, mask_selection_rate=mask_selection_rate)
    random_ids = tf.constant(np.setdiff1d(np.arange(vocabulary_size), list(special_ids)), tf.int32)
    mask = packed["padding_mask"]

    def make(rows, real, widths):
        arrays = (packed[name][rows, : widths[0]] for name in ("token_ids", "word_ids", "padding_mask"))
        return *arrays, (np.arange(len(rows)) < real).astype("float32")

    def change(token_ids, word_ids, padding_mask, real, seeds):
        masked, positions, labels, chosen = mask_tokens(
            token_ids, word_ids, seeds, mask_id, random_ids, mask_selection_rate, whole_words
        )
        inputs = {
            "token_ids": masked,
            "segment_ids": tf.zeros_like(token_ids),
            "padding_mask": padding_mask,
            "mask_positions": positions,
        }
        return inputs, labels, tf.cast(chosen, tf.float32) * real[:, None]

    ids = tf.TensorSpec((None, None), tf.int32)
    signature = (ids, ids, tf.TensorSpec((None, None), tf.bool), tf.TensorSpec((None,), tf.float32))
    planned = Buckets((mask.sum(axis=1),), batch_size, batch_tokens, buckets, multiple_of)
    return planned.dataset(make, signature, training, seed, first_epoch, lambda batch, seeds: change(*batch, seeds))


def maskable_share(packed, mask_selection_rate=0.15):
    """Computes how much of the selection rate whole-word masking can reach, as some words are too long to be selected.

    Args:
        packed: dict of arrays, as returned by `pack`.
        mask_selection_rate: float in (0, 1), see `masked_batches`.

    Returns:
        float in [0, 1], the selectable tokens divided by the tokens to select.

    Example:
        >>> words = [0] + 9 * [1]  # 2 of the 10 tokens are to be selected: the word of 9 tokens is too long
        >>> maskable_share({"word_ids": np.array([[-1, *words, -1]])})
        0.5
    """
    word_ids = packed["word_ids"]
    can = word_ids >= 0
    wanted = _count_selected(mask_selection_rate, can.sum(axis=1)).numpy()
    numbers = np.arange(len(word_ids))[:, None] * word_ids.shape[1] + word_ids
    sizes = np.bincount(numbers[can], minlength=word_ids.size)
    fitting = (can & (sizes[np.where(can, numbers, 0)] <= wanted[:, None])).sum(axis=1)
    return float(np.minimum(fitting, wanted).sum() / wanted.sum())


def mask_tokens(token_ids, word_ids, seed, mask_id, random_ids, mask_selection_rate=0.15, whole_words=False):
    """Selects tokens for prediction and masks them; runs in a graph, and is deterministic given the seed.

    Args:
        token_ids: int32 tensor (b, n).
        word_ids: int32 tensor (b, n), the word of each token, below n; `NO_WORD` for tokens that may not be selected.
        seed: int32 tensor (2,).
        mask_id: int, the id of the mask token.
        random_ids: int32 tensor (k,), the ids that random tokens are drawn from.
        mask_selection_rate: float in (0, 1), see `masked_batches`.
        whole_words: bool, see `masked_batches`.

    Returns:
        tuple: masked token ids int32 (b, n); positions int32 (b, m), ascending; labels int32 (b, m), the original ids there;
        and a mask bool (b, m), True for a selected token. m is `mask_selection_rate * n` rounded, at least 1.
    """
    shape = tf.shape(token_ids)
    order_seed, action_seed, random_seed = tf.unstack(tf.random.split(seed, 3))
    can = word_ids >= 0
    wanted = _count_selected(mask_selection_rate, tf.reduce_sum(tf.cast(can, tf.int32), axis=1, keepdims=True))  # b 1
    places = tf.broadcast_to(tf.range(shape[1]), shape)
    drawn = tf.random.stateless_uniform(shape, order_seed)
    if whole_words:
        numbers = shape[1] * tf.range(shape[0])[:, None] + tf.maximum(word_ids, 0)
        sizes = tf.math.unsorted_segment_sum(tf.cast(can, tf.int32), numbers, shape[0] * shape[1])
        can &= tf.gather(sizes, numbers) <= wanted  # else a long word could end the draw with nothing selected
        drawn = tf.gather(drawn, tf.maximum(word_ids, 0), axis=1, batch_dims=1)
    drawn = tf.where(can, drawn, 2.0)
    # The number of tokens drawn up to this one, including the rest of its word.
    by_then = tf.searchsorted(tf.sort(drawn, axis=1), drawn, side="right")
    chosen = can & (by_then <= wanted)

    most = _count_selected(mask_selection_rate, shape[1])  # m
    positions = tf.argsort(tf.where(chosen, places, places + shape[1]), axis=1)[:, :most]
    there = tf.gather(chosen, positions, axis=1, batch_dims=1)
    positions = tf.where(there, positions, 0)
    labels = tf.where(there, tf.gather(token_ids, positions, axis=1, batch_dims=1), 0)

    action = tf.random.stateless_uniform(shape, action_seed)
    drawn_ids = tf.random.stateless_uniform(shape, random_seed, 0, tf.size(random_ids), dtype=tf.int32)
    unmasked = tf.where(action < _MASK_TOKEN_RATE + _RANDOM_TOKEN_RATE, tf.gather(random_ids, drawn_ids), token_ids)
    replaced = tf.where(action < _MASK_TOKEN_RATE, mask_id, unmasked)
    return tf.where(chosen, replaced, token_ids), positions, labels, there


def _count_selected(mask_selection_rate, count):
    """The number of tokens to select among `count`: at least one, as in BERT's code."""
    return tf.maximum(tf.cast(tf.round(mask_selection_rate * tf.cast(count, tf.float32)), tf.int32), 1)


def _rows(documents, room, cross_documents, cut_sentences):
    """Yields rows of at most `room` tokens: lists of (index of the document, ids, words)."""
    row, used = [], 0
    for number, document in enumerate(documents):
        for ids, words in document:
            if len(ids) != len(words):
                raise ValueError(f"Expected a word index for each token. Received: {len(words)} for {len(ids)} tokens")
            while len(ids):
                other = bool(row) and row[-1][0] != number
                free = room - used - other  # the end token between documents
                if row and (free < 1 or (other and not cross_documents) or (len(ids) > free and not cut_sentences)):
                    yield row
                    row, used = [], 0
                    continue
                row.append((number, ids[:free], words[:free]))
                used += min(len(ids), free) + other
                ids, words = ids[free:], words[free:]
    if row:
        yield row


def _framed(row, start_id, end_id):
    """A row's ids and word indices with special tokens added; words are counted from 0."""
    ids, words, after = [[start_id]], [[NO_WORD]], 0
    for place, (number, some_ids, some_words) in enumerate(row):
        if place and row[place - 1][0] != number:
            ids.append([end_id])
            words.append([NO_WORD])
        some_words = np.asarray(some_words)
        counted = after + np.cumsum(np.diff(some_words, prepend=some_words[0]) != 0)
        after = counted[-1] + 1
        ids.append(some_ids)
        words.append(np.where(some_words < 0, NO_WORD, counted))
    return np.concatenate([*ids, [end_id]]), np.concatenate([*words, [NO_WORD]])
