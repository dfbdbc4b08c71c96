"""The tokenizers of ALBERT and XLM-R: text cleaning and a sentencepiece model."""

import tensorflow as tf

from textkit.tokenizers import characters as chars
from textkit.tokenizers.pieces import gather_pieces
from textkit.vocabulary import read_sentencepiece

_SPACE = "\u2581"
# fairseq's first ids, for a model without a padding piece; then come the model's pieces from the fourth on.
_FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")
_FAIRSEQ_LAST = "<mask>"


class SentencePieces(tf.Module):
    """Tokenizes texts with a sentencepiece model.

    Args:
        proto: the model, as bytes or as a base64 str.
        lower_case: bool.
        strip_accents: bool.
        straight_quotes: bool, whether `` and '' are replaced by ", as in ALBERT.

    Attributes:
        names: list of str, the tokens in the order of their ids. These are the model's own, or fairseq's (XLM-R) for a
            model without a padding piece.

    Raises:
        ValueError: not a sentencepiece model.

    Reference:
        Kudo and Richardson 2018; Lan et al. 2020 (ALBERT); Conneau et al. 2020 (XLM-R).
    """

    def __init__(self, proto, lower_case, strip_accents, straight_quotes):
        import tensorflow_text

        super().__init__()
        proto, model = read_sentencepiece(proto)
        pieces = [model.id_to_piece(index) for index in range(model.vocab_size())]
        self.names = pieces
        if model.pad_id() < 0:
            self.names = [*_FAIRSEQ, *pieces[3:], _FAIRSEQ_LAST]
        place = {name: index for index, name in enumerate(self.names)}
        self.ids = tf.constant([place[piece] for piece in pieces])
        self.begins_word = tf.constant([name.startswith(_SPACE) for name in self.names])
        self.straight_quotes = straight_quotes
        self.change = chars.Changes(chars.plain_change(lower_case, strip_accents))
        self.model = tensorflow_text.SentencepieceTokenizer(proto)

    def __call__(self, texts):
        """Tokenizes a string tensor (b,) to `Pieces`."""
        characters = chars.read(texts)
        if self.straight_quotes:
            characters = chars.straight_quotes(characters)
        characters = self.change(characters)
        num_texts = tf.size(texts, tf.int64)
        rows = tf.RaggedTensor.from_value_rowids(
            characters.codes, tf.cast(characters.rows, tf.int64), num_texts, validate=False
        )
        strings = tf.strings.unicode_encode(rows, "UTF-8")
        found, begins, ends = self.model.tokenize_with_offsets(strings)
        ids = tf.gather(self.ids, found.values)
        row = tf.cast(found.value_rowids(), tf.int32)
        origin = tf.gather(tf.cumsum(tf.strings.length(strings), exclusive=True), row)
        first, past = (origin + tf.cast(each.values, tf.int32) for each in (begins, ends))
        new_word = chars.firsts(row) | tf.gather(self.begins_word, ids)
        return gather_pieces(characters, num_texts, row, ids, first, past, tf.cumsum(tf.cast(new_word, tf.int32)))

    def join(self, tokens):
        """Joins tokens, a list of str, to text."""
        return "".join(tokens).replace(_SPACE, " ").strip()
