"""What fine-tuning and measuring need to know of each kind of labels: of texts, of words, of spans."""

from textkit.heads import SpanClassifier, TextClassifier, TokenClassifier
from textkit.tasks.spans import SpanTask
from textkit.tasks.texts import TextTask
from textkit.tasks.words import WordTask

_TASKS = {TextClassifier: TextTask, TokenClassifier: WordTask, SpanClassifier: SpanTask}


def make_task(model, data, **options):
    """Joins a model and its data.

    Args:
        model: a `TextClassifier`, `TokenClassifier` or `SpanClassifier`.
        data: what `textkit.datasets.labelled.load` returns.
        **options: see `textkit.tasks.task.Task`.

    Returns:
        A `Task`.

    Raises:
        ValueError: a model without such a head, or data that are not for it.
    """
    for model_class, task_class in _TASKS.items():
        if isinstance(model, model_class):
            return task_class(model, data, **options)
    expected = ", ".join(model_class.__name__ for model_class in _TASKS)
    raise ValueError(f"Expected a model with a head: {expected}. Received: model of {type(model).__name__}")
