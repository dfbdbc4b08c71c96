"""Vocabulary: characters, words or subwords to ids and back, in a TensorFlow graph, and so in a SavedModel.

TensorFlow only: other backends have no string tensors.
"""

import base64
import bisect
import collections
import io
import itertools
import re

import keras
import tensorflow as tf

from shared_layers.runtime import unknown_name

PAD, UNKNOWN, START, END = range(4)
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
_REPLACEMENT = "\ufffd"  # Unicode's replacement character

SURROGATE = re.compile(r"[\ud800-\udfff]")  # how Python represents command-line bytes that are not UTF-8

# Words as `tf.strings.split` splits them.
_UNSPACED = re.compile(r"[^ \t\n\v\f\r]+")
# A word, or a single character of a script without spaces.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")

_MOST_TEXTS = 2_000_000  # for learning subwords
_LONGEST = 1000  # characters of a training text: the time grows faster than linearly
_ALPHABET = 1000  # characters; with more, rare ones are left out


@keras.saving.register_keras_serializable("textkit")
class Vocabulary(tf.Module):
    """Maps symbols to ids: 0 is padding, 1 unknown, 2 the start and 3 the end token, then come the symbols.

    Args:
        symbols: list of str, the characters or words in the order of their ids; for "subwords" a sentencepiece model with
            these first four pieces, as bytes or as a base64 str.
        kind: "characters", "words" (separated by spaces) or "subwords".

    Raises:
        ValueError: an unknown kind, invalid or duplicate symbols, an invalid sentencepiece model or one with other special
            ids.

    Attributes:
        kind: str.
        size: int, the number of ids, special ids included.

    Example:
        >>> vocabulary = Vocabulary.learn(["abba", "cab"], "characters")
        >>> vocabulary.encode(["bad"]).to_list()
        [[5, 4, 1]]
        >>> vocabulary.decode([[2, 5, 4, 5, 3, 4]])
        ['bab']
    """

    def __init__(self, symbols, kind="characters"):
        super().__init__(name="vocabulary")
        if kind not in _KINDS:
            raise unknown_name("kind", kind, _KINDS)
        self.kind = kind
        self._pieces = _KINDS[kind](symbols)
        self.size = len(self._pieces.names)

    @classmethod
    def learn(cls, texts, kind="characters", size=None):
        """Learns a vocabulary from texts.

        Characters and words are ordered by frequency. Subwords are learned by sentencepiece with a unigram language model,
        which needs no word boundaries, so that Chinese works as well; decoding restores the text, except for repeated
        spaces. The same texts give the same vocabulary.

        Args:
            texts: iterable of str.
            kind: "characters", "words" or "subwords".
            size: int, the maximum number of ids, the four special ids included; the rarest symbols are left out. `None` for
                all characters or words, or for 8000 subwords.

        Returns:
            A `Vocabulary`.

        Raises:
            ValueError: an unknown kind, only blank texts, or a size that is too small.

        Reference:
            Kudo, "Subword Regularization", ACL 2018 (the unigram model).
        """
        if kind not in _KINDS:
            raise unknown_name("kind", kind, _KINDS)
        if size is not None and size <= len(_SPECIAL):
            raise ValueError(f"Expected a size above {len(_SPECIAL)}, the number of special ids. Received: {size=}")
        texts = list(texts)
        if not any(text.strip() for text in texts):
            raise ValueError(f"Expected texts to learn from. Received: {len(texts)} texts, all blank")
        return cls(_KINDS[kind].learn(texts, size), kind)

    def encode(self, strings):
        """Converts strings to ids, without start and end tokens.

        Args:
            strings: list of str or string tensor (b,).

        Returns:
            `tf.RaggedTensor` int32 (b, n).
        """
        return self._pieces.encode(tf.convert_to_tensor(strings, tf.string))

    def to_text(self, ids):
        """Converts ids to strings, see `decode`; works in a graph.

        Args:
            ids: int tensor (b, n).

        Returns:
            string tensor (b,), UTF-8.
        """
        ids = tf.cast(ids, tf.int32)
        ended = tf.cumsum(tf.cast(ids == END, tf.int32), axis=1) > 0
        return self._pieces.join(tf.ragged.boolean_mask(ids, ~ended & (ids != PAD) & (ids != START)))

    def to_tokens(self, ids):
        """Looks up the symbol of each id; works in a graph.

        Args:
            ids: int tensor of any shape.

        Returns:
            string tensor of the same shape, UTF-8; special ids are "<pad>", "<unk>", "<s>" and "</s>".
        """
        return tf.gather(self._pieces.names, ids)

    def decode(self, ids):
        """Converts ids to strings up to the first end token; padding and start tokens are left out, unknown is "\ufffd".

        Args:
            ids: int array or lists (b, n).

        Returns:
            list of b str.
        """
        return [text.decode() for text in self.to_text(ids).numpy()]

    def tokens(self, ids):
        """Looks up the symbol of each id.

        Args:
            ids: int array or list (n,).

        Returns:
            list of n str, see `to_tokens`.
        """
        return [token.decode() for token in self.to_tokens(ids).numpy()]

    def words(self, text):
        """Finds the words of a text, and the word of each token.

        Words are separated by spaces; in Chinese and Japanese each character is a word, or all characters of one token. A
        space belongs to the word after it, at the end of the text to the last word.

        Args:
            text: str.

        Returns:
            tuple: list of str, the words; and list of int, the word index of each id of `encode([text])`, -1 for none.

        Example:
            >>> Vocabulary(["a", "b", " "]).words("ab a")
            (['ab', 'a'], [0, 0, 1, 1])
        """
        spans = self._pieces.spans(text)
        # Where each token begins after its leading spaces.
        letters = [len(text) - len(text[begin:].lstrip()) for begin, _ in spans]
        inside = {place for begin, (_, end) in zip(letters, spans, strict=True) for place in range(begin + 1, end)}
        begins = [match.start() for match in _WORD.finditer(text) if match.start() not in inside]
        words = [text[begin:end].strip() for begin, end in itertools.pairwise([*begins, len(text)])]
        return words, [bisect.bisect_right(begins, begin) - 1 for begin in letters]

    def get_config(self):
        """Returns the constructor's arguments, ready for JSON."""
        return {"symbols": self._pieces.config(), "kind": self.kind}

    @classmethod
    def from_config(cls, config):
        """Makes a vocabulary from what `get_config` returned."""
        return cls(**config)


