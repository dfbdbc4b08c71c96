"""Tokenizer: from text to token ids and character offsets, in a TensorFlow graph.

TensorFlow only: other backends have no string tensors.
"""

import base64
import collections
import dataclasses
import functools
import json

import keras
import tensorflow as tf

from shared_layers.runtime import unknown_name
from textkit.tokenizers.byte_pairs import BytePairs
from textkit.tokenizers.layout import TEMPLATES, arrange, special_purposes
from textkit.tokenizers.sentence_pieces import SentencePieces
from textkit.tokenizers.wordpiece import WordPiece
from textkit.vocabulary import SURROGATE

_KINDS = ("wordpiece", "bytes", "sentencepiece")
# The names of special tokens, in the order in which they are tried; GPT-2 has one token for all purposes.
_NAMES = {
    "pad": ("[PAD]", "<pad>", "<|endoftext|>"),
    "unknown": ("[UNK]", "<unk>", "<|endoftext|>"),
    "start": ("[CLS]", "<s>", "<|endoftext|>"),
    "end": ("[SEP]", "</s>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}
_GRAPHS = 16  # cached graphs: one for each set of columns, for texts and for pairs
_NO_LIMIT = 2**31 - 1  # tokens


@dataclasses.dataclass(frozen=True)
class Token:
    """A token of a text.

    Attributes:
        id: int.
        text: str, the token as in the vocabulary; for byte pairs decoded to text.
        begin: int, the index of its first character in the original text; -1 for a special token.
        end: int, the index after its last character; -1 for a special token.
        word: int, the index of its word in the text; -1 for a special token.
        part: int, 0 for the text, 1 for the pair; -1 for a special token.
    """

    id: int
    text: str
    begin: int
    end: int
    word: int
    part: int


@keras.saving.register_keras_serializable("textkit")
class Tokenizer(tf.Module):
    """Tokenizes texts as BERT, GPT-2, RoBERTa, ALBERT and XLM-R do.

    Special tokens are not parsed from texts: "[SEP]" in a text is tokenized like any other text.

    Args:
        kind: "wordpiece" (BERT), "bytes" (byte pairs: GPT-2, RoBERTa) or "sentencepiece" (ALBERT, XLM-R).
        vocabulary: list of str, the tokens in the order of their ids; for "sentencepiece" the model, as bytes or as a base64
            str.
        merges: list of str, "bytes" only: two tokens separated by a space, in the order in which they were learned.
        template: special tokens around texts: "bert" ([CLS] a [SEP] b [SEP]), "roberta" (<s> a </s> </s> b </s>) or "none".
            `None` for "bert" with "wordpiece" or a vocabulary with "[CLS]", "roberta" for one with "<s>".
        lower_case: bool, "wordpiece" and "sentencepiece" only.
        strip_accents: bool, "wordpiece" and "sentencepiece" only; `None` for the value of `lower_case` with "wordpiece", and
            for False with "sentencepiece".
        split_chinese: bool, "wordpiece" only: whether each Chinese character is a word.
        straight_quotes: bool, "sentencepiece" only: whether `` and '' are replaced by ", as in ALBERT.
        special_tokens: dict from "pad", "unknown", "start", "end" and "mask" to tokens of the vocabulary; by default the
            usual names that the vocabulary has, such as "[PAD]" or "<pad>".

    Raises:
        ValueError: an unknown kind, template or special token; a vocabulary with a duplicate token or without a required
            special token; merges with another kind than "bytes"; an invalid sentencepiece model.

    Attributes:
        kind: str.
        size: int, the number of ids, special tokens included.
        pad_id, blank_id: int.
        unknown_id, start_id, end_id, mask_id: int, or `None` if the vocabulary has no such token.

    Example:
        >>> tokenizer = Tokenizer("wordpiece", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "bird", "##s", "sing"], lower_case=True)
        >>> tokenizer.encode(["Birds sing", "fly"])["token_ids"].numpy().tolist()
        [[2, 4, 5, 6, 3], [2, 1, 3, 0, 0]]
        >>> [(token.text, token.begin, token.end, token.word) for token in tokenizer.tokens("Birds")[1:-1]]
        [('bird', 0, 4, 0), ('##s', 4, 5, 0)]
    """

    def __init__(
        self,
        kind,
        vocabulary,
        merges=None,
        template=None,
        lower_case=False,
        strip_accents=None,
        split_chinese=True,
        straight_quotes=False,
        special_tokens=None,
    ):
        super().__init__(name="tokenizer")
        if kind not in _KINDS:
            raise unknown_name("kind", kind, _KINDS)
        if template is not None and template not in TEMPLATES:
            raise unknown_name("template", template, TEMPLATES)
        if (kind == "bytes") != (merges is not None):
            raise ValueError(f"Expected merges with kind='bytes' only. Received: {kind=}, merges={merges!r:.40}")
        self.kind = kind
        config = {
            "kind": kind,
            "vocabulary": _plain(vocabulary),
            "merges": merges if merges is None else list(merges),
            "template": template,
            "lower_case": lower_case,
            "strip_accents": strip_accents,
            "split_chinese": split_chinese,
            "straight_quotes": straight_quotes,
            "special_tokens": dict(special_tokens or {}),
        }
        if kind == "sentencepiece":
            self._divide = SentencePieces(vocabulary, lower_case, bool(strip_accents), straight_quotes)
            self._names = self._divide.names
        else:
            self._names = list(vocabulary)
        self.size = len(self._names)
        self._tokens = tf.constant(self._names, tf.string)
        if template is None:
            bert = kind == "wordpiece" or "[CLS]" in self._names
            template = "bert" if bert else "roberta" if "<s>" in self._names else "none"
        self.template = config["template"] = template
        self._config = json.dumps(config)  # as JSON text: `tf.Module` wraps a dict, and the wrapper is not JSON serializable
        self._special = self._find_special(special_tokens or {})
        if kind == "wordpiece":
            unknown = self._names[self._special["unknown"]]
            self._divide = WordPiece(self._names, unknown, lower_case, strip_accents, split_chinese)
        elif kind == "bytes":
            self._divide = BytePairs(self._names, merges)
        self._graph = functools.lru_cache(_GRAPHS)(self._make_graph)

    @classmethod
    def from_folder(cls, path):
        """Reads the tokenizer of a checkpoint folder.

        Args:
            path: str or path-like, see `textkit.tokenizers.folders.read`.

        Returns:
            `Tokenizer`.

        Raises:
            ValueError: no tokenizer files, a broken one, or an unsupported tokenizer.
        """
        from textkit.tokenizers.folders import read

        return cls(**read(path))

    @classmethod
    def learn(cls, texts, kind="wordpiece", size=8000, lower_case=True):
        """Learns a tokenizer from texts.

        Args:
            texts: iterable of str.
            kind: "wordpiece", "bytes" or "sentencepiece".
            size: int, the maximum number of tokens, special tokens included.
            lower_case: bool, whether case and accents are removed; ignored for "bytes".

        Returns:
            `Tokenizer`.

        Raises:
            ValueError: see `textkit.tokenizers.learning.learn`.
        """
        from textkit.tokenizers.learning import learn

        return cls(**learn(texts, kind, size, lower_case))

    def save(self, folder):
        """Writes a folder that `from_folder` and `transformers` read.

        Args:
            folder: str or path-like, see `textkit.tokenizers.folders.write`.

        Raises:
            ValueError: the folder holds something else.
        """
        from textkit.tokenizers.folders import write

        write(self.get_config(), folder)

    def encode(self, texts, pairs=None, max_length=None, return_offsets=False):
        """Tokenizes texts to the inputs of an encoder; works eagerly and in a graph.

        Args:
            texts: list of str, or string tensor (b,), UTF-8; an empty text gives special tokens only.
            pairs: list of str or string tensor (b,), the second text of each; or `None`.
            max_length: int, the maximum number of tokens, special tokens included; of a pair the longer text is truncated
                first.
            return_offsets: bool.

        Returns:
            dict of "token_ids" int32 (b, n), "segment_ids" int32 (b, n), "padding_mask" bool (b, n), True for tokens; with
            `return_offsets` also "offsets" int32 (b, n, 2), the characters of the original text (or of the pair) where each
            token begins and ends, -1 for special tokens and padding. Rows are padded to the longest.

        Raises:
            ValueError: not a list of str, a str with lone surrogates, another number of pairs than texts, or a `max_length`
                without room for text.
        """
        names = ("ids", "segments", "begins", "ends") if return_offsets else ("ids", "segments")
        columns, mask = self._columns(texts, pairs, max_length, names)
        encoded = {"token_ids": columns["ids"], "segment_ids": columns["segments"], "padding_mask": mask}
        if return_offsets:
            encoded["offsets"] = tf.stack([columns["begins"], columns["ends"]], axis=-1)
        return encoded

    def tokens(self, text, pair=None):
        """Tokenizes one text, for people to read.

        Args:
            text: str.
            pair: str, the second text; or `None`.

        Returns:
            list of `Token`, one for each of the `token_ids` that `encode` gives.
        """
        names = ("ids", "begins", "ends", "words", "parts")
        columns, _ = self._columns([text], None if pair is None else [pair], None, names)
        rows = zip(*(columns[name][0].numpy().tolist() for name in names), strict=True)
        return [Token(row[0], self._shown(row[0]), *row[1:]) for row in rows]

    def to_tokens(self, ids):
        """Looks up the token of each id; works in a graph.

        Args:
            ids: int tensor of any shape.

        Returns:
            string tensor of the same shape.
        """
        return tf.gather(self._tokens, ids)

    def decode(self, ids):
        """Converts ids to text, without special tokens other than the unknown token.

        Args:
            ids: int array or lists (b, n).

        Returns:
            list of b str.
        """
        silent = set(self._special.values()) - {self.unknown_id}
        rows = ([int(each) for each in row] for row in ids)
        return [self._divide.join([self._names[each] for each in row if each not in silent]) for row in rows]

    def get_config(self):
        """Returns the constructor's arguments, ready for JSON."""
        return json.loads(self._config)

    @classmethod
    def from_config(cls, config):
        """Makes a tokenizer from what `get_config` returned."""
        return cls(**config)

    @property
    def pad_id(self):
        """int, the id of the padding token."""
        return self._special.get("pad")

    @property
    def unknown_id(self):
        """int or `None`, the id of the unknown token."""
        return self._special.get("unknown")

    @property
    def start_id(self):
        """int or `None`, the id of the first token of a row."""
        return self._special.get("start")

    @property
    def end_id(self):
        """int or `None`, the id of the token after each text."""
        return self._special.get("end")

    @property
    def mask_id(self):
        """int or `None`, the id of the mask token."""
        return self._special.get("mask")

    @property
    def blank_id(self):
        """int, the id that blanks out a word: `mask_id`, or else `unknown_id`, or else `pad_id`."""
        return next(index for index in (self.mask_id, self.unknown_id, self.pad_id) if index is not None)

    def _find_special(self, given):
        """The id of each special token, by purpose."""
        for purpose in given.keys() - _NAMES.keys():
            raise unknown_name("special token", purpose, _NAMES)
        for name, count in collections.Counter(self._names).items():
            if count > 1:
                raise ValueError(f"Expected each token of the vocabulary once. Received: {name!r} {count} times")
        ids = {name: index for index, name in enumerate(self._names)}
        needed = {"pad", *special_purposes(self.template)}
        if self.kind == "wordpiece":
            needed.add("unknown")
        found = {}
        for purpose, names in _NAMES.items():
            names = [given[purpose]] if purpose in given else names
            there = [ids[name] for name in names if name in ids]
            if there:
                found[purpose] = there[0]
            elif purpose in needed or purpose in given:
                names = " or ".join(map(repr, names))
                raise ValueError(f"Expected a vocabulary with {names}. Received: {self.size} other tokens")
        return found

    def _columns(self, texts, pairs, max_length, names):
        """The columns `names` of each token, a dict of int32 (b, n); and the padding mask, bool (b, n)."""
        given = [_strings("texts", texts)]
        if pairs is not None:
            given.append(_strings("pairs", pairs))
            sizes = [strings.shape[0] for strings in given]
            if None not in sizes and sizes[0] != sizes[1]:
                raise ValueError(f"Expected a pair for each text. Received: {sizes[0]} texts, {sizes[1]} pairs")
        least = len(special_purposes(self.template, len(given)))
        if max_length is not None and (not isinstance(max_length, int) or max_length <= least):
            raise ValueError(f"Expected a max_length above {least}, the number of special tokens. Received: {max_length=}")
        encode = self._graph(len(given), names)
        return encode(_NO_LIMIT if max_length is None else max_length, *given)

    def _make_graph(self, num_texts, names):
        """A graph of `_encode`, for any number of rows and any `max_length`."""
        signature = [tf.TensorSpec((), tf.int32)] + [tf.TensorSpec((None,), tf.string)] * num_texts
        return tf.function(functools.partial(self._encode, names), input_signature=signature, autograph=False)

    def _encode(self, names, max_length, *given):
        parts = [self._divide(texts) for texts in given]
        rows = arrange(self.template, parts, self._special, max_length, names)
        padding = {"ids": self.pad_id, "segments": 0}
        table = rows.to_tensor([padding.get(name, -1) for name in names], shape=(None, None, len(names)))
        mask = tf.sequence_mask(rows.row_lengths(), tf.shape(table)[1])
        return dict(zip(names, tf.unstack(table, axis=2), strict=True)), mask

    def _shown(self, index):
        """The text of a token, as in `Token`."""
        name = self._names[index]
        return self._divide.join([name]) if self.kind == "bytes" and index not in self._special.values() else name


@functools.lru_cache(4)
def shared_tokenizer(config):
    """Returns the `Tokenizer` of a configuration, cached, so that models share it and its graphs.

    Args:
        config: str, `Tokenizer.get_config()` as JSON.

    Returns:
        `Tokenizer`.
    """
    with tf.init_scope():  # its tensors must not belong to a graph
        return Tokenizer.from_config(json.loads(config))


def _strings(name, strings):
    """The strings as a tensor (b,)."""
    if isinstance(strings, str | bytes):
        raise ValueError(f"Expected a list of strings. Received: {name}={strings!r:.60}")
    if not tf.is_tensor(strings):
        for index, string in enumerate(strings):
            if not isinstance(string, str | bytes):
                raise ValueError(f"Expected a list of strings. Received: {name}[{index}]={string!r:.60}")
            if isinstance(string, str) and SURROGATE.search(string):
                raise ValueError(f"Expected UTF-8 in every string. Received: {name}[{index}]={string!r:.60}")
        return tf.constant(list(strings), tf.string, (len(strings),))
    if strings.dtype != tf.string or strings.shape.rank != 1:
        raise ValueError(f"Expected a string tensor (b,). Received: {name} of {strings.dtype.name} {strings.shape}")
    return strings


def _plain(vocabulary):
    """A vocabulary in a form that JSON can hold."""
    if isinstance(vocabulary, bytes):
        return base64.b64encode(vocabulary).decode()
    return vocabulary if isinstance(vocabulary, str) else list(vocabulary)
