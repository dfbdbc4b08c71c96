"""The recipe of film reviews, small; and its baseline."""

import json

import numpy as np
import pytest

from scripts import tfidf
from scripts.finetune_reviews import read
from scripts.tfidf import tfidf_predictions
from tests.textkit import labels


def write_reviews(path, count=200):
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for number in range(count):
            kind = int(rng.integers(2))
            word = rng.choice((labels.BAD, labels.GOOD)[kind])
            text = " ".join([*labels.fillers(rng), word, *labels.fillers(rng), str(number)])
            file.write(f"{text}\t{(2 * kind - 1) * rng.uniform(0.1, 3.9):.3f}\n")


def test_the_recipe_runs(tmp_path, recipe):
    write_reviews(tmp_path / "reviews.tsv")
    labels.make_model("classify").save_to_preset(tmp_path / "model")
    given = ["--reviews", tmp_path / "reviews.tsv", "--model", tmp_path / "model", "--out", tmp_path / "run"]
    said = recipe("finetune_reviews", "--smoke", *given)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert f"{metrics['fine_tuned']['num_examples']} reviews of the test split" in said
    for name in ("fine_tuned", "tfidf"):
        assert f"{metrics[name]['accuracy']:.4f}" in said


def test_only_clear_ratings_are_kept(tmp_path):
    write_reviews(tmp_path / "reviews.tsv")
    rated = dict(line.split("\t") for line in (tmp_path / "reviews.tsv").read_text().splitlines())
    data = read(tmp_path / "reviews.tsv")
    found = {texts[0]: label for split in (data.train, data.validation, data.test) for texts, label in split}
    assert found == {text: int(float(rating) > 0) for text, rating in rated.items() if abs(float(rating)) >= 0.5}
    assert len(found) < 200
    assert abs(len(data.test) - 20) < 8


@pytest.mark.parametrize("units", ["words", "characters"])
def test_the_baseline_learns_which_words_count(units):
    data = labels.reviews(400)
    splits = [[texts[0] for texts, _ in split] for split in (data.train, data.validation, data.test)]
    found = tfidf_predictions(splits[0], data.labels("train"), splits[1], data.labels("validation"), splits[2], units)
    assert np.mean(found == data.labels("test")) > (0.95 if units == "words" else 0.6)


def test_features_by_hand():
    size, (matrix, other) = tfidf._features("words", ["good film good", "film"], ["film unheard", "x"])
    dense = np.zeros((2, size))
    np.add.at(dense, (matrix[0], matrix[1]), matrix[2])
    rare, common = np.log(3 / 2) + 1, 1.0  # of "good", "good film", "film good"; of "film"
    length = np.sqrt((2 * rare) ** 2 + common**2 + 2 * rare**2)
    np.testing.assert_allclose(sorted(dense[0]), sorted([2 * rare / length, common / length, *2 * [rare / length], 1.0]))
    np.testing.assert_allclose(sorted(dense[1]), [0, 0, 0, 1, 1])
    assert other[3] == 2
    assert other[2].tolist() == [1, 1, 1]  # "film", and the ones


def test_the_fit_is_where_the_gradient_is_nothing():
    data = labels.reviews(150)
    size, (matrix,) = tfidf._features("words", [texts[0] for texts, _ in data.train])
    kinds = data.labels("train")
    weights = tfidf._fit(matrix, kinds, size, 3.0)
    dense = np.zeros((matrix[3], size))
    np.add.at(dense, (matrix[0], matrix[1]), matrix[2])
    gradient = dense.T @ (1 / (1 + np.exp(-dense @ weights)) - kinds) + weights / 3.0
    assert np.abs(gradient).max() < 1e-4
    assert np.abs(weights).max() > 1
