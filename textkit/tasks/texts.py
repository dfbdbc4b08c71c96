"""TextTask: classification and regression of texts and pairs of texts."""

import keras
import numpy as np

from textkit import encoding, label_metrics
from textkit.datasets.labelled import ClassifiedTexts
from textkit.tasks.task import MEAN, LabelTask, log_softmax, scores_of_classes


class TextTask(LabelTask):
    """A `TextClassifier` and `ClassifiedTexts`; see `Task`.

    Args:
        model, data, max_length: see `Task`.
        class_weights: see `textkit.fine_tune`.
        stride: `None`.

    Raises:
        ValueError: texts of another problem than the model's, a `stride`, or `class_weights` for another problem than
            "single".
    """

    data_class = ClassifiedTexts

    def __init__(self, model, data, max_length=None, class_weights=None, stride=None):
        super().__init__(model, data, max_length)
        self.refuse(stride=stride)
        self.problem = model.problem
        if data.problem != self.problem:
            received = f"{data.name!r} with problem={data.problem!r}"
            raise ValueError(f"Expected texts with the model's problem, {self.problem!r}. Received: {received}")
        if self.problem != "single":
            self.refuse(f" with problem={self.problem!r}", class_weights=class_weights)
            self.monitor, self.mode = "val_loss", "min"
        if self.problem == "regression":
            if model.num_classes != 1:
                raise ValueError(f"Expected num_classes=1 for a regression. Received: num_classes={model.num_classes}")
        else:
            self.take_classes(class_weights)

    def prepare(self):
        """As in `LabelTask`; a regression has no classes."""
        if self.problem != "regression":
            super().prepare()

    def loss(self):
        if self.problem == "single":
            return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=MEAN)
        if self.problem == "multi":
            return keras.losses.BinaryCrossentropy(from_logits=True, reduction=MEAN)
        return keras.losses.MeanSquaredError(reduction=MEAN)

    def metrics(self):
        if self.problem == "single":
            return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        return [keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")] if self.problem == "multi" else []

    def encode(self, split, training=False):
        labels = self._labels(split)
        weights = np.ones(len(labels), "float32")
        if training and self.problem == "single":
            weights = self.weights_of_classes(labels)[labels]
        return self._inputs(split), labels.astype("float32") if labels.ndim > 1 else labels, weights

    def measure(self, split, predict, num_errors):
        logits = predict(self._inputs(split))
        labels, known = self._labels(split), self._labels("train")
        if self.problem == "regression":
            loss = np.abs(logits - labels)[:, 0]
            mean = np.full_like(labels, known.mean())
            measured, baseline = _correlations(logits, labels), _correlations(mean, labels)
            wrong = np.arange(len(labels))
        elif self.problem == "multi":
            predicted, labels = logits > 0, labels.astype(bool)
            loss = np.logaddexp(0, np.where(labels, -logits, logits)).sum(axis=1)
            common = np.broadcast_to(known.mean(axis=0) > 0.5, labels.shape)
            measured, baseline = _of_several(predicted, labels), _of_several(common, labels)
            scores = label_metrics.precision_recall_f1(predicted, labels)
            measured["classes"] = scores_of_classes(scores, self.names, labels.sum(axis=0))
            wrong = np.flatnonzero((predicted != labels).any(axis=1))
        else:
            predicted, count = logits.argmax(axis=1), len(self.names)
            loss = -np.take_along_axis(log_softmax(logits), labels[:, None], axis=1)[:, 0]
            common = np.full_like(labels, np.bincount(known).argmax())
            measured, baseline = _of_one(predicted, labels, count), _of_one(common, labels, count)
            scores = label_metrics.precision_recall_f1(predicted, labels, count)
            measured["classes"] = scores_of_classes(scores, self.names, np.bincount(labels, minlength=count))
            matrix = label_metrics.confusion_matrix(predicted, labels, count)
            measured["confusion"] = {"classes": self.names, "counts": matrix.tolist()}
            wrong = np.flatnonzero(predicted != labels)
        worst = wrong[np.argsort(-loss[wrong], kind="stable")][:num_errors]
        errors = [self._error(split, row, labels[row], logits[row]) for row in worst]
        return {**measured, "baseline": baseline, "errors": errors}

    def texts(self, split):
        return [list(column) for column in zip(*(texts for texts, _ in getattr(self.data, split)), strict=True)]

    def _inputs(self, split):
        return encoding.encode(self.tokenizer, *self.texts(split), max_length=self.max_length)

    def _labels(self, split):
        """The labels as indices of the model's classes, int32 (n,); multi-hot or numbers, float32 (n, c)."""
        labels = self.data.labels(split)
        if self.problem == "single":
            return self.numbers[labels].astype("int32")
        if self.problem == "regression":
            return labels[:, None]
        known = np.zeros((len(labels), self.model.num_classes), "float32")
        known[:, self.numbers] = labels
        return known

    def _error(self, split, row, label, logits):
        """One entry of "errors"."""
        error = {"texts": list(getattr(self.data, split)[row][0])}
        if self.problem == "regression":
            return {**error, "label": float(label[0]), "predicted": float(logits[0])}
        if self.problem == "multi":
            said = {"label": label, "predicted": logits > 0}
            return error | {key: [self.names[each] for each in np.flatnonzero(values)] for key, values in said.items()}
        said = int(logits.argmax())
        probability = float(np.exp(log_softmax(logits)[said]))
        return {**error, "label": self.names[label], "predicted": self.names[said], "probability": probability}


def _of_one(predicted, labels, count):
    return {
        "accuracy": label_metrics.accuracy(predicted, labels),
        "macro_f1": label_metrics.precision_recall_f1(predicted, labels, count, average="macro").f1,
        "matthews_correlation": label_metrics.matthews_correlation(predicted, labels, count),
    }


def _of_several(predicted, labels):
    """Multi-label scores; "accuracy" is the fraction of rows with all labels right."""
    measured = {"accuracy": label_metrics.accuracy(predicted, labels)}
    for average in ("micro", "macro"):
        measured[f"{average}_f1"] = label_metrics.precision_recall_f1(predicted, labels, average=average).f1
    return measured


def _correlations(predicted, labels):
    predicted, labels = predicted[:, 0], labels[:, 0]
    return {
        "pearson": label_metrics.pearson(predicted, labels),
        "spearman": label_metrics.spearman(predicted, labels),
        "mean_absolute_error": float(np.abs(predicted - labels).mean()),
    }
