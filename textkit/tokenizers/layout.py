"""What an encoder reads of one text or two: their tokens, cut to a length, with special ones around them."""

import tensorflow as tf

# What one text becomes, or two: special tokens and texts (0 and 1), each with its segment.
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
    """The purposes of a template's special tokens, list of str, for one text or two."""
    return [what for what, _ in TEMPLATES[template][num_texts - 1] if isinstance(what, str)]


def arrange(template, parts, special, max_length, names):
    """Puts texts and special tokens in a row.

    Args:
        template: str, of `TEMPLATES`.
        parts: list of one `Pieces` or two, of b texts each.
        special: dict, the id of the special token for each purpose.
        max_length: int32 scalar, the most tokens of a row.
        names: list of what to say of each token: "ids", "begins", "ends" and "words" are those of `Pieces`, "parts" says
            which text it is of, 0 or 1; all are -1 for special tokens but the id. "segments" says which segment it is in.

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
    """How many tokens (b,) of each of one or two texts there is room for; the longer one of two is cut first.

    Of texts of one length it is the second, and the longer one keeps the odd token, as in the `tokenizers` library.
    """
    lengths = [tf.cast(pieces.ids.row_lengths(), tf.int32) for pieces in parts]
    if len(parts) == 1:
        return [tf.minimum(lengths[0], room)]
    shorter = tf.minimum(tf.minimum(*lengths), room // 2)
    longer = tf.minimum(tf.maximum(*lengths), room - shorter)
    first_is_longer = lengths[0] > lengths[1]
    return [tf.where(first_is_longer, longer, shorter), tf.where(first_is_longer, shorter, longer)]


def _head(rows, counts):
    """The first elements of ragged rows (b, n, ...), as many as `counts`, int32 (b,), says."""
    row = rows.value_rowids()
    place = tf.range(tf.size(row)) - tf.cast(tf.gather(rows.row_starts(), row), tf.int32)
    kept = tf.boolean_mask(rows.values, place < tf.gather(counts, row))
    return tf.RaggedTensor.from_row_lengths(kept, tf.cast(counts, tf.int64), validate=False)
