"""The two tables of sentiment in short, of real reviews: `scripts.finetune_reviews` and `pretrain_chinese` have the long."""

import os
import pathlib

import pytest

from scripts import finetune_reviews, pretrain_chinese


def folder(name):
    folder = pathlib.Path(os.environ.get("REAL_DATA", ".")) / name
    if not folder.is_dir():
        pytest.skip(f"REAL_DATA names no folder with {name} in it")
    return folder


def test_film_reviews_from_minilm(tmp_path):
    reviews = folder("movie_reviews") / "reviews.tsv"
    metrics = finetune_reviews.run(
        reviews, folder("minilm"), tmp_path, limit=600, epochs=2, batch_size=8, learning_rate=2e-4
    )
    accuracy = metrics["fine_tuned"]["accuracy"]
    assert metrics["fine_tuned"]["num_examples"] == 600
    assert accuracy > metrics["tfidf"]["accuracy"] + 0.02
    assert accuracy > metrics["fine_tuned"]["baseline"]["accuracy"] + 0.1


def test_chinese_reviews_after_a_newspaper(tmp_path):
    metrics = pretrain_chinese.run(
        folder("zh_reviews"),
        tmp_path,
        minutes=None,
        limit=2000,
        sizes={"num_layers": 1},
        pretraining={"epochs": 1, "warmup_steps": 20},
        fine_tuning={"few": {"epochs": 4, "batch_size": 16, "learning_rate": 5e-4}},
        seeds={"few": [0]},
    )
    masked, few = metrics["masked"], metrics["few"]
    assert masked["perplexity"] < 1500  # of 6 000 tokens: it knows how often each is there, which takes no longer
    assert few["train"] == pretrain_chinese.FEW
    assert few["with pretraining"]["accuracy"][0] > few["commonest class"]["accuracy"][0] + 0.05
    assert "1000 labels" in pretrain_chinese.table(metrics)
