"""Tokenizer: text to the ids that an encoder reads, in the graph, and where in the text each of them came from.

TensorFlow only, as all work on strings is.
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
# What a token for each purpose is called, the likelier first; GPT-2 has one for all.
_NAMES = {
    "pad": ("[PAD]", "<pad>", "<|endoftext|>"),
    "unknown": ("[UNK]", "<unk>", "<|endoftext|>"),
    "start": ("[CLS]", "<s>", "<|endoftext|>"),
    "end": ("[SEP]", "</s>", "<|endoftext|>"),
    "mask": ("[MASK]", "<mask>"),
}
_GRAPHS = 16  # that are kept: of one text or pairs, for each set of columns
_NO_LIMIT = 2**31 - 1  # tokens


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
        straight_quotes: bool, for sentencepiece: whether `` and '' are read as ", as in ALBERT.
        special_tokens: dict with some of "pad", "unknown", "start", "end" and "mask", and what each is in the vocabulary;
            by default "[PAD]" or "<pad>" and so on, whichever there is.

    Raises:
        ValueError: an unknown kind, template or special token; a vocabulary that has a token twice, lacks a special one or
            is none.

    Attributes:
        kind: str.
        size: int, of how many ids, special ones included.
        pad_id, blank_id: int.
        unknown_id, start_id, end_id, mask_id: int, or `None` where there is none.

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
            raise ValueError(f"Expected merges for bytes, and for bytes alone. Received: {kind=}, merges={merges!r:.40}")
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
        self._config = json.dumps(config)  # as text: what `tf.Module` makes of a dict is none for JSON
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
        names = ("ids", "segments", "begins", "ends") if return_offsets else ("ids", "segments")
        columns, mask = self._columns(texts, pairs, max_length, pad_to_max, names)
        encoded = {"token_ids": columns["ids"], "segment_ids": columns["segments"], "padding_mask": mask}
        if return_offsets:
            encoded["offsets"] = tf.stack([columns["begins"], columns["ends"]], axis=-1)
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
        names = ("ids", "begins", "ends", "words", "parts")
        columns, _ = self._columns([text], None if pair is None else [pair], max_length, False, names)
        rows = zip(*(columns[name][0].numpy().tolist() for name in names), strict=True)
        return [Token(row[0], self._shown(row[0]), *row[1:]) for row in rows]

    def to_tokens(self, ids):
        """Turns each id into its token as the vocabulary has it, in the graph.

        Args:
            ids: int tensor of any shape.

        Returns:
            string tensor of the same shape.
        """
        return tf.gather(self._tokens, ids)

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
        return json.loads(self._config)

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

    @property
    def blank_id(self):
        """int, what says nothing of a word: the first there is of `mask_id`, `unknown_id` and `pad_id`."""
        return next(index for index in (self.mask_id, self.unknown_id, self.pad_id) if index is not None)

    def _find_special(self, given):
        """The id of the token for each purpose."""
        for purpose in given.keys() - _NAMES.keys():
            raise unknown_name("special token", purpose, _NAMES)
        for name, count in collections.Counter(self._names).items():
            if count > 1:
                raise ValueError(f"Expected a vocabulary with each token once. Received: {name!r} {count} times")
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
                raise ValueError(f"Expected a vocabulary with {names} in it. Received: {self.size} other tokens")
        return found

    def _columns(self, texts, pairs, max_length, pad_to_max, names):
        """What `names` say of each token, a dict of int32 (b, n); and where there are tokens, bool (b, n)."""
        given = [_strings("texts", texts)]
        if pairs is not None:
            given.append(_strings("pairs", pairs))
            sizes = [strings.shape[0] for strings in given]
            if None not in sizes and sizes[0] != sizes[1]:
                raise ValueError(f"Expected a pair for each text. Received: {sizes[0]} texts, {sizes[1]} pairs")
        least = len(special_purposes(self.template, len(given)))
        if max_length is None:
            if pad_to_max:
                raise ValueError(f"Expected a max_length to pad to. Received: {max_length=}")
        elif not isinstance(max_length, int) or max_length <= least:
            raise ValueError(f"Expected a max_length above the {least} special tokens. Received: {max_length=}")
        encode = self._graph(len(given), max_length if pad_to_max else None, names)
        return encode(_NO_LIMIT if max_length is None else max_length, *given)

    def _make_graph(self, num_texts, width, names):
        """A graph of `_encode`, for any number of rows and any limit of their length."""
        signature = [tf.TensorSpec((), tf.int32)] + [tf.TensorSpec((None,), tf.string)] * num_texts
        return tf.function(functools.partial(self._encode, width, names), input_signature=signature, autograph=False)

    def _encode(self, width, names, max_length, *given):
        parts = [self._divide(texts) for texts in given]
        rows = arrange(self.template, parts, self._special, max_length, names)
        padding = {"ids": self.pad_id, "segments": 0}
        table = rows.to_tensor([padding.get(name, -1) for name in names], shape=(None, width, len(names)))
        mask = tf.sequence_mask(rows.row_lengths(), tf.shape(table)[1])
        return dict(zip(names, tf.unstack(table, axis=2), strict=True)), mask

    def _shown(self, index):
        """A token as `Token` has it."""
        name = self._names[index]
        return self._divide.join([name]) if self.kind == "bytes" and index not in self._special.values() else name


@functools.lru_cache(4)
def shared_tokenizer(config):
    """The one `Tokenizer`, with the graphs that it has made, of the models that have the same.

    Args:
        config: str, JSON of what `get_config` returned.

    Returns:
        `Tokenizer`.
    """
    with tf.init_scope():  # what it holds is of no graph
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
    """A vocabulary as JSON can have it."""
    if isinstance(vocabulary, bytes):
        return base64.b64encode(vocabulary).decode()
    return vocabulary if isinstance(vocabulary, str) else list(vocabulary)
