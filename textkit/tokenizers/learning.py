"""Learning tokenizers: WordPiece and byte pairs by the `tokenizers` library, unigrams by sentencepiece."""

import collections
import itertools
import json

from shared_layers.runtime import unknown_name
from textkit.tokenizers.byte_pairs import byte_letters
from textkit.tokenizers.characters import INSIDE, bert_classes, plain_change
from textkit.vocabulary import learn_sentencepiece

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_ALPHABET = 10_000  # the most characters in the vocabulary; rarer ones are unknown


def learn(texts, kind, size, lower_case):
    """Learns a vocabulary; the same texts give the same vocabulary.

    Args:
        texts: iterable of str.
        kind: "wordpiece", with BERT's special tokens; "bytes", with RoBERTa's; or "sentencepiece", with ALBERT's.
        size: int, the maximum number of tokens, special tokens included.
        lower_case: bool, whether case and accents are removed; ignored for "bytes".

    Returns:
        dict of arguments for `textkit.Tokenizer`.

    Raises:
        ValueError: an unknown kind, only blank texts, or a size too small for the special tokens and characters.
    """
    if kind not in _LEARNERS:
        raise unknown_name("kind", kind, _LEARNERS)
    texts = list(texts)
    if not any(text.strip() for text in texts):
        raise ValueError(f"Expected texts to learn from. Received: {len(texts)} texts, all blank")
    return {"kind": kind, **_LEARNERS[kind](texts, size, lower_case)}


def read_lines(paths):
    """Reads the lines of files.

    Args:
        paths: iterable of `pathlib.Path`, UTF-8 files.

    Yields:
        str, each line that is not blank, stripped.

    Raises:
        ValueError: a line is not UTF-8.
    """
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode().strip()
                except UnicodeDecodeError as error:
                    raise ValueError(f"Expected UTF-8. Received: line {number} of {path}") from error
                if text:
                    yield text


def _wordpiece(texts, size, lower_case):
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    cleaned = [normalizers.BertNormalizer(lowercase=lower_case).normalize_str(text) for text in texts]
    counts = collections.Counter(itertools.chain.from_iterable(cleaned))
    del counts[" "]
    common = sorted(counts, key=lambda character: (-counts[character], character))
    rare = dict.fromkeys(map(ord, common[_ALPHABET:]))
    letters = sorted(common[:_ALPHABET])
    # Added in a fixed order: the trainer's own order differs between runs, and decides ties.
    inside = [f"##{letter}" for letter in letters if bert_classes(True)[ord(letter)] == INSIDE]
    known = _SPECIAL + letters + inside
    _check_size(size, known)
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=known, show_progress=False)
    learner.train_from_iterator((text.translate(rare) for text in cleaned), trainer)
    return {"vocabulary": _in_order(learner.get_vocab()), "lower_case": lower_case}


def _byte_pairs(texts, size, lower_case):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    known = _ROBERTA + sorted(byte_letters())
    _check_size(size, known)
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=known, show_progress=False)
    learner.train_from_iterator(texts, trainer)
    merges = json.loads(learner.to_str())["model"]["merges"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    return {"vocabulary": _in_order(learner.get_vocab()), "merges": merges}


def _sentencepiece(texts, size, lower_case):
    change = plain_change(lower_case, lower_case)
    texts = ["".join(map(change, text)) for text in texts]
    special = {"pad_piece": _SPECIAL[0], "unk_piece": _SPECIAL[1], "bos_piece": _SPECIAL[2], "eos_piece": _SPECIAL[3]}
    proto = learn_sentencepiece(texts, size, control_symbols=_SPECIAL[4:], **special)
    return {"vocabulary": proto, "lower_case": lower_case, "strip_accents": lower_case}


def _check_size(size, known):
    if size <= len(known):
        raise ValueError(f"Expected a size above {len(known)}, the special tokens and characters. Received: {size=}")


def _in_order(ids):
    return sorted(ids, key=ids.get)


_LEARNERS = {"wordpiece": _wordpiece, "bytes": _byte_pairs, "sentencepiece": _sentencepiece}
