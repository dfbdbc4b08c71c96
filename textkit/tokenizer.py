"""Tokenizer: text to the ids that an encoder reads, in the graph, and where in the text each of them came from.

TensorFlow only, as all work on strings is.
"""

import base64
import collections
import dataclasses
import functools

import keras
import tensorflow as tf

from shared_layers.runtime import unknown_name
from textkit.tokenizers.byte_pairs import BytePairs
from textkit.tokenizers.sentence_pieces import SentencePieces
from textkit.tokenizers.wordpiece import WordPiece
from textkit.vocabulary import SURROGATE

_KINDS = ("wordpiece", "bytes", "sentencepiece")
# What a token for each purpose is called, the likelier first; GPT-2 has one for all.
_NAMES = {
    "pad": ("[PAD]", "<pad>", "<|endoftext|>"),
    "unknown": ("[UNK]", "<unk>", "<|endoftext|>"),
    "start": ("[CLS]", "<s>", "<|endoftext|>"),
    "end": ("[SEP]", "</s>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}
# What one text becomes, or two: special tokens and texts (0 and 1), each with its segment.
_TEMPLATES = {
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
_GRAPHS = 16  # that are kept, of different lengths and with pairs or without
_COLUMNS = ("id", "begin", "end", "word", "part", "segment")


@dataclasses.dataclass(frozen=True)
class Token:
    """A token of a text.

    Attributes:
        id: int.
        text: str, as the vocabulary has it; of bytes, what they say.
        begin: int, the token's first character in the text as it was given; -1 of a special token.
        end: int, the place after its last; -1 of a special token.
        word: int, which word of its text it belongs to; -1 of a special token.
        part: int, 0 in the text, 1 in the pair; -1 of a special token.
    """

    id: int
    text: str
    begin: int
    end: int
    word: int
    part: int


@keras.saving.register_keras_serializable("textkit")
class Tokenizer(tf.Module):
    """Divides texts as BERT, GPT-2, RoBERTa, ALBERT and XLM-R do.

    Whatever a text says is text: "[SEP]" in it is no special token.

    Args:
        kind: "wordpiece" (BERT), "bytes" (byte pairs: GPT-2, RoBERTa) or "sentencepiece" (ALBERT, XLM-R).
        vocabulary: list of str, the tokens in the order of their ids; for sentencepiece a model: its bytes, or these in
            base64.
        merges: list of str, for bytes: two tokens with a space between, the first learned first.
        template: what is put around texts: "bert" ([CLS] a [SEP] b [SEP]), "roberta" (<s> a </s> </s> b </s>) or "none";
            by default as the vocabulary says: wordpiece and what has "[CLS]" is "bert", what has "<s>" "roberta".
        lower_case: bool. Not for bytes, as the next two.
        strip_accents: bool; `None` does as `lower_case` says, and nothing for sentencepiece.
        split_chinese: bool, for wordpiece: whether each Chinese character is a word.
        special_tokens: dict with some of "pad", "unknown", "start", "end" and "mask", and what each is in the vocabulary;
            by default "[PAD]" or "<pad>" and so on, whichever there is.

    Raises:
        ValueError: an unknown kind, template or special token; a vocabulary that has a token twice, lacks a special one or
            is none.

    Attributes:
        kind: str.
        size: int, of how many ids, special ones included.
        pad_id, unknown_id, start_id, end_id, mask_id: int, or `None` where there is none.

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
        special_tokens=None,
    ):
        super().__init__(name="tokenizer")
        if kind not in _KINDS:
            raise unknown_name("kind", kind, _KINDS)
        if template is not None and template not in _TEMPLATES:
            raise unknown_name("template", template, _TEMPLATES)
        if (kind == "bytes") != (merges is not None):
            raise ValueError(f"Expected merges for bytes, and for bytes alone. Received: {kind=}, merges={merges!r:.40}")
        self.kind = kind
        self._config = {
            "kind": kind,
            "vocabulary": _plain(vocabulary),
            "merges": merges if merges is None else list(merges),
            "template": template,
            "lower_case": lower_case,
            "strip_accents": strip_accents,
            "split_chinese": split_chinese,
            "special_tokens": dict(special_tokens or {}),
        }
        if kind == "sentencepiece":
            self._divide = SentencePieces(vocabulary, lower_case, bool(strip_accents))
            self._names = self._divide.names
        else:
            self._names = list(vocabulary)
        self.size = len(self._names)
        if template is None:
            bert = kind == "wordpiece" or "[CLS]" in self._names
            template = "bert" if bert else "roberta" if "<s>" in self._names else "none"
        self.template = self._config["template"] = template
        self._special = self._find_special(special_tokens or {})
        if kind == "wordpiece":
            unknown = self._names[self._special["unknown"]]
            self._divide = WordPiece(self._names, unknown, lower_case, strip_accents, split_chinese)
        elif kind == "bytes":
            self._divide = BytePairs(self._names, merges)
        self._graph = functools.lru_cache(_GRAPHS)(self._make_graph)

    @classmethod
    def from_folder(cls, path):
        """Reads a tokenizer as checkpoints have it, see `textkit.tokenizers.folders.read`."""
        from textkit.tokenizers.folders import read

        return cls(**read(path))

    @classmethod
    def learn(cls, texts, kind="wordpiece", size=8000, lower_case=True):
        """Makes the tokenizer of some texts, see `textkit.tokenizers.learning.learn`."""
        from textkit.tokenizers.learning import learn

        return cls(**learn(texts, kind, size, lower_case))

    def save(self, folder):
        """Writes a folder that `from_folder` reads, see `textkit.tokenizers.folders.write`."""
        from textkit.tokenizers.folders import write

        write(self.get_config(), folder)

    def encode(self, texts, pairs=None, max_length=None, pad_to_max=False, return_offsets=False):
        """Turns texts into what an encoder reads; in a graph or outside.

        Args:
            texts: list of str, or string tensor (b,), UTF-8; empty ones give special tokens alone.
            pairs: the same for the second text of each, or `None`.
            max_length: int, the most tokens, special ones included; of two texts the longer one is cut first.
            pad_to_max: bool, whether rows are padded to `max_length` and not to the longest of them.
            return_offsets: bool.

        Returns:
            dict of "token_ids" int32 (b, n), "segment_ids" int32 (b, n), "padding_mask" bool (b, n), True where there is a
            token; with `return_offsets` also "offsets" int32 (b, n, 2), the characters in the original text (of a pair: in
            that) where each token begins and ends, -1 for special tokens and padding.

        Raises:
            ValueError: no list of str, a str that is no Unicode, pairs that are fewer or more, a length without room for
                text or none to pad to.
        """
        columns, mask = self._columns(texts, pairs, max_length, pad_to_max)
        encoded = {"token_ids": columns["id"], "segment_ids": columns["segment"], "padding_mask": mask}
        if return_offsets:
            encoded["offsets"] = tf.stack([columns["begin"], columns["end"]], axis=-1)
        return encoded

    def tokens(self, text, pair=None, max_length=None):
        """Says what `encode` makes of a text, and where in it each token comes from.

        Args:
            text: str.
            pair: str or `None`.
            max_length: int or `None`.

        Returns:
            list of `Token`, one for each of the row's `token_ids`.
        """
        columns, _ = self._columns([text], None if pair is None else [pair], max_length, False)
        rows = zip(*(columns[name][0].numpy().tolist() for name in ("id", "begin", "end", "word", "part")), strict=True)
        return [Token(row[0], self._shown(row[0]), *row[1:]) for row in rows]

    def to_tokens(self, ids):
        """Turns each id into its token as the vocabulary has it, in the graph.

        Args:
            ids: int tensor of any shape.

        Returns:
            string tensor of the same shape.
        """
        return tf.gather(tf.constant(self._names), ids)

    def decode(self, ids):
        """Turns ids into strings; special tokens but the unknown one are left out.

        Args:
            ids: int (b, n), array or lists.

        Returns:
            list of b str.
        """
        silent = set(self._special.values()) - {self.unknown_id}
        rows = ([int(each) for each in row] for row in ids)
        return [self._divide.join([self._names[each] for each in row if each not in silent]) for row in rows]

    def get_config(self):
        """Returns the constructor's arguments, ready for JSON."""
        return dict(self._config)

    @classmethod
    def from_config(cls, config):
        """Makes a tokenizer from what `get_config` returned."""
        return cls(**config)

    @property
    def pad_id(self):
        """int, what rows are padded with."""
        return self._special.get("pad")

    @property
    def unknown_id(self):
        """int or `None`."""
        return self._special.get("unknown")

    @property
    def start_id(self):
        """int or `None`, what comes first."""
        return self._special.get("start")

    @property
    def end_id(self):
        """int or `None`, what comes after each text."""
        return self._special.get("end")

    @property
    def mask_id(self):
        """int or `None`, what stands for a masked token."""
        return self._special.get("mask")

    def _find_special(self, given):
        """The id of the token for each purpose."""
        for purpose in given.keys() - _NAMES.keys():
            raise unknown_name("special token", purpose, _NAMES)
        for name, count in collections.Counter(self._names).items():
            if count > 1:
                raise ValueError(f"Expected a vocabulary with each token once. Received: {name!r} {count} times")
        ids = {name: index for index, name in enumerate(self._names)}
        needed = {"pad", *(what for what, _ in _TEMPLATES[self.template][1] if isinstance(what, str))}
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
                raise ValueError(f"Expected a vocabulary with {names} in it. Received: {self.size} other tokens")
        return found

    def _columns(self, texts, pairs, max_length, pad_to_max):
        """What is known of each token, a dict of int32 (b, n) by `_COLUMNS`; and where there are tokens, bool (b, n)."""
        texts = _strings("texts", texts)
        if pairs is not None:
            pairs = _strings("pairs", pairs)
            if not texts.shape.is_compatible_with(pairs.shape):
                raise ValueError(f"Expected a pair for each text. Received: {texts.shape[0]} texts, {pairs.shape[0]} pairs")
        layout = _TEMPLATES[self.template][pairs is not None]
        least = sum(isinstance(what, str) for what, _ in layout)
        if max_length is None:
            if pad_to_max:
                raise ValueError(f"Expected a max_length to pad to. Received: {max_length=}")
        elif not isinstance(max_length, int) or max_length <= least:
            raise ValueError(f"Expected a max_length above the {least} special tokens. Received: {max_length=}")
        given = [texts] if pairs is None else [texts, pairs]
        return self._graph(len(given), max_length, pad_to_max)(*given)

    def _make_graph(self, num_parts, max_length, pad_to_max):
        """A graph for any number of texts, which computes no more than is used of it where it is within another."""
        encode = functools.partial(self._encode, max_length, pad_to_max)
        signature = [tf.TensorSpec((None,), tf.string)] * num_parts
        return tf.function(encode, input_signature=signature, autograph=False)

    def _encode(self, max_length, pad_to_max, *given):
        layout = _TEMPLATES[self.template][len(given) - 1]
        parts = [self._divide(texts) for texts in given]
        if max_length is not None:
            parts = _fit(parts, max_length - sum(isinstance(what, str) for what, _ in layout))
        parts = [
            (*pieces, pieces.ids.with_values(tf.fill(tf.shape(pieces.ids.values), index)))
            for index, pieces in enumerate(parts)
        ]
        single = tf.ones((tf.size(given[0]), 1), tf.int32)
        rows = []
        for what, segment in layout:
            columns = [single * self._special[what], *4 * [-single]] if isinstance(what, str) else list(parts[what])
            rows.append([*columns, segment * tf.ones_like(columns[0])])
        padding = {"id": self.pad_id, "segment": 0}
        width = max_length if pad_to_max else None
        ragged = {name: tf.concat(column, axis=1) for name, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True)}
        columns = {name: each.to_tensor(padding.get(name, -1), shape=(None, width)) for name, each in ragged.items()}
        return columns, tf.sequence_mask(ragged["id"].row_lengths(), tf.shape(columns["id"])[1])

    def _shown(self, index):
        """A token as `Token` has it."""
        name = self._names[index]
        return self._divide.join([name]) if self.kind == "bytes" and index not in self._special.values() else name


def _fit(parts, room):
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
    """A vocabulary as JSON can have it."""
    if isinstance(vocabulary, bytes):
        return base64.b64encode(vocabulary).decode()
    return vocabulary if isinstance(vocabulary, str) else list(vocabulary)
