"""Pretraining on masked words: documents packed into rows of tokens, and masks drawn anew in each epoch; TensorFlow only.

It knows ids alone: a tokenizer has turned the documents into ids, and says which word each belongs to.
"""

import numpy as np
import tensorflow as tf

from shared_layers.runtime import check_ranges
from textkit.datasets.buckets import Buckets

NO_WORD = -1  # special tokens and padding, which are never masked

# What becomes of a token that is to be told: mostly it is masked, else another stands in its place, or itself.
_MASKED, _REPLACED = 0.8, 0.1

_RANGES = {
    "max_length": ("of at least 3 tokens", lambda value: value >= 3),
    "rate": ("in (0, 1)", lambda value: 0 < value < 1),
}


def words_between_spaces(text, offsets):
    """Tells which word each token belongs to, where spaces divide the words: those of a segmented Chinese text, say.

    Args:
        text: str.
        offsets: int (n, 2), the characters where each token begins and ends; -1 of special tokens.

    Returns:
        int32 (n,), the words numbered from 0 (or 1, if the text begins with a space), `NO_WORD` of special tokens.

    Example:
        >>> words_between_spaces("新年 讲话", [[-1, -1], [0, 1], [1, 2], [3, 4], [4, 5], [-1, -1]])
        array([-1,  0,  0,  1,  1, -1], dtype=int32)
    """
    space = np.array([False, *(character.isspace() for character in text)])
    words = np.cumsum(space[1:] & ~space[:-1])
    begins = np.asarray(offsets)[:, 0]
    return np.where(begins < 0, NO_WORD, words[np.maximum(begins, 0)] if len(text) else NO_WORD).astype("int32")


def pack(documents, max_length, *, start_id, end_id, pad_id=0, cross_documents=True, cut_sentences=False):
    """Puts documents into rows, as many sentences in each as there is room for.

    A row is RoBERTa's "full sentences": a start, sentences one after the other, of one document or of several with an end
    between them, and an end. Tokens of all of them attend to each other, and all segments are 0: there is no next sentence
    to predict.

    Args:
        documents: iterable of documents: lists of sentences (or lines, or paragraphs), each two int sequences (n,): the ids
            of its tokens, without special ones, and the numbers of their words, alike for neighbours that belong together.
        max_length: int, the most tokens of a row, special ones included.
        start_id: int, see `textkit.Tokenizer`, as the others.
        end_id: int.
        pad_id: int.
        cross_documents: bool, whether a row may go on with the next document; else a row ends where its document does
            ("doc sentences"), so that many are short.
        cut_sentences: bool, whether sentences go on in the next row, so that rows are full; else only what is longer than a
            row is cut.

    Returns:
        dict of arrays (n, t), t at most `max_length`: "token_ids" int32; "word_ids" int32, numbered from 0 in each row,
        `NO_WORD` of special tokens and padding; "padding_mask" bool.

    Raises:
        ValueError: a length out of its range, no tokens, or not as many words as tokens.

    Reference:
        Liu et al., "RoBERTa: A Robustly Optimized BERT Pretraining Approach", 2019, section 4.2.
    """
    check_ranges(_RANGES, max_length=max_length)
    rows = [_framed(row, start_id, end_id) for row in _rows(documents, max_length - 2, cross_documents, cut_sentences)]
    if not rows:
        raise ValueError("Expected documents with tokens in them. Received: none")
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
    rate=0.15,
    whole_words=False,
    batch_size=None,
    batch_tokens=None,
    buckets=8,
    training=False,
    seed=0,
    first_epoch=None,
    multiple_of=1,
):
    """Makes batches of rows in which some tokens are masked, others in each epoch, for `fit` or for `evaluate`.

    Of the tokens to tell, 80 % are masked, 10 % are others, any of the vocabulary, and 10 % stay. Rows of like length share
    a batch, see `textkit.datasets.buckets.Buckets`. Where a bucket's last batch lacks a row, one is repeated with weights 0.

    Args:
        packed: dict of arrays, as `pack` gives.
        mask_id: int, see `textkit.Tokenizer`.
        vocabulary_size: int.
        special_ids: iterable of int, ids that stand in no token's place.
        rate: float in (0, 1), the share of a row's tokens (special ones apart) that are to be told.
        whole_words: bool, whether all tokens of a word are chosen together. Words are drawn until the next does not fit into
            the share, so rather less than this is chosen.
        batch_size: int, the most rows of a batch; or
        batch_tokens: int, the most tokens of a batch, padding included. Just one of the two.
        buckets: int, see `Buckets`, as the others.
        training: bool, whether to shuffle. If not, the same tokens are masked every time.
        seed: int, of the order and of the masks: the same gives the same batches, epoch by epoch.
        first_epoch: int or `None`, see `textkit.datasets.batches`.
        multiple_of: int, divides the rows of every batch; as many as there are replicas.

    Returns:
        `tf.data.Dataset` of ({"token_ids", "segment_ids" int32 (b, n), "padding_mask" bool (b, n), "mask_positions" int32
        (b, m)}, labels int32 (b, m), weights float32 (b, m)), m as many as are told of a row of n tokens. Where fewer are,
        positions, labels and weights are 0.

    Raises:
        ValueError: an option out of its range.

    Reference:
        Devlin et al. 2019, section 3.1; whole words are those of BERT's own code, May 2019.
    """
    check_ranges(_RANGES, rate=rate)
    stand_ins = tf.constant(np.setdiff1d(np.arange(vocabulary_size), list(special_ids)), tf.int32)
    mask = packed["padding_mask"]

    def make(rows, real, widths):
        arrays = (packed[name][rows, : widths[0]] for name in ("token_ids", "word_ids", "padding_mask"))
        return *arrays, (np.arange(len(rows)) < real).astype("float32")

    def change(token_ids, word_ids, padding_mask, real, seeds):
        masked, positions, labels, chosen = mask_tokens(token_ids, word_ids, seeds, mask_id, stand_ins, rate, whole_words)
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


