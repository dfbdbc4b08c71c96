"""Predictions of models with a head for one text, and the logits and tokens to explain. NumPy only."""

import dataclasses
import itertools

import numpy as np

from shared_layers.runtime import unknown_name
from textkit.heads import SpanClassifier, TextClassifier, TokenClassifier
from textkit.span_search import best_spans

_SAID = 3  # the most classes in `Answer.answer`


@dataclasses.dataclass(frozen=True)
class Divided:
    """A text and its pair, divided into tokens and words.

    Attributes:
        text: str.
        pair: str, the second text; or `None`.
        tokens: list of n str, special tokens included.
        words: list of w str, the words of the text and then those of the pair.
        offsets: list of w (begin, end), character indices in the text or in the pair.
        num_first: int, the number of words of the text.
        word_of_token: list of n int, the index of each token's word, -1 for special tokens.
    """

    text: str
    pair: str | None
    tokens: list
    words: list
    offsets: list
    num_first: int
    word_of_token: list

    @property
    def belongs(self):
        """float32 (n, w), 1 where a token belongs to a word."""
        return (np.asarray(self.word_of_token)[:, None] == np.arange(len(self.words))).astype("float32")


@dataclasses.dataclass(frozen=True)
class Answer:
    """The prediction of a model, and the part of it to explain.

    Attributes:
        row: float (n,), the weights of the tokens that this part is read from.
        chosen: float, of the shape of the logits, their weights in the explained score.
        explained: str, the description of the relevance: "relevance for positive".
        answer: str, the prediction.
        target: int, (int, int) or `None`; see `textkit.explain`.
        probabilities: float, of the shape of the logits; or `None`.
    """

    row: np.ndarray
    chosen: np.ndarray
    explained: str
    answer: str
    target: int | tuple | None
    probabilities: np.ndarray | None


def reader_of(model):
    """Finds the function that reads the logits of a model.

    Args:
        model: a model.

    Returns:
        `read_class`, `read_labels` or `read_span`; `None` for a model without such a head.
    """
    return next((read for head, read in _READERS.items() if isinstance(model, head)), None)


def read_class(model, logits, divided, target, word):
    """Reads the logits of a `TextClassifier`.

    Args:
        model: the model.
        logits: float (c,).
        divided: `Divided`.
        target: int or str, the class to explain; `None` for the predicted one.
        word: not used.

    Returns:
        An `Answer`.

    Raises:
        ValueError: there is no such class.
    """
    names = _names(model, len(logits))
    index = int(logits.argmax()) if target is None else _class_index(names, target)
    if model.problem == "regression":
        probabilities = None
        said = [
            f"{logit:.2f}" if len(logits) == 1 else f"{name} {logit:.2f}" for name, logit in zip(names, logits, strict=True)
        ]
    else:
        probabilities = _softmax(logits) if model.problem == "single" else 1 / (1 + np.exp(-logits))
        largest = np.argsort(-probabilities, kind="stable")[:_SAID]
        said = [f"{names[place]} {probabilities[place]:.2f}" for place in largest]
    return Answer(
        row=read_row(model, divided),
        chosen=np.eye(len(logits))[index],
        explained=f"relevance for {names[index] if len(logits) > 1 else 'a larger number'}",
        answer=", ".join(said),
        target=index,
        probabilities=probabilities,
    )


def read_labels(model, logits, divided, target, word):
    """Reads the logits of a `TokenClassifier`; the label of a word is that of its first token.

    Args:
        model: the model.
        logits: float (n, c).
        divided: `Divided`.
        target: int or str, the label to explain; `None` for the predicted ones.
        word: int, the word whose label is explained; `None` for all words.

    Returns:
        An `Answer`.

    Raises:
        ValueError: there is no such label.
    """
    names = _names(model, logits.shape[1])
    firsts = divided.belongs.argmax(0)  # (w,)
    predicted = logits[firsts].argmax(-1)
    labels = predicted if target is None else np.full_like(predicted, _class_index(names, target))
    asked = np.arange(len(firsts)) if word is None else np.array([word])
    chosen = np.zeros_like(logits)
    chosen[firsts[asked], labels[asked]] = 1.0
    one = None if target is None and word is None else int(labels[asked[0]])
    where = "all words" if word is None else repr(divided.words[word])
    return Answer(
        row=chosen.sum(-1),
        chosen=chosen,
        explained=f"relevance for {'the labels' if one is None else names[one]} of {where}",
        answer=", ".join(f"{each} {names[label]}" for each, label in zip(divided.words, predicted, strict=True)),
        target=one,
        probabilities=_softmax(logits),
    )


