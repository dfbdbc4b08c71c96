"""Evaluation of a model with a head on a split of labelled texts, with a constant prediction as baseline."""

import functools

from shared_layers.runtime import unknown_name
from textkit.datasets.splits import SPLITS
from textkit.prediction import Predictor
from textkit.tasks import make_task


def evaluate_labels(model, data, split="test", *, max_length=None, stride=None, batch_size=32, num_errors=10, progress=None):
    """Predicts the labels of a split and measures them.

    Args:
        model: a `TextClassifier`, `TokenClassifier` or `SpanClassifier` with a tokenizer. If model and data both have class
            names, labels are matched by name.
        data: what `textkit.datasets.labelled.load` returns.
        split: "train", "validation" or "test".
        max_length: int, see `textkit.fine_tune`.
        stride: int, see `textkit.fine_tune`.
        batch_size: int, rows of a batch.
        num_errors: int, the number of errors listed.
        progress: callable of (done, total), or `None`.

    Returns:
        dict, ready for JSON: "data", "split", "num_examples", "num_cut" (the number of truncated texts; for spans, of
        truncated questions) and

        - for texts with classes: "accuracy", "macro_f1", "matthews_correlation" (multi-label: "micro_f1" instead), "classes"
          {name: {"precision", "recall", "f1", "count"}}, and except for multi-label "confusion" {"classes", "counts": a row
          for each true class, a column for each predicted class};
        - for regression: "pearson", "spearman", "mean_absolute_error";
        - for words: "accuracy"; for entity tags "precision", "recall", "f1" and "types" of entities, for other tags
          "macro_f1"; "classes" and "confusion" as above;
        - for spans: "exact_match" and "f1", and more if some questions have no answer, see
          `textkit.label_metrics.answer_scores`;
        - "baseline": the same metrics of a constant prediction: the most frequent class of train, its mean number, or, for
          spans, no answer or the whole context, depending on train;
        - "errors": the worst predictions, by loss, by absolute error or, for spans, by F1.

    Raises:
        ValueError: an unknown split, `num_errors` below 0, or a model, data or labels that do not fit each other.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    if num_errors < 0:
        raise ValueError(f"Expected at least 0. Received: num_errors={num_errors}")
    task = make_task(model, data, max_length=max_length, stride=stride)
    measured = task.measure(split, functools.partial(Predictor(model, batch_size), progress=progress), num_errors)
    found = {"data": data.name, "split": split, "num_examples": len(getattr(data, split)), "num_cut": task.count_cut(split)}
    return {**found, **measured}
