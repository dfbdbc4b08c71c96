"""Task, LabelTask: the common parts of all tasks."""

import math

import numpy as np

from shared_layers.runtime import unknown_name
from textkit import encoding

MEAN = "mean_with_sample_weight"  # exact with repeated rows, padding and class weights, on any number of replicas


class Task:
    """A model with a head, and data for it.

    A subclass defines the data (`data_class`), training (`loss`, `metrics`, `encode`) and evaluation (`measure`).

    Args:
        model: a model of the class that the subclass is for, with a tokenizer.
        data: an instance of `data_class`.
        max_length: int, the maximum number of tokens of a row; `None` for the number of learned positions of the model, or
            512 if its positions are not learned.

    Attributes:
        data_class: class of the data.
        label_tokens: bool, whether each token has a label.
        monitor: str, the metric that determines the best epoch.
        mode: "max" or "min", whether larger or smaller values of it are better.

    Raises:
        ValueError: data of another class, a model without a tokenizer or with fewer ids than it, or a length beyond its
            positions.
    """

    data_class = None
    label_tokens = False
    monitor, mode = "val_accuracy", "max"

    def __init__(self, model, data, max_length=None):
        if not isinstance(data, self.data_class):
            received = f"{type(data).__name__} {getattr(data, 'name', '')!r}"
            raise ValueError(f"Expected {self.data_class.__name__} for a {type(model).__name__}. Received: {received}")
        self.model, self.data, self.tokenizer = model, data, model.tokenizer
        self.max_length = encoding.most_tokens(model, max_length) or encoding.DEFAULT_LENGTH

    def refuse(self, case="", **options):
        """Raises for options of other tasks.

        Args:
            case: str, a restriction for the error, such as " with problem='multi'".
            **options: the options of other tasks, which should be `None`.

        Raises:
            ValueError: an option that is not `None`.
        """
        for name, value in options.items():
            if value is not None:
                raise ValueError(f"A {type(self.model).__name__}{case} does not take {name}. Received: {name}={value!r}")

    def prepare(self):
        """Prepares the model for the classes of the data; called before training."""

    def loss(self):
        """The loss for `compile`, a weighted mean."""
        raise NotImplementedError

    def metrics(self):
        """The list of weighted metrics for `compile`."""
        return []

    def encode(self, split, training=False):
        """Encodes a split for `textkit.datasets.batching.encoded_batches`.

        Args:
            split: "train", "validation" or "test".
            training: bool, whether class weights are applied.

        Returns:
            tuple: inputs, dict of arrays (n, t); labels, array (n, ...) or a dict of such; weights, float32 (n,) or (n, t).
        """
        raise NotImplementedError

    def count_cut(self, split):
        """Counts the truncated examples of a split.

        Args:
            split: "train", "validation" or "test".

        Returns:
            int.
        """
        raise NotImplementedError

    def measure(self, split, predict, num_errors):
        """Measures the model on a split.

        Args:
            split: "train", "validation" or "test".
            predict: function from inputs (dict of arrays) to the model's outputs, such as `textkit.prediction.Predictor`.
            num_errors: int, how many errors are listed.

        Returns:
            dict, ready for JSON: metrics, "baseline" (the same metrics of a constant prediction from the training data), and
            "errors", the worst first.
        """
        raise NotImplementedError


class LabelTask(Task):
    """A task whose labels are named classes.

    A subclass defines the texts of a split (`texts`).

    Attributes:
        names: list of str, the class names of the model, or of the data if the model has none.
        numbers: int64 (c,), the model's class index for each class of the data.
    """

    def take_classes(self, class_weights):
        """Matches the classes of the data with those of the model by name.

        Args:
            class_weights: see `textkit.fine_tune`.

        Raises:
            ValueError: a class of the data or of `class_weights` that the model does not have, or a weight that is negative
                or not finite.
        """
        if not self.model.class_names and len(self.data.class_names) != self.model.num_classes:
            raise self._other_classes()
        self.names = list(self.model.class_names or self.data.class_names)
        number = {name: index for index, name in enumerate(self.names)}
        for name in self.data.class_names:
            if name not in number:
                raise unknown_name("label", name, self.names)
        self.numbers = np.array([number[name] for name in self.data.class_names], "int64")
        if isinstance(class_weights, dict):
            for name, weight in class_weights.items():
                if name not in number:
                    raise unknown_name("class", name, self.names)
                if not (math.isfinite(weight) and weight >= 0):
                    raise ValueError(f"Expected finite weights of classes, at least 0. Received: {weight} of {name!r}")
        elif class_weights not in (None, "balanced"):
            raise ValueError(f"Expected 'balanced', a dict or None. Received: class_weights={class_weights!r}")
        self.class_weights = class_weights

    def prepare(self):
        """Sets the model's class names.

        Raises:
            ValueError: the model has more classes than the data.
        """
        if len(self.names) != len(self.numbers):
            raise self._other_classes()
        self.model.class_names = self.names

    def texts(self, split):
        """The texts of a split.

        Args:
            split: "train", "validation" or "test".

        Returns:
            list with one list of str, or two for pairs of texts.
        """
        raise NotImplementedError

    def count_cut(self, split):
        """As in `Task`."""
        return encoding.count_longer(self.tokenizer, self.max_length, *self.texts(split))

    def weights_of_classes(self, labels):
        """Computes the loss weights of the classes.

        Args:
            labels: int (n,), the labels of the training split.

        Returns:
            float32 (c,).

        Reference:
            "balanced" is scikit-learn's: King and Zeng 2001, "Logistic Regression in Rare Events Data".
        """
        if self.class_weights == "balanced":
            counts = np.bincount(labels, minlength=len(self.names))
            return (len(labels) / (len(self.names) * np.maximum(counts, 1))).astype("float32")
        given = self.class_weights or {}
        return np.array([given.get(name, 1.0) for name in self.names], "float32")

    def _other_classes(self):
        return ValueError(
            f"Expected data with the model's {self.model.num_classes} classes, or a new head: from_preset(num_classes=...). "
            f"Received: {self.data.name!r} with {len(self.data.class_names)} classes"
        )


def log_softmax(logits):
    """Computes log-probabilities.

    Args:
        logits: float array (..., c).

    Returns:
        float array (..., c).
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def scores_of_classes(scores, names, counts):
    """Scores of the classes that occur, ready for JSON.

    Args:
        scores: `textkit.label_metrics.Scores` of arrays (c,).
        names: list of c str.
        counts: int (c,), the number of labels of each class.

    Returns:
        dict {name: {"precision", "recall", "f1", "count"}}.
    """
    columns = zip(names, *(each.tolist() for each in scores), counts, strict=True)
    return {
        name: {"precision": precision, "recall": recall, "f1": f1, "count": int(count)}
        for name, precision, recall, f1, count in columns
        if count
    }
