"""Metrics of classification, tagging and question answering, by their published definitions.

Scores are between 0 and 1, also where published scripts print percentages.
"""

import collections
import itertools
import re
import string
import typing

import numpy as np

from shared_layers.runtime import unknown_name

_AVERAGES = ("macro", "micro")
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
# The meaning of tag prefixes: BIO, BIOES and, with other letters, BMES and BILOU.
_BEGINS, _CONTINUES, _OPEN = set("BSU"), set("IMEL"), set("BIM")


class Scores(typing.NamedTuple):
    """Precision, recall and F1: floats, or float64 (c,) for each class."""

    precision: float | np.ndarray
    recall: float | np.ndarray
    f1: float | np.ndarray


def accuracy(predicted, labels):
    """The fraction of correct predictions; for multi-label rows, of rows that are correct in every column.

    Args:
        predicted: int (n,), or bool (n, c).
        labels: array of the same shape.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: different shapes, or no labels.

    Example:
        >>> accuracy([0, 1, 2, 2], [0, 1, 1, 2])
        0.75
    """
    predicted, labels = _alike(predicted, labels)
    return float((predicted == labels).reshape(len(labels), -1).all(axis=1).mean())


def confusion_matrix(predicted, labels, num_classes):
    """Counts how often each class was predicted as each class.

    Args:
        predicted: int (n,).
        labels: int (n,).
        num_classes: int, c.

    Returns:
        int64 (c, c): in row i and column j the number of examples of class i predicted as class j.

    Raises:
        ValueError: different shapes, no labels, or class indices out of range.

    Example:
        >>> confusion_matrix([0, 1, 1], [0, 0, 1], 2)
        array([[1, 1],
               [0, 1]])
    """
    predicted, labels = _classes(predicted, num_classes, "predicted"), _classes(labels, num_classes, "labels")
    predicted, labels = _alike(predicted, labels)
    return np.bincount(labels * num_classes + predicted, minlength=num_classes**2).reshape(num_classes, num_classes)


def precision_recall_f1(predicted, labels, num_classes=None, average=None):
    """Precision, recall and F1 of each class, or their average.

    Undefined scores (the precision of a class that was never predicted, the recall of a class without examples) are 0, as in
    scikit-learn.

    Args:
        predicted: int (n,), or bool (n, c) for multi-label.
        labels: array of the same shape.
        num_classes: int, c; required for int labels.
        average: `None` for the scores of each class; "macro" for the mean of each score over the classes that occur in
            `labels` or in `predicted`; "micro" for the scores of the summed counts.

    Returns:
        `Scores`.

    Raises:
        ValueError: different shapes, no labels, class indices out of range, or an unknown average.

    Reference:
        Sokolova and Lapalme, "A systematic analysis of performance measures for classification tasks", 2009, tables 3 and 4;
        macro F1 is the mean of the classes' F1, not the F1 of mean precision and recall (Opitz and Burst, "Macro F1 and
        Macro F1", 2019).

    Example:
        >>> precision_recall_f1([0, 1, 1, 1], [0, 0, 1, 1], 2).f1
        array([0.66666667, 0.8       ])
        >>> precision_recall_f1([0, 1, 1, 1], [0, 0, 1, 1], 2, average="micro").f1
        0.75
    """
    if average not in (None, *_AVERAGES):
        raise unknown_name("average", average, _AVERAGES)
    predicted, labels = _alike(predicted, labels)
    if predicted.ndim == 1:
        counts = confusion_matrix(predicted, labels, num_classes)
        right, said, true = np.diagonal(counts), counts.sum(axis=0), counts.sum(axis=1)
    else:
        predicted, labels = predicted.astype(bool), labels.astype(bool)
        right, said, true = (predicted & labels).sum(axis=0), predicted.sum(axis=0), labels.sum(axis=0)
    if average == "micro":
        return _scores(right.sum(), said.sum(), true.sum())
    scores = _scores(right, said, true)
    if average is None:
        return scores
    occurs = said + true > 0
    return Scores(*(float(score[occurs].mean()) if occurs.any() else 0.0 for score in scores))


