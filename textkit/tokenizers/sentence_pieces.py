"""ALBERT's and XLM-R's tokenizers: a sentencepiece model, after the changes of letters that it was learned with."""

import tensorflow as tf

from textkit.tokenizers import characters as chars
from textkit.tokenizers.pieces import gather_pieces
from textkit.vocabulary import read_sentencepiece

_SPACE = "\u2581"
# fairseq's ids, where a model has no piece to pad with; then come the model's own from its fourth on.
_FAIRSEQ = ("<s>", "<pad>", "</s>", "<unk>")
_FAIRSEQ_LAST = "<mask>"


class SentencePieces(tf.Module):
    """Divides texts as a sentencepiece model does.

    Args:
        proto: bytes, the model; or these in base64 as a str.
        lower_case: bool.
        strip_accents: bool.
        straight_quotes: bool, whether `` and '' are read as ", as in ALBERT.

    Attributes:
        names: list of str, the tokens in the order of their ids. These are the model's own, or fairseq's (XLM-R) where the
            model has no piece to pad with.

    Raises:
        ValueError: no sentencepiece model.

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
        """Returns the `Pieces` of string tensor (b,)."""
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
        """The text of tokens, a list of str."""
        return "".join(tokens).replace(_SPACE, " ").strip()
