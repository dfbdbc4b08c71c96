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
        max_length: int, the most tokens of a row; or `None`.
        names: iterable of what to give: "ids", "begins", "ends" and "words" are those of `Pieces`, "parts" says which text a
            token is of, 0 or 1; all are -1 for special tokens but the id. "segments" says which segment it is in.

    Returns:
        dict of int32 ragged (b, n) by these names.
    """
    layout = TEMPLATES[template][len(parts) - 1]
    if max_length is not None:
        parts = _cut(parts, max_length - len(special_purposes(template, len(parts))))
    column = tf.ones((parts[0].ids.nrows(tf.int32), 1), tf.int32)

    def of_part(name, what, segment):
        if isinstance(what, str):
            return column * {"ids": special[what], "segments": segment}.get(name, -1)
        if name in ("parts", "segments"):
            return tf.zeros_like(parts[what].ids) + (what if name == "parts" else segment)
        return getattr(parts[what], name)

    return {name: tf.concat([of_part(name, what, segment) for what, segment in layout], axis=1) for name in names}


def _cut(parts, room):
    """Cuts one or two texts to `room` tokens in all; of two the longer one first, and the second where they are alike.

    The longer one keeps the odd token, as in the `tokenizers` library.
    """
    lengths = [tf.cast(pieces.ids.row_lengths(), tf.int32) for pieces in parts]
    if len(parts) == 1:
        return [parts[0].head(tf.minimum(lengths[0], room))]
    shorter = tf.minimum(tf.minimum(*lengths), room // 2)
    longer = tf.minimum(tf.maximum(*lengths), room - shorter)
    first_is_longer = lengths[0] > lengths[1]
    kept = tf.where(first_is_longer, longer, shorter), tf.where(first_is_longer, shorter, longer)
    return [pieces.head(counts) for pieces, counts in zip(parts, kept, strict=True)]