def matthews_correlation(predicted, labels, num_classes):
    """Matthews correlation coefficient; for two classes it is the Pearson correlation of 0 and 1.

    Args:
        predicted: int (n,).
        labels: int (n,).
        num_classes: int.

    Returns:
        float in [-1, 1]; 0 if all labels or all predictions are of one class.

    Raises:
        ValueError: see `confusion_matrix`.

    Reference:
        Matthews 1975; for more than two classes Gorodkin, "Comparing two K-category assignments by a K-category correlation
        coefficient", 2004.

    Example:
        >>> round(matthews_correlation([1, 1, 0, 0], [1, 0, 0, 0], 2), 4)
        0.5774
    """
    counts = confusion_matrix(predicted, labels, num_classes).astype("float64")
    said, true, total = counts.sum(axis=0), counts.sum(axis=1), counts.sum()
    spread = (total**2 - said @ said) * (total**2 - true @ true)
    return float((np.trace(counts) * total - said @ true) / np.sqrt(spread)) if spread else 0.0


def pearson(predicted, labels):
    """Pearson correlation.

    Args:
        predicted: float (n,).
        labels: float (n,).

    Returns:
        float in [-1, 1]; 0 if either is constant.

    Raises:
        ValueError: different shapes, or no labels.

    Example:
        >>> round(pearson([1, 2, 3], [2, 4, 7]), 4)
        0.9934
    """
    predicted, labels = (np.asarray(values, "float64") for values in _alike(predicted, labels))
    if np.ptp(predicted) == 0 or np.ptp(labels) == 0:  # exact, where a sum of squares is not
        return 0.0
    predicted, labels = predicted - predicted.mean(), labels - labels.mean()
    return float(predicted @ labels / np.sqrt((predicted @ predicted) * (labels @ labels)))


def spearman(predicted, labels):
    """Spearman correlation: the Pearson correlation of the ranks; equal numbers have their mean rank.

    Args:
        predicted: float (n,).
        labels: float (n,).

    Returns:
        float in [-1, 1]; 0 if either is constant.

    Raises:
        ValueError: different shapes, or no labels.

    Example:
        >>> spearman([1, 10, 100], [1, 2, 3])
        1.0
    """
    return pearson(*(_ranks(values) for values in _alike(predicted, labels)))


def normalized_answer(text):
    """Normalizes an answer as SQuAD does: lower case, without ASCII punctuation, English articles and extra spaces.

    Args:
        text: str.

    Returns:
        str.

    Reference:
        `normalize_answer` of SQuAD's `evaluate-v1.1.py` and `evaluate-v2.0.py`, the same in both.

    Example:
        >>> normalized_answer("The  Theory, of a thing!")
        'theory of thing'
    """
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def answer_scores(answers, references):
    """Exact match and F1 of answers to questions, as SQuAD's scripts compute them.

    The best reference counts for each answer; F1 is over words. For a question without an answer both scores are 1 for ""
    and 0 for anything else; for a question with an answer, "" scores 0. For SQuAD 1.1, where all questions have answers, the
    scores are those of its script.

    Args:
        answers: list of str, "" for no answer.
        references: list of lists of str, the correct answers of each question; empty for a question without an answer.

    Returns:
        dict of floats in [0, 1]: "exact_match" and "f1"; if there are questions with and without an answer, also
        "answerable_exact_match" and "answerable_f1" for those with an answer, and "unanswerable_accuracy" for the others.

    Raises:
        ValueError: different numbers of answers and references, or no answers.

    Reference:
        Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016, section 6.1, and "Know
        What You Don't Know", ACL 2018.

    Example:
        >>> answer_scores(["the cat sat", ""], [["cat", "a cat sat down"], []])["f1"]
        0.9
    """
    if len(answers) != len(references):
        raise ValueError(f"Expected as many references as answers. Received: {len(references)} for {len(answers)}")
    if not len(answers):
        raise ValueError("Expected at least one answer. Received: none")
    exact, shared, answerable = [], [], []
    for answer, right in zip(answers, references, strict=True):
        # References of only articles and punctuation are dropped, as in `evaluate-v2.0.py`.
        wanted = [words for words in (normalized_answer(text).split() for text in right) if words]
        found = normalized_answer(answer).split()
        answerable.append(bool(wanted))
        exact.append(max((found == words for words in wanted), default=not found))
        shared.append(max((_overlap(found, words) for words in wanted), default=float(not found)))
    exact, shared, answerable = np.array(exact), np.array(shared), np.array(answerable)
    scores = {"exact_match": exact.mean(), "f1": shared.mean()}
    if answerable.any() and not answerable.all():
        scores["answerable_exact_match"], scores["answerable_f1"] = exact[answerable].mean(), shared[answerable].mean()
        scores["unanswerable_accuracy"] = exact[~answerable].mean()
    return {name: float(score) for name, score in scores.items()}


