"""The tokenizers on real text, against the Rust library: not one id may differ."""

import os
import pathlib
import random

import pytest
import sentencepiece
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

from textkit.tokenizer import Tokenizer
from textkit.vocabulary import read_sentencepiece


@pytest.fixture(scope="module")
def folder():
    folder = pathlib.Path(os.environ.get("REAL_DATA", "."))
    for name in ("minilm/vocab.txt", "movie_reviews/reviews.tsv", "zh_reviews/people_daily.txt"):
        if not (folder / name).is_file():
            pytest.skip(f"REAL_DATA names no folder with {name} in it")
    return folder


@pytest.fixture(scope="module")
def lines(folder):
    """10 000 lines: English, Chinese, and half of each."""
    english = [line.split("\t")[0] for line in (folder / "movie_reviews/reviews.tsv").read_text("utf-8").splitlines()]
    chinese = (folder / "zh_reviews/pos.txt").read_text("utf-8").splitlines()
    newspaper = (folder / "zh_reviews/people_daily.txt").read_text("utf-8").splitlines()
    draw = random.Random(0)
    pairs = zip(draw.sample(english, 2000), draw.sample(chinese, 2000), strict=True)
    mixed = [f"{first} {second[:60]}" for first, second in pairs]
    return [*draw.sample(english, 4000), *draw.sample(chinese, 2000), *draw.sample(newspaper, 2000), *mixed]


def wrong(lines, tokenizer, reference):
    """The lines of which an id, an offset or a word differs."""
    expected = reference.encode_batch(lines, add_special_tokens=False)
    encoded = tokenizer.encode(lines, return_offsets=True)
    found = zip(*(encoded[name].numpy() for name in ("token_ids", "offsets", "padding_mask")), strict=True)
    start, end = (1, -1) if tokenizer.template != "none" else (0, None)
    return [
        line
        for line, (ids, offsets, mask), reference in zip(lines, found, expected, strict=True)
        if ids[mask][start:end].tolist() != reference.ids
        or [tuple(each) for each in offsets[mask][start:end].tolist()] != reference.offsets
    ]


@pytest.mark.parametrize("source", ["tokenizer.json", "vocab.txt"])
def test_wordpiece_of_minilm(folder, lines, source, tmp_path):
    reference = tokenizers.Tokenizer.from_file(str(folder / "minilm" / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    for name in (source, "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / "minilm" / name).read_bytes())
    assert wrong(lines, Tokenizer.from_folder(tmp_path), reference) == []


def test_wordpiece_with_case(folder, lines):
    vocabulary = (folder / "minilm" / "vocab.txt").read_text("utf-8").splitlines()
    ids = {token: index for index, token in enumerate(vocabulary)}
    reference = tokenizers.Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    reference.normalizer = normalizers.BertNormalizer(lowercase=False)
    reference.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    assert wrong(lines, Tokenizer("wordpiece", vocabulary), reference) == []


def test_bytes(lines):
    tokenizer = Tokenizer.learn(lines[:6000], "bytes", 8000)
    config = tokenizer.get_config()
    ids = {token: index for index, token in enumerate(config["vocabulary"])}
    reference = tokenizers.Tokenizer(models.BPE(ids, [tuple(merge.split(" ")) for merge in config["merges"]]))
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.post_processor = processors.ByteLevel(trim_offsets=True)
    assert wrong(lines, tokenizer, reference) == []


def test_sentencepiece(lines):
    tokenizer = Tokenizer.learn(lines[:6000], "sentencepiece", 8000, lower_case=False)
    proto, _ = read_sentencepiece(tokenizer.get_config()["vocabulary"])
    reference = sentencepiece.SentencePieceProcessor(model_proto=proto)
    encoded = tokenizer.encode(lines)
    padded = zip(encoded["token_ids"].numpy(), encoded["padding_mask"].numpy(), strict=True)
    rows = [ids[mask][1:-1].tolist() for ids, mask in padded]
    different = [(row, ids) for row, ids in zip(rows, reference.encode(lines), strict=True) if row != ids]
    assert len(different) < 0.01 * len(lines)
    for row, ids in different:  # both are the likeliest: which one is found is left to the version of sentencepiece
        assert sum(map(reference.get_score, row)) == pytest.approx(sum(map(reference.get_score, ids)), abs=1e-3)
