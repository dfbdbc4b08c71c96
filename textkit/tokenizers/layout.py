"""Rows of one or two texts: truncated tokens with special tokens around them."""

import tensorflow as tf

# The layout for one text, and for two: special tokens and texts (0 and 1), each with its segment id.
TEMPLATES = {
    "bert": (
        (("start", 0), (0, 0), ("end", 0)),
        (("start", 0), (0, 0), ("end", 0), (1, 1), ("end", 1)),
    ),
    "roberta": (
        (("start", 0), (0, 0), ("end", 0)),
        (("start", 0), (0, 0), ("end", 0), ("end", 0), (1, 0), ("end", 0)),
    ),
    "none": (((0, 0),), ((0, 0), (1, 0))),
}


def special_purposes(template, num_texts=2):
    """The special tokens of a template.

    Args:
        template: str, a name in `TEMPLATES`.
        num_texts: int, 1 or 2.

    Returns:
        list of str, "start" and "end" in their order.
    """
    return [what for what, _ in TEMPLATES[template][num_texts - 1] if isinstance(what, str)]


def arrange(template, parts, special, max_length, names):
    """Makes rows of texts and special tokens.

    Args:
        template: str, a name in `TEMPLATES`.
        parts: list of one or two `Pieces`, of b texts each.
        special: dict from purpose ("start", "end") to the id of the special token.
        max_length: int32 scalar, the maximum number of tokens of a row.
        names: list of the columns: "ids", "begins", "ends" and "words" as in `Pieces`; "parts", the text of the token, 0 or
            1; "segments", its segment id. All except "ids" and "segments" are -1 for special tokens.

    Returns:
        int32 ragged (b, n, len(names)).
    """
    layout = TEMPLATES[template][len(parts) - 1]
    counts = _counts(parts, max_length - len(special_purposes(template, len(parts))))
    num_texts = parts[0].ids.nrows(tf.int32)

    def rows_of(what, segment):
        known = {"segments": segment}
        if isinstance(what, str):
            known |= {"ids": special[what]}
            return tf.tile([[[known.get(name, -1) for name in names]]], (num_texts, 1, 1))
        known |= {"parts": what}
        size = tf.size(parts[what].ids.values)
        columns = [tf.fill((size,), known[name]) if name in known else getattr(parts[what], name).values for name in names]
        return _head(parts[what].ids.with_values(tf.stack(columns, axis=1)), counts[what])

    return tf.concat([rows_of(what, segment) for what, segment in layout], axis=1)


def _counts(parts, room):
    """The number of tokens (b,) to keep of each text; of two texts the longer one is truncated first.

    Of equally long texts the second is truncated first, as in the `tokenizers` library.
    """
    lengths = [tf.cast(pieces.ids.row_lengths(), tf.int32) for pieces in parts]
    if len(parts) == 1:
        return [tf.minimum(lengths[0], room)]
    shorter = tf.minimum(tf.minimum(*lengths), room // 2)
    longer = tf.minimum(tf.maximum(*lengths), room - shorter)
    first_is_longer = lengths[0] > lengths[1]
    return [tf.where(first_is_longer, longer, shorter), tf.where(first_is_longer, shorter, longer)]


def _head(rows, counts):
    """The first `counts`, int32 (b,), elements of ragged rows (b, n, ...)."""
    row = rows.value_rowids()
    place = tf.range(tf.size(row)) - tf.cast(tf.gather(rows.row_starts(), row), tf.int32)
    kept = tf.boolean_mask(rows.values, place < tf.gather(counts, row))
    return tf.RaggedTensor.from_row_lengths(kept, tf.cast(counts, tf.int64), validate=False)
