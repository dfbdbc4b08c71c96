"""The recipe of Chinese reviews, small."""

import json

import numpy as np

from scripts.pretrain_chinese import few, read_newspaper, read_reviews, with_unlabelled

WORDS = ["新年", "讲话", "国家", "主席", "我们", "的", "书", "很", "在", "北京"]
GOOD, BAD = ["好", "喜欢"], ["差", "失望"]


def write_data(folder, count=120):
    """A newspaper of words with tags, and reviews in which one word says which they are; two are in both files."""
    rng = np.random.default_rng(0)
    lines = ["  ".join(f"{word}/n" for word in rng.choice(WORDS, rng.integers(4, 9))) for _ in range(count)]
    (folder / "people_daily.txt").write_text("\n".join(lines), encoding="utf-8")
    for name, kinds in (("neg", BAD), ("pos", GOOD)):
        reviews = [f"{''.join(rng.choice(WORDS, 4))}{rng.choice(kinds)}{number}" for number in range(count // 2)]
        (folder / f"{name}.txt").write_text("\n".join([*reviews, reviews[0], "说不清", "不知道"]), encoding="utf-8")


def test_the_recipe_runs(tmp_path, recipe):
    write_data(tmp_path)
    said = recipe("pretrain_chinese", "--smoke", "--with-reviews", "--data", tmp_path, "--out", tmp_path / "run")
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text("utf-8"))
    assert f"masked accuracy {metrics['masked']['accuracy']:.4f} of {metrics['masked']['num_tokens']} tokens" in said
    for amount in ("few", "all"):
        for name in ("commonest class", "TF-IDF", "without pretraining", "with pretraining"):
            assert f"{metrics[amount][name]['accuracy'][0]:.4f}" in said


def test_reviews_are_read_once_and_those_of_both_kinds_not_at_all(tmp_path):
    write_data(tmp_path)
    data = read_reviews(tmp_path)
    rows = [*data.train, *data.validation, *data.test]
    assert len(rows) == len({texts for texts, _ in rows}) == 120
    for (text,), label in rows:
        assert any(word in text for word in (BAD, GOOD)[label])
    labels = [label for _, label in data.train]
    assert 0.3 < np.mean(labels[:40]) < 0.7  # in no order
    assert few(data).train == data.train[:1000]


def test_the_newspaper_is_read_without_tags(tmp_path):
    write_data(tmp_path)
    data = read_newspaper(tmp_path)
    [line] = data.train[0]
    assert set(line.split()) <= set(WORDS)
    assert len(data.train) + len(data.validation) + len(data.test) == 120


def test_the_corpus_has_reviews_without_labels_and_none_of_the_test(tmp_path):
    write_data(tmp_path)
    newspaper, reviews = read_newspaper(tmp_path), read_reviews(tmp_path)
    corpus = with_unlabelled(newspaper, reviews)
    assert corpus.train == newspaper.train + [[text] for (text,), _ in reviews.train]
    assert corpus.validation == newspaper.validation + [[text] for (text,), _ in reviews.validation]
    assert corpus.test == newspaper.test