def maskable_share(packed, rate=0.15):
    """How much of what is to be told can be, where all tokens of a word are chosen together: words can be too long for it.

    Args:
        packed: dict of arrays, as `pack` gives.
        rate: float in (0, 1), see `masked_batches`.

    Returns:
        float in [0, 1].

    Example:
        >>> words = [0] + 9 * [1]  # of the 10 tokens 2 are to be told: 9 are too many
        >>> maskable_share({"word_ids": np.array([[-1, *words, -1]])})
        0.5
    """
    word_ids = packed["word_ids"]
    can = word_ids >= 0
    wanted = _share(rate, can.sum(axis=1)).numpy()
    numbers = np.arange(len(word_ids))[:, None] * word_ids.shape[1] + word_ids
    sizes = np.bincount(numbers[can], minlength=word_ids.size)
    fitting = (can & (sizes[np.where(can, numbers, 0)] <= wanted[:, None])).sum(axis=1)
    return float(np.minimum(fitting, wanted).sum() / wanted.sum())


def mask_tokens(token_ids, word_ids, seed, mask_id, stand_ins, rate=0.15, whole_words=False):
    """Chooses tokens that are to be told, and masks them; in the graph, and the same for the same seed.

    Args:
        token_ids: int32 tensor (b, n).
        word_ids: int32 tensor (b, n), the word of each token, below n; `NO_WORD` of what is not to be chosen.
        seed: int32 tensor (2,).
        mask_id: int.
        stand_ins: int32 tensor, the ids that may stand in a token's place.
        rate: float in (0, 1).
        whole_words: bool, see `masked_batches`.

    Returns:
        masked token ids int32 (b, n); positions int32 (b, m), in order; labels int32 (b, m), the tokens there; and bool
        (b, m), whether there is one. m is `rate` of n, at least 1.
    """
    shape = tf.shape(token_ids)
    order_seed, fate_seed, stand_in_seed = tf.unstack(tf.random.split(seed, 3))
    can = word_ids >= 0
    wanted = _share(rate, tf.reduce_sum(tf.cast(can, tf.int32), axis=1, keepdims=True))  # b 1
    places = tf.broadcast_to(tf.range(shape[1]), shape)
    drawn = tf.random.stateless_uniform(shape, order_seed)
    if whole_words:
        numbers = shape[1] * tf.range(shape[0])[:, None] + tf.maximum(word_ids, 0)
        sizes = tf.math.unsorted_segment_sum(tf.cast(can, tf.int32), numbers, shape[0] * shape[1])
        can &= tf.gather(sizes, numbers) <= wanted  # a longer word would end the draw, and leave a row of few without any
        drawn = tf.gather(drawn, tf.maximum(word_ids, 0), axis=1, batch_dims=1)
    drawn = tf.where(can, drawn, 2.0)
    # How many tokens are drawn by when this one is, with all of its word.
    by_then = tf.searchsorted(tf.sort(drawn, axis=1), drawn, side="right")
    chosen = can & (by_then <= wanted)

    positions = tf.argsort(tf.where(chosen, places, places + shape[1]), axis=1)[:, : _share(rate, shape[1])]
    there = tf.gather(chosen, positions, axis=1, batch_dims=1)
    positions = tf.where(there, positions, 0)
    labels = tf.where(there, tf.gather(token_ids, positions, axis=1, batch_dims=1), 0)

    fate = tf.random.stateless_uniform(shape, fate_seed)
    others = tf.gather(stand_ins, tf.random.stateless_uniform(shape, stand_in_seed, 0, tf.size(stand_ins), dtype=tf.int32))
    told = tf.where(fate < _MASKED, mask_id, tf.where(fate < _MASKED + _REPLACED, others, token_ids))
    return tf.where(chosen, told, token_ids), positions, labels, there


def _share(rate, count):
    """How many of so many tokens are to be told: at least one, as in BERT's own code."""
    return tf.maximum(tf.cast(tf.round(rate * tf.cast(count, tf.float32)), tf.int32), 1)


def _rows(documents, room, cross_documents, cut_sentences):
    """Yields rows of at most so many tokens: lists of (number of the document, ids, words)."""
    row, used = [], 0
    for number, document in enumerate(documents):
        for ids, words in document:
            if len(ids) != len(words):
                raise ValueError(f"Expected as many words as tokens. Received: {len(words)} for {len(ids)}")
            while len(ids):
                other = bool(row) and row[-1][0] != number
                free = room - used - other  # an end between documents takes a place
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
    """A row's ids and words, with special tokens, and words numbered from 0."""
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
