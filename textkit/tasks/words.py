"""WordTask: a class for each word of a sentence."""

import collections

import keras
import numpy as np

from textkit import encoding, label_metrics
from textkit.datasets.labelled import TaggedTexts
from textkit.tasks.task import MEAN, LabelTask, log_softmax, scores_of_classes

_OUTSIDE = "O"


class WordTask(LabelTask):
    """A `TokenClassifier` and `TaggedTexts`; see `Task`.

    A sentence is its words joined by spaces. The first token of each word has the label, in training and in prediction.
    Words without a token (truncated, or only control characters) are predicted as "O", or as the first class if there is no
    "O".

    Args:
        model, data, max_length: see `Task`.
        class_weights: see `textkit.fine_tune`.
        stride: `None`.

    Reference: Devlin et al. 2019, section 5.3.
    """

    data_class = TaggedTexts
    label_tokens = True

    def __init__(self, model, data, max_length=None, class_weights=None, stride=None):
        super().__init__(model, data, max_length)
        self.refuse(stride=stride)
        self.take_classes(class_weights)
        self.outside = self.names.index(_OUTSIDE) if _OUTSIDE in self.names else 0

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=MEAN)

    def metrics(self):
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def encode(self, split, training=False):
        inputs, firsts = self._inputs(split)
        labels = np.zeros(inputs["token_ids"].shape, "int32")
        weights = np.zeros(labels.shape, "float32")
        for row, tags in enumerate(self._tags(split)):
            tokens, words = firsts[row]
            labels[row, tokens], weights[row, tokens] = tags[words], 1
        if training:
            weights *= self.weights_of_classes(labels[weights > 0])[labels]
        return inputs, labels, weights

    def measure(self, split, predict, num_errors):
        inputs, firsts = self._inputs(split)
        logits = predict(inputs)
        predicted, losses, wanted = [], [], self._tags(split)
        for row, tags in enumerate(wanted):
            tokens, words = firsts[row]
            said, loss = np.full(len(tags), self.outside), np.zeros(len(tags))
            said[words] = logits[row, tokens].argmax(axis=-1)
            loss[words] = -log_softmax(logits[row, tokens])[np.arange(len(words)), tags[words]]
            predicted.append(said)
            losses.append(loss)
        common = collections.Counter(np.concatenate(self._tags("train")).tolist()).most_common(1)[0][0]
        baseline = self._scores([np.full_like(tags, common) for tags in wanted], wanted)
        flat, right, count = np.concatenate(predicted), np.concatenate(wanted), len(self.names)
        matrix = label_metrics.confusion_matrix(flat, right, count)
        scores = label_metrics.precision_recall_f1(flat, right, count)
        rows = [row for row in range(len(wanted)) if (predicted[row] != wanted[row]).any()]
        rows.sort(key=lambda row: -losses[row][predicted[row] != wanted[row]].sum())
        return {
            **self._scores(predicted, wanted),
            "classes": scores_of_classes(scores, self.names, np.bincount(right, minlength=count)),
            "confusion": {"classes": self.names, "counts": matrix.tolist()},
            "baseline": baseline,
            "errors": [self._error(split, row, wanted[row], predicted[row]) for row in rows[:num_errors]],
        }

    def texts(self, split):
        return [[" ".join(words) for words, _ in getattr(self.data, split)]]

    def _inputs(self, split):
        """The model's inputs and, for each row, the indices of first tokens and of their words, see `first_tokens`."""
        inputs = encoding.encode(self.tokenizer, *self.texts(split), max_length=self.max_length, return_offsets=True)
        offsets, sentences = inputs.pop("offsets"), (words for words, _ in getattr(self.data, split))
        return inputs, [first_tokens(row[:, 1], words) for row, words in zip(offsets, sentences, strict=True)]

    def _tags(self, split):
        """The labels of each sentence as indices of the model's classes: list of int64 (w,)."""
        return [self.numbers[tags] for _, tags in getattr(self.data, split)]

    def _scores(self, predicted, wanted):
        flat, right = np.concatenate(predicted), np.concatenate(wanted)
        measured = {"accuracy": label_metrics.accuracy(flat, right)}
        try:
            label_metrics.entities(self.names)
        except ValueError:  # not entity tags, but for example parts of speech
            scores = label_metrics.precision_recall_f1(flat, right, len(self.names), average="macro")
            return {**measured, "macro_f1": scores.f1}
        named = ([[self.names[tag] for tag in tags] for tags in sentences] for sentences in (predicted, wanted))
        found = label_metrics.entity_scores(*named)
        types = {kind: scores._asdict() for kind, scores in found["types"].items()}
        return {**measured, **found["micro"]._asdict(), "types": types}

    def _error(self, split, row, wanted, predicted):
        """One entry of "errors"."""
        words = getattr(self.data, split)[row][0]
        wrong = [
            {"word": words[place], "label": self.names[wanted[place]], "predicted": self.names[predicted[place]]}
            for place in np.flatnonzero(wanted != predicted)
        ]
        return {"text": " ".join(words), "wrong": wrong}


def first_tokens(ends, words):
    """Finds the first token of each word in a sentence of words joined by spaces.

    A token belongs to the word of its last character: a byte-pair token may begin with the space before the word.

    Args:
        ends: int (n,), the index after each token's last character; -1 for special tokens and padding.
        words: list of str.

    Returns:
        tuple: token indices int64 (m,); their word indices int64 (m,), each once.

    Example:
        >>> first_tokens(np.array([-1, 4, 5, 10, -1]), ["Birds", "sing"])
        (array([1, 3]), array([0, 1]))
    """
    past = np.cumsum([len(word) + 1 for word in words]) - 1  # the index of the space after each word
    word = np.searchsorted(past, ends - 1, side="right")
    inside = (ends > 0) & ~np.isin(ends - 1, past)
    tokens = np.flatnonzero(inside)
    firsts = np.unique(word[tokens], return_index=True)
    return tokens[firsts[1]], firsts[0]
