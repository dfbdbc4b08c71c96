"""How well texts, words and spans are labelled: metrics from their published definitions.

Names and numbers in, numbers out, as shares in 0 .. 1 where a published script prints percent.
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
# What the tags' prefixes say of a word in an entity: BIO, BIOES and, with other letters for the same, BMES and BILOU.
_BEGINS, _CONTINUES, _OPEN = set("BSU"), set("IMEL"), set("BIM")


class Scores(typing.NamedTuple):
    """Precision, recall and F1: floats, or float64 (c,) each, of each class."""

    precision: float | np.ndarray
    recall: float | np.ndarray
    f1: float | np.ndarray


def accuracy(predicted, labels):
    """The share of predictions that are right; where they are rows (multi-label), that are right in every column.

    Args:
        predicted: int (n,), or bool (n, c).
        labels: the same.

    Returns:
        float.

    Raises:
        ValueError: shapes differ, or nothing to compare.

    Example:
        >>> accuracy([0, 1, 2, 2], [0, 1, 1, 2])
        0.75
    """
    predicted, labels = _alike(predicted, labels)
    return float((predicted == labels).reshape(len(labels), -1).all(axis=1).mean())


def confusion_matrix(predicted, labels, num_classes):
    """Counts how often each class was taken for each.

    Args:
        predicted: int (n,).
        labels: int (n,).
        num_classes: int, c.

    Returns:
        int64 (c, c): in row i and column j how many of class i were taken for j.

    Raises:
        ValueError: shapes differ, nothing to compare, or numbers that are no class.

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

    What has nothing to be a share of (the precision of a class that was never predicted, the recall of one without
    examples) is 0, as scikit-learn has it.

    Args:
        predicted: int (n,), or bool (n, c): the classes of each, of which there may be none or several (multi-label).
        labels: the same.
        num_classes: int, c, of int labels.
        average: `None` for each class; "macro" for the mean of each score over the classes that occur, in `labels` or in
            `predicted`; "micro" for the scores of all decisions together.

    Returns:
        `Scores`.

    Raises:
        ValueError: shapes differ, nothing to compare, numbers that are no class, or an unknown average.

    Reference:
        Sokolova and Lapalme, "A systematic analysis of performance measures for classification tasks", 2009, tables 3 and 4;
        the macro F1 is the mean of those of the classes, not of two means (Opitz and Burst, "Macro F1 and Macro F1", 2019).

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
    """Matthews' correlation of two sets of classes, which is Pearson's of 0 and 1 where there are two.

    Args:
        predicted: int (n,).
        labels: int (n,).
        num_classes: int.

    Returns:
        float in -1 .. 1; 0 where all are of one class.

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
    """Pearson's correlation of two rows of numbers.

    Args:
        predicted: float (n,).
        labels: float (n,).

    Returns:
        float in -1 .. 1; 0 where either is constant, so says nothing of the other.

    Raises:
        ValueError: shapes differ, or nothing to compare.

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
    """Spearman's correlation: Pearson's of the ranks, where equal numbers share the mean of theirs.

    Args:
        predicted: float (n,).
        labels: float (n,).

    Returns:
        float in -1 .. 1; 0 where either is constant.

    Raises:
        ValueError: shapes differ, or nothing to compare.

    Example:
        >>> spearman([1, 10, 100], [1, 2, 3])
        1.0
    """
    return pearson(*(_ranks(values) for values in _alike(predicted, labels)))


def normalized_answer(text):
    """An answer as SQuAD compares it: lower case, without ASCII punctuation, English articles and spare spaces.

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

    Each answer counts by the reference that it is nearest to; F1 is that of the words the two share. Where there is no
    answer in the context, both scores are 1 for saying so and 0 for anything else; where there is one, 0 for saying that
    there is none. Of SQuAD 1.1, all of whose questions have answers, the scores are those of its own script.

    Args:
        answers: list of str, "" for no answer.
        references: list of lists of str, all that is right for each; an empty one where there is no answer.

    Returns:
        dict of floats in 0 .. 1: "exact_match" and "f1"; and the same of the questions with an answer alone
        ("answerable_exact_match", "answerable_f1") and of those without ("unanswerable_accuracy"), if there are both.

    Raises:
        ValueError: not as many references as answers, or none.

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
        # A reference of articles and punctuation alone cannot be met by words: `evaluate-v2.0.py` leaves it out.
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
    """Finds the entities that the tags of a sentence mark.

    Tags are "O", outside of all entities, or one of BIO, BIOES, BMES or BILOU, alone or with a type: "B-PER". An entity goes
    on while its type does and its words do not say that they begin or end one. It is read leniently, as conlleval and
    seqeval (but for its strict mode) do: an entity also begins at I or E, where none of its type is open.

    Args:
        tags: list of str.

    Returns:
        list of (type, begin, end): str, "" if the tags have none; the numbers of the first word and of that after the last.

    Raises:
        ValueError: what is no such tag.

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
    """Precision, recall and F1 of entities: one is found if its type, its first and its last word are right.

    Args:
        predicted: list of lists of str, the tags of each sentence, see `entities`.
        labels: the same.

    Returns:
        dict: "micro", `Scores` of all entities, which CoNLL-2003 reports; "macro", their mean over the types; "types", a
        dict {type: `Scores`}, in order.

    Raises:
        ValueError: not as many sentences, or tags in one, as there are labels; no sentences; what is no tag.

    Reference:
        See `entities`; the averages are seqeval's.

    Example:
        >>> entity_scores([["B-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC"]])["micro"].f1
        0.5
    """
    if len(predicted) != len(labels) or not len(labels):
        raise ValueError(f"Expected tags of as many sentences, and some. Received: {len(predicted)} for {len(labels)}")
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
    """Precision, recall and F1 of counts; floats, or arrays."""
    scores = [_share(right, said), _share(right, true), _share(2 * right, said + true)]
    return Scores(*(float(score) if np.ndim(score) == 0 else score for score in scores))


def _share(part, whole):
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def _overlap(answer, reference):
    """F1 of the words that two answers share, as often as both have them."""
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
        raise ValueError(f"Expected predictions shaped as the labels, {labels.shape}. Received: {predicted.shape}")
    if not labels.size:
        raise ValueError(f"Expected at least one label. Received: none, of shape {labels.shape}")
    return predicted, labels


def _classes(values, num_classes, name):
    values = np.asarray(values)
    wrong = values[(values < 0) | (values >= num_classes)]
    if wrong.size:
        raise ValueError(f"Expected classes below {num_classes}. Received: {name} with {wrong[0]}")
    return values