def read_sentencepiece(model):
    """Reads a sentencepiece model.

    Args:
        model: bytes, or a base64 str.

    Returns:
        tuple: the model as bytes; and a `sentencepiece.SentencePieceProcessor`.

    Raises:
        ValueError: not a sentencepiece model.
    """
    import sentencepiece

    try:
        proto = base64.b64decode(model, validate=True) if isinstance(model, str) else bytes(model)
        return proto, sentencepiece.SentencePieceProcessor(model_proto=proto)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"Expected a sentencepiece model. Received: symbols={model!r:.40}") from error


def learn_sentencepiece(texts, size, **options):
    """Learns a sentencepiece model whose first four pieces are padding, unknown, start and end.

    Args:
        texts: list of str.
        size: int, the maximum number of pieces; short texts give fewer.
        **options: options of sentencepiece's trainer.

    Returns:
        bytes, the model.

    Raises:
        ValueError: texts or a size for which training fails.
    """
    import sentencepiece

    some = texts[:: len(texts) // _MOST_TEXTS + 1]
    texts = [text[start : start + _LONGEST] for text in some for start in range(0, len(text), _LONGEST)]
    # Keep all letters of an alphabet; of thousands of characters the rarest may be unknown.
    alphabetic = len(set().union(*texts)) <= _ALPHABET
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=written,
            vocab_size=size,
            hard_vocab_limit=False,
            character_coverage=1.0 if alphabetic else 0.9995,
            max_sentence_length=4 * _LONGEST,  # in bytes; longer ones would be left out
            pad_id=PAD,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            minloglevel=2,
            **options,
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].rsplit("] ", 1)[-1]
        raise ValueError(f"Expected texts and a size to learn subwords with: {reason} Received: {size=}") from error
    return written.getvalue()


