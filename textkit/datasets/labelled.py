"""Loads labelled texts by task and name, for `textkit train classify|pair|tag|qa`."""

import functools
import os

from shared_layers.runtime import unknown_name
from textkit.datasets.classify import ClassifiedTexts, file_texts, tensorflow_texts
from textkit.datasets.qa import Answer, Question, Questions, squad_questions, tensorflow_questions
from textkit.datasets.tag import TaggedTexts, file_tags, tensorflow_tags

__all__ = ["Answer", "ClassifiedTexts", "Question", "Questions", "TaggedTexts", "load"]

_TFDS = "tfds:"
_READERS = {  # for files, for tensorflow_datasets
    "classify": (file_texts, tensorflow_texts),
    "pair": (functools.partial(file_texts, pair=True), functools.partial(tensorflow_texts, pair=True)),
    "tag": (file_tags, tensorflow_tags),
    "qa": (squad_questions, tensorflow_questions),
}


def load(task, name, **options):
    """Loads labelled texts.

    Args:
        task: "classify" or "pair": one text or two with a label, see `textkit.datasets.classify`; "tag": a label for each
            word, see `textkit.datasets.tag`; "qa": questions whose answers stand in a text, see `textkit.datasets.qa`.
        name: str or path-like: "tfds:" and a dataset of `tensorflow_datasets`, such as "tfds:glue/sst2"; or a file or
            folder.
        **options: of the function that reads it: `file_texts` or `tensorflow_texts`, `file_tags` or `tensorflow_tags`,
            `squad_questions` or `tensorflow_questions`.

    Returns:
        A `ClassifiedTexts`, `TaggedTexts` or `Questions`.

    Raises:
        OSError: the file does not exist.
        ValueError: an unknown task or dataset, or see the functions above.
    """
    if task not in _READERS:
        raise unknown_name("task", task, _READERS)
    of_file, of_set = _READERS[task]
    name = os.fspath(name)
    return of_set(name.removeprefix(_TFDS), **options) if name.startswith(_TFDS) else of_file(name, **options)
