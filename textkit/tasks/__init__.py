"""Tasks: how texts, words and spans are labelled, for fine-tuning and evaluation."""

from textkit.heads import SpanClassifier, TextClassifier, TokenClassifier
from textkit.tasks.spans import SpanTask
from textkit.tasks.texts import TextTask
from textkit.tasks.words import WordTask

_TASKS = {TextClassifier: TextTask, TokenClassifier: WordTask, SpanClassifier: SpanTask}


def make_task(model, data, **options):
    """Makes the task of a model and its data.

    Args:
        model: a `TextClassifier`, `TokenClassifier` or `SpanClassifier`.
        data: what `textkit.datasets.labelled.load` returns.
        **options: see `textkit.tasks.task.Task`.

    Returns:
        A `textkit.tasks.task.Task`.

    Raises:
        ValueError: a model of another class, or data that do not fit it.
    """
    for model_class, task_class in _TASKS.items():
        if isinstance(model, model_class):
            return task_class(model, data, **options)
    expected = ", ".join(model_class.__name__ for model_class in _TASKS)
    raise ValueError(f"Expected a model with a head: {expected}. Received: model of {type(model).__name__}")