class _Symbols(tf.Module):
    """A lookup table of symbols. A subclass defines how text is split (`split` in the graph, `spans` outside) and joined."""

    def __init__(self, symbols):
        super().__init__()
        symbols = list(symbols)
        for symbol, count in collections.Counter(symbols).items():
            if count > 1 or self.spans(symbol) != [(0, len(symbol))]:
                raise ValueError(f"Expected {self.what}, each once. Received: {symbol!r} {count} times")
        self.names = tf.constant([*_SPECIAL, *symbols])
        self.texts = tf.constant(["", _REPLACEMENT, "", "", *symbols])
        ids = tf.range(len(_SPECIAL), len(self.names))
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(self.names[len(_SPECIAL) :], ids, tf.string, tf.int32), UNKNOWN
        )

    @classmethod
    def learn(cls, texts, size):
        counts = collections.Counter(text[begin:end] for text in texts for begin, end in cls.spans(text))
        ordered = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
        return ordered[: None if size is None else size - len(_SPECIAL)]

    def encode(self, strings):
        return self.table[self.split(strings)]

    def join(self, ids):
        return tf.strings.reduce_join(tf.gather(self.texts, ids), axis=-1, separator=self.separator)

    def config(self):
        return [name.decode() for name in self.names[len(_SPECIAL) :].numpy()]


class _Characters(_Symbols):
    what, separator = "single characters", ""

    @staticmethod
    def split(strings):
        return tf.strings.unicode_split(strings, "UTF-8")

    @staticmethod
    def spans(text):
        return [(place, place + 1) for place in range(len(text))]


class _Words(_Symbols):
    what, separator = "words without spaces", " "

    @staticmethod
    def split(strings):
        return tf.strings.split(strings)

    @staticmethod
    def spans(text):
        return [match.span() for match in _UNSPACED.finditer(text)]


class _Subwords(tf.Module):
    """A sentencepiece model. `keras_nlp`'s tokenizer has no offsets, and returns lists outside of a graph."""

    def __init__(self, symbols):
        import tensorflow_text

        super().__init__()
        self.proto, model = read_sentencepiece(symbols)
        received = model.pad_id(), model.unk_id(), model.bos_id(), model.eos_id()
        if received != (PAD, UNKNOWN, START, END):
            raise ValueError(f"Expected padding, unknown, start and end as pieces 0, 1, 2 and 3. Received: {received}")
        self.names = tf.constant([*_SPECIAL, *(model.id_to_piece(index) for index in range(END + 1, model.vocab_size()))])
        self.tokenizer = tensorflow_text.SentencepieceTokenizer(self.proto)

    @staticmethod
    def learn(texts, size):
        return learn_sentencepiece(
            texts,
            size or 8000,
            unk_surface=_REPLACEMENT,
            normalization_rule_name="identity",  # the default would turn a Chinese comma into an English one
        )

    def encode(self, strings):
        return self.tokenizer.tokenize(strings)

    def join(self, ids):
        return self.tokenizer.detokenize(ids)

    def spans(self, text):
        _, begins, ends = self.tokenizer.tokenize_with_offsets(text)
        bytes_before = itertools.accumulate((len(character.encode()) for character in text), initial=0)
        place = {count: index for index, count in enumerate(bytes_before)}
        return [(place[begin], place[end]) for begin, end in zip(begins.numpy(), ends.numpy(), strict=True)]

    def config(self):
        return base64.b64encode(self.proto).decode()


_KINDS = {"characters": _Characters, "words": _Words, "subwords": _Subwords}