def entities(tags):
    """Finds the entities in the tags of a sentence.

    Tags are "O", outside of all entities, or those of BIO, BIOES, BMES or BILOU, with or without a type: "B-PER". Tags are
    read leniently, as by conlleval and seqeval (except in its strict mode): an entity also begins at I or E if no entity of
    its type is open.

    Args:
        tags: list of str.

    Returns:
        list of (type, begin, end): the type, "" for tags without types; the index of the first word; the index after the
        last word.

    Raises:
        ValueError: an invalid tag.

    Reference:
        Tjong Kim Sang and De Meulder, "Introduction to the CoNLL-2003 Shared Task", 2003, and its conlleval.

    Example:
        >>> entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])
        [('PER', 0, 2), ('LOC', 3, 4), ('LOC', 4, 5)]
    """
    found = []
    opened = None  # the type of the entity that the next word may continue
    for place, tag in enumerate(tags):
        prefix, dash, kind = tag.partition("-")
        if tag == "O":
            opened = None
            continue
        if prefix not in _BEGINS | _CONTINUES or (dash and not kind):
            raise ValueError(f"Expected tags O, or B, I, E or S, alone or as B-TYPE. Received: {tag!r}")
        if prefix in _CONTINUES and kind == opened:
            found[-1] = (kind, found[-1][1], place + 1)
        else:
            found.append((kind, place, place + 1))
        opened = kind if prefix in _OPEN else None
    return found


def entity_scores(predicted, labels):
    """Precision, recall and F1 of entities; an entity is correct if its type, its first and its last word are.

    Args:
        predicted: list of lists of str, the tags of each sentence, see `entities`.
        labels: list of lists of str, of the same lengths.

    Returns:
        dict: "micro", the `Scores` of all entities, as reported for CoNLL-2003; "macro", the mean over the types; "types", a
        dict {type: `Scores`}, sorted.

    Raises:
        ValueError: different numbers of sentences or of tags, no sentences, or an invalid tag.

    Reference:
        See `entities`; the averages are seqeval's.

    Example:
        >>> entity_scores([["B-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC"]])["micro"].f1
        0.5
    """
    if len(predicted) != len(labels) or not len(labels):
        raise ValueError(f"Expected tags for the same sentences, at least one. Received: {len(predicted)} for {len(labels)}")
    right, said, true = collections.Counter(), collections.Counter(), collections.Counter()
    for number, (tags, wanted) in enumerate(zip(predicted, labels, strict=True)):
        if len(tags) != len(wanted):
            raise ValueError(f"Expected {len(wanted)} tags in sentence {number}. Received: {len(tags)}")
        found, there = set(entities(tags)), set(entities(wanted))
        for counter, some in ((right, found & there), (said, found), (true, there)):
            counter.update(kind for kind, _, _ in some)
    kinds = sorted(said | true)
    counts = np.array([[counter[kind] for kind in kinds] for counter in (right, said, true)], "int64").reshape(3, -1)
    of_kinds = _scores(*counts)
    return {
        "micro": _scores(*counts.sum(axis=1)),
        "macro": Scores(*(float(score.mean()) if kinds else 0.0 for score in of_kinds)),
        "types": {kind: Scores(*map(float, each)) for kind, each in zip(kinds, np.transpose(of_kinds), strict=True)},
    }


def _scores(right, said, true):
    """Precision, recall and F1 from counts; floats, or arrays."""
    scores = [_share(right, said), _share(right, true), _share(2 * right, said + true)]
    return Scores(*(float(score) if np.ndim(score) == 0 else score for score in scores))


def _share(part, whole):
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def _overlap(answer, reference):
    """F1 of the words of two answers, counted with multiplicity."""
    shared = (collections.Counter(answer) & collections.Counter(reference)).total()
    return 2 * shared / (len(answer) + len(reference))


def _ranks(values):
    values = np.asarray(values)
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.fromiter(itertools.accumulate(counts), "float64")
    return (ends - (counts - 1) / 2)[places]


def _alike(predicted, labels):
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    if predicted.shape != labels.shape:
        raise ValueError(f"Expected predictions of the shape of the labels, {labels.shape}. Received: {predicted.shape}")
    if not labels.size:
        raise ValueError(f"Expected at least one label. Received: none, of shape {labels.shape}")
    return predicted, labels


def _classes(values, num_classes, name):
    values = np.asarray(values)
    wrong = values[(values < 0) | (values >= num_classes)]
    if wrong.size:
        raise ValueError(f"Expected classes from 0 to {num_classes - 1}. Received: {name} with {wrong[0]}")
    return values
