"""Task, LabelTask: what is alike in all kinds of labels."""

import math

import numpy as np

from shared_layers.runtime import unknown_name
from textkit import encoding

MEAN = "mean_with_sample_weight"  # so that filled rows, padding and the weights of classes count right on all replicas


class Task:
    """A model with a head, and data for it.

    A subclass says what the data are (`data_class`), how they are learned (`loss`, `metrics`, `encode`) and measured
    (`measure`).

    Args:
        model: of the kind that the subclass is for, with a tokenizer.
        data: of `data_class`.
        max_length: int, the most tokens of a row; `None` for as many as the model has learned positions for, or 512
            where these have no end.

    Attributes:
        data_class: class, what data have to be.
        label_tokens: bool, whether labels are of tokens.
        monitor: str, the metric that says which epoch was best.
        mode: "max" or "min", which values of it are better.

    Raises:
        ValueError: data of another kind, a model without a tokenizer or of fewer ids, or a length beyond its positions.
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

    def refuse(self, **options):
        """Refuses options that are for other tasks: all that are not `None`."""
        for name, value in options.items():
            if value is not None:
                raise ValueError(f"A {type(self.model).__name__} has no use for it. Received: {name}={value!r}")

    def prepare(self):
        """Makes the model one of this data's classes; called before training."""

    def loss(self):
        """The loss of `fit`, a mean over the weights."""
        raise NotImplementedError

    def metrics(self):
        """The weighted metrics of `fit`."""
        return []

    def encode(self, split, training=False):
        """What `textkit.datasets.batching.encoded_batches` takes of a split: inputs, labels and weights.

        Args:
            split: "train", "validation" or "test".
            training: bool, whether classes are weighted.

        Returns:
            dict of arrays (n, t); array (n, ...), or a dict of such; float32 (n,) or (n, t).
        """
        raise NotImplementedError

    def count_cut(self, split):
        """How many examples of a split have more tokens than the model is given of them."""
        raise NotImplementedError

    def measure(self, split, predict, num_errors):
        """Measures the model on a split.

        Args:
            split: "train", "validation" or "test".
            predict: what gives the model's outputs of inputs, a dict of arrays, such as a `textkit.prediction.Predictor`.
            num_errors: int, how many of the worst errors are listed.

        Returns:
            dict, ready for JSON: metrics, "baseline" (the same of an answer that knows only the training data), and
            "errors", the worst first.
        """
        raise NotImplementedError


class LabelTask(Task):
    """A task whose labels are of classes with names.

    A subclass says what is read of a split (`texts`).

    Attributes:
        names: list of str, the model's classes; those of the data where the model has no names.
        numbers: int64 (c,), the model's class for each of the data's.
    """

    def take_classes(self, class_weights):
        """Finds the model's classes for those of the data.

        Args:
            class_weights: see `textkit.fine_tune`.

        Raises:
            ValueError: the data have others than the model, weights are of others or out of their range.
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
        """Refuses a head of more classes than the data have; gives it their names where it has none."""
        if len(self.names) != len(self.numbers):
            raise self._other_classes()
        self.model.class_names = self.names

    def texts(self, split):
        """What is read of a split: list of str and, of pairs of texts, another."""
        raise NotImplementedError

    def count_cut(self, split):
        """As in `Task`."""
        return encoding.count_longer(self.tokenizer, self.max_length, *self.texts(split))

    def weights_of_classes(self, labels):
        """The weight of each class in training, float32 (c,).

        Args:
            labels: int array, those of training.

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
            f"Expected data of {self.model.num_classes} classes, as the model; from_preset(num_classes=) makes a new head. "
            f"Received: {self.data.name!r} of {len(self.data.class_names)} classes"
        )


def log_softmax(logits):
    """Logarithms of probabilities, of logits (..., c)."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def scores_of_classes(scores, names, counts):
    """{name: precision, recall, F1 and how many there are} of the classes that occur."""
    columns = zip(names, *(each.tolist() for each in scores), counts, strict=True)
    return {
        name: {"precision": precision, "recall": recall, "f1": f1, "count": int(count)}
        for name, precision, recall, f1, count in columns
        if count
    }
