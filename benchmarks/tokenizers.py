"""Speed of the tokenizers beside KerasHub's and the Rust library's, on this machine's CPU.

    REAL_DATA=FOLDER python -m benchmarks.tokenizers [--rounds 7] [--rows wordpiece byte_pairs sentence_pieces]

FOLDER has minilm, movie_reviews and zh_reviews. Every figure is a median over rounds in which all rivals take turns in
random order; all sentences are given at once. Ours and KerasHub's give ids, in the graph; the Rust library gives lists, with
offsets, on all cores. KerasHub's byte pairs remember the words of earlier rounds. Merges and pieces are learned from the
sentences themselves.
"""

import itertools
import os
import pathlib
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_nlp
import sentencepiece
import tensorflow as tf
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from benchmarks.timing import command, interleave, median_ratio
from textkit.tokenizer import Tokenizer
from textkit.vocabulary import read_sentencepiece

_SENTENCES = 10_000  # of each language
_SIZE = 8000
_FOLDER = pathlib.Path(os.environ.get("REAL_DATA", "."))
_FILES = {"English": "movie_reviews/reviews.tsv", "Chinese": "zh_reviews/pos.txt"}


def wordpiece(rounds):
    """MiniLM's vocabulary."""
    tokenizer = Tokenizer.from_folder(_FOLDER / "minilm")
    vocabulary = tokenizer.get_config()["vocabulary"]
    theirs = keras_nlp.tokenizers.WordPieceTokenizer(vocabulary, lowercase=True, strip_accents=True, split_on_cjk=True)
    rust = tokenizers.Tokenizer.from_file(str(_FOLDER / "minilm" / "tokenizer.json"))
    rust.no_padding()
    rust.no_truncation()
    measure("Word pieces", rounds, tokenizer, theirs, rust)


def byte_pairs(rounds):
    """Byte pairs learned from the sentences."""
    tokenizer = Tokenizer.learn(itertools.chain(*sentences().values()), "bytes", _SIZE)
    config = tokenizer.get_config()
    ids = {token: index for index, token in enumerate(config["vocabulary"])}
    theirs = keras_nlp.tokenizers.BytePairTokenizer(ids, config["merges"])
    rust = tokenizers.Tokenizer(models.BPE(ids, [tuple(merge.split(" ")) for merge in config["merges"]]))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    measure("Byte pairs", rounds, tokenizer, theirs, rust)


def sentence_pieces(rounds):
    """A sentencepiece model learned from the sentences."""
    tokenizer = Tokenizer.learn(itertools.chain(*sentences().values()), "sentencepiece", _SIZE, lower_case=False)
    proto, _ = read_sentencepiece(tokenizer.get_config()["vocabulary"])
    theirs = keras_nlp.tokenizers.SentencePieceTokenizer(proto)
    model = sentencepiece.SentencePieceProcessor(model_proto=proto)
    pieces = [(model.id_to_piece(index), model.get_score(index)) for index in range(model.vocab_size())]
    rust = tokenizers.Tokenizer(models.Unigram(pieces, model.unk_id(), False))
    rust.normalizer, rust.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    measure("Sentencepiece", rounds, tokenizer, theirs, rust)


def sentences():
    """The first sentences of each language."""
    found = {}
    for language, name in _FILES.items():
        with (_FOLDER / name).open(encoding="utf-8") as file:
            found[language] = [line.partition("\t")[0].strip() for line in itertools.islice(file, _SENTENCES)]
    return found


def measure(title, rounds, tokenizer, theirs, rust):
    """Times ours, KerasHub's and the Rust library's on each language, and prints the rates."""
    ids = tf.function(lambda strings: tokenizer.encode(strings)["token_ids"], autograph=False)
    placed = tf.function(lambda strings: tokenizer.encode(strings, return_offsets=True)["offsets"], autograph=False)
    hub = tf.function(lambda strings: theirs(strings).values, autograph=False)
    for language, texts in sentences().items():
        strings = tf.constant(texts)
        rivals = {
            "textkit": lambda strings=strings: ids(strings).numpy(),
            "textkit, offsets": lambda strings=strings: placed(strings).numpy(),
            "KerasHub": lambda strings=strings: hub(strings).numpy(),
            "Rust tokenizers": lambda texts=texts: rust.encode_batch(texts),
        }
        seconds = interleave(rivals, rounds)
        print(f"\n{title}, {len(texts)} sentences of {language}, medians of {rounds}")
        for name, each in seconds.items():
            print(f"  {name:<18}{len(texts) / statistics.median(each):>9.0f} sentences/s")
        for rival in ("KerasHub", "Rust tokenizers"):
            print(f"  throughput over {rival}: {median_ratio(seconds[rival], seconds['textkit']):.2f}x")


if __name__ == "__main__":
    missing = [name for name in ("minilm/vocab.txt", *_FILES.values()) if not (_FOLDER / name).is_file()]
    if missing:
        sys.exit(f"Expected REAL_DATA to name a folder with {', '.join(missing)} in it. Received: {str(_FOLDER)!r}")
    command(__doc__, (wordpiece, byte_pairs, sentence_pieces))
