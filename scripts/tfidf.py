"""TF-IDF and logistic regression, the baseline of tasks on texts, in NumPy."""

import collections
import itertools
import re

import numpy as np

_TOKEN = {"words": r"(?u)\b\w\w+\b", "characters": r"(?u)\w"}
_STEPS = 500
_STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)


def tfidf_predictions(train, labels, validation, validation_labels, test, units="words"):
    """Learns classes of texts by their n-grams, and predicts those of others.

    The strength of the regularisation is the one that does best in validation.

    Args:
        train: list of str.
        labels: int (n,), 0 or 1.
        validation: list of str.
        validation_labels: int, the same of these.
        test: list of str.
        units: "words" (one or two of them) or "characters" (the same).

    Returns:
        int64 (len(test),), 0 or 1.
    """
    known, (learned, *others) = _features(units, train, validation, test)
    weights = [_fit(learned, np.asarray(labels), known, strength) for strength in _STRENGTHS]
    shares = [np.mean((_logits(others[0], each) > 0) == validation_labels) for each in weights]
    return (_logits(others[1], weights[int(np.argmax(shares))]) > 0).astype("int64")


def _features(units, *splits):
    """The number of features, and of each split the rows, columns and values of its matrix, and the number of rows.

    Reference: scikit-learn's `TfidfVectorizer` (smooth frequencies, rows of length 1) and a last column of ones.
    """
    counted = [[_grams(text, units) for text in texts] for texts in splits]
    frequency = collections.Counter(gram for grams in counted[0] for gram in grams)
    column = {gram: index for index, gram in enumerate(frequency)}
    rarity = np.log((1 + len(counted[0])) / (1 + np.array([*frequency.values()]))) + 1
    matrices = []
    for texts in counted:
        known = ({gram: count for gram, count in grams.items() if gram in column} for grams in texts)
        cells = [(row, column[gram], count) for row, grams in enumerate(known) for gram, count in grams.items()]
        rows, columns, counts = np.array(cells, "int64").reshape(-1, 3).T
        values = counts * rarity[columns]
        values /= np.sqrt(np.bincount(rows, values**2, len(texts)))[rows]
        ones = np.arange(len(texts))
        rows, columns = np.concatenate([rows, ones]), np.concatenate([columns, np.full(len(texts), len(column))])
        matrices.append((rows, columns, np.concatenate([values, np.ones(len(texts))]), len(texts)))
    return len(column) + 1, matrices


def _grams(text, units):
    units = re.findall(_TOKEN[units], text.lower())
    return collections.Counter([*units, *map(" ".join, itertools.pairwise(units))])


def _logits(matrix, weights):
    rows, columns, values, count = matrix
    return np.bincount(rows, values * weights[columns], count)


def _fit(matrix, labels, size, strength):
    """Weights that minimise the sum of the losses, and half their square over `strength`.

    Reference: Nesterov's accelerated gradient, with the step that the largest curvature allows (found by powers).
    """
    rows, columns, values, _ = matrix

    def back(errors):
        return np.bincount(columns, values * errors[rows], size)

    direction = np.ones(size)
    for _ in range(20):
        direction = back(_logits(matrix, direction / np.linalg.norm(direction)))
    smallest, largest = 1 / strength, 1 / strength + np.linalg.norm(direction) / 4
    momentum = (np.sqrt(largest) - np.sqrt(smallest)) / (np.sqrt(largest) + np.sqrt(smallest))
    weights = ahead = np.zeros(size)
    for _ in range(_STEPS):
        errors = 1 / (1 + np.exp(-_logits(matrix, ahead))) - labels
        moved = ahead - (back(errors) + ahead / strength) / largest
        weights, ahead = moved, moved + momentum * (moved - weights)
    return weights