def read_span(model, logits, divided, target, word):
    """Reads the logits of a `SpanClassifier`.

    Args:
        model: the model.
        logits: float (n, 2), start and end logits; token 0 stands for no answer.
        divided: `Divided`; the answer is searched in the pair, or in the text if there is no pair.
        target: the answer to explain: (int, int), its first and last word, or str, its text; `None` for the predicted one.
        word: not used.

    Returns:
        An `Answer`.

    Raises:
        ValueError: there are no such words.
    """
    best = _best_span(logits, divided)
    asked = best if target is None else _find_span(divided, target) if isinstance(target, str) else target
    chosen = np.zeros_like(logits)
    if asked is None:
        chosen[0] = 1.0
    else:
        _check_span(divided, asked)
        chosen[divided.word_of_token.index(asked[0]), 0] = 1.0
        chosen[len(logits) - 1 - divided.word_of_token[::-1].index(asked[1]), 1] = 1.0
    return Answer(
        row=chosen.sum(-1),
        chosen=chosen,
        explained=f"relevance for the answer {_span(divided, asked)!r}",
        answer=_span(divided, best),
        target=asked,
        probabilities=_softmax(logits, axis=0),
    )


_READERS = {TextClassifier: read_class, TokenClassifier: read_labels, SpanClassifier: read_span}


def read_row(model, divided):
    """Finds the tokens that a model reads a text from: all with mean pooling, else the first.

    Args:
        model: a model on a `TextEncoder`.
        divided: `Divided`.

    Returns:
        float64 (n,), 1 for these tokens, else 0.
    """
    count = len(divided.tokens)
    return np.ones(count) if getattr(model, "pooling", "token") == "mean" else np.eye(count)[0]


def _best_span(logits, divided):
    """The words (first, last) of the most probable answer; `None` if "no answer" is more probable."""
    words = np.asarray(divided.word_of_token)
    allowed = words >= _first_word(divided)
    [(first, last, score)] = best_spans(*logits.T, allowed)
    return None if score <= logits[0].sum(dtype="float64") else (int(words[first]), int(words[last]))


def _first_word(divided):
    """The first word that an answer may have: that of the pair, if there is one."""
    return divided.num_first if divided.num_first < len(divided.words) else 0


def _find_span(divided, answer):
    """The words (first, last) of the first occurrence of an answer."""
    places = range(_first_word(divided), len(divided.words))
    for words in itertools.combinations_with_replacement(places, 2):
        if _span(divided, words) == answer:
            return words
    raise ValueError(f"Expected whole words of the text (or of its pair) as target. Received: target={answer!r}")


def _check_span(divided, words):
    count, first = len(divided.words), divided.num_first
    if np.shape(words) != (2,) or not 0 <= words[0] <= words[1] < count or (words[0] < first) != (words[1] < first):
        raise ValueError(
            f"Expected (first, last), indices of words below {count} in one text, as target. Received: target={words!r}"
        )


def _span(divided, words):
    if words is None:
        return "none"
    source = divided.text if words[0] < divided.num_first else divided.pair
    return source[divided.offsets[words[0]][0] : divided.offsets[words[1]][1]]


def _names(model, count):
    return [str(name) for name in model.class_names or range(count)]


def _class_index(names, target):
    if isinstance(target, str) and target in names:
        return names.index(target)
    if isinstance(target, str) and not target.isdecimal():
        raise unknown_name("target", target, names)
    if not isinstance(target, int | np.integer | str) or not 0 <= int(target) < len(names):
        raise ValueError(f"target must be in [0, {len(names)}), or a name. Received: target={target!r}")
    return int(target)


def _softmax(logits, axis=-1):
    weights = np.exp(logits - logits.max(axis, keepdims=True))
    return weights / weights.sum(axis, keepdims=True)
