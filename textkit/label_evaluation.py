"""How well a model labels texts, words or spans that it has not seen, beside an answer that reads none of them."""

import functools

from shared_layers.runtime import unknown_name
from textkit.datasets.splits import SPLITS
from textkit.prediction import Predictor
from textkit.tasks import make_task


def evaluate_labels(model, data, split="test", *, max_length=None, stride=None, batch_size=32, num_errors=10, progress=None):
    """Labels a split and measures what came out.

    Args:
        model: a `TextClassifier`, `TokenClassifier` or `SpanClassifier` with a tokenizer. Where model and data both name
            their classes, labels are matched by name.
        data: what `textkit.datasets.labelled.load` returns.
        split: "train", "validation" or "test".
        max_length: int, see `textkit.fine_tune`.
        stride: int, the same.
        batch_size: int.
        num_errors: int, how many of the worst errors are listed.
        progress: callable of (done, total), or `None`.

    Returns:
        dict, ready for JSON: "data", "split", "num_examples", "num_cut" (how many of these have more tokens than the model
        is given: texts or, of spans, questions) and

        - of classes of texts: "accuracy", "macro_f1", "matthews_correlation" (of several at once "micro_f1"), "classes"
          {name: precision, recall, F1 and how many there are}, "confusion" {"classes", "counts": how many of the class of
          the row were taken for that of the column};
        - of numbers: "pearson", "spearman", "mean_absolute_error";
        - of words: "accuracy", of tags that mark entities their "precision", "recall", "f1" and "types", of others
          "macro_f1"; "classes" and "confusion" as above;
        - of spans: "exact_match" and "f1", and more where some questions have no answer, see
          `textkit.label_metrics.answer_scores`;
        - "baseline": the same metrics of the commonest class of train, of its mean number, or of whichever is commoner in
          train of no answer and the whole context;
        - "errors": the worst, by the loss, by the distance or, of spans, by the words shared.

    Raises:
        ValueError: an unknown split, or a model, data or labels that do not fit each other.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if num_errors < 0:
        raise ValueError(f"Expected a number of at least 0. Received: num_errors={num_errors}")
    task = make_task(model, data, max_length=max_length, stride=stride)
    measured = task.measure(split, functools.partial(Predictor(model, batch_size), progress=progress), num_errors)
    found = {"data": data.name, "split": split, "num_examples": len(getattr(data, split)), "num_cut": task.count_cut(split)}
    return {**found, **measured}
