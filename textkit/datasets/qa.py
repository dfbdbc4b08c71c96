"""Extractive question answering: SQuAD files, and SQuAD-like datasets of `tensorflow_datasets`."""

import json
import os
import typing

from shared_layers.runtime import unknown_name
from textkit.datasets.sources import ON_CORRUPT, described, split_files, tell_faults, tensorflow_splits
from textkit.datasets.splits import Splits, carved

_SHOWN = 40


class Answer(typing.NamedTuple):
    """The text of an answer, and the index of its first character in the context."""

    text: str
    begin: int


class Question(typing.NamedTuple):
    """A question with its context and answers.

    Attributes:
        question: str.
        context: str, the text that the question is about.
        answers: tuple of `Answer`, all correct answers; empty if the context has no answer.
        id: str.
    """

    question: str
    context: str
    answers: tuple
    id: str


class Questions(Splits):
    """Questions with contexts and answers.

    Attributes:
        train: list of `Question`.
        validation: list of `Question`.
        test: list of `Question`.
        name: str, the name or path of the data.
    """


def squad_questions(path, validation=None, test=None, on_corrupt="skip"):
    """Reads a SQuAD JSON file, version 1.1 or 2.0; or a folder of such files.

    A folder has train.json, and may have validation and test files. Missing splits are taken from train, 10 % of the
    contexts each with all their questions, by a hash of the context, see `splits.carved`.

    Args:
        path: str or path-like.
        validation: str or path-like, the file of this split, such as "dev-v2.0.json"; or `None`.
        test: str or path-like, the file of this split; or `None`.
        on_corrupt: what to do with answers that are not in the context at the given position: "skip" drops them, and
            questions without another answer, and warns of their number and the first of them; "refuse" raises.

    Returns:
        A `Questions`.

    Raises:
        OSError: the file does not exist.
        ValueError: not SQuAD's JSON, a file without questions, too few contexts to split, or a wrong answer position with
            "refuse".
    """
    if on_corrupt not in ON_CORRUPT:
        raise unknown_name("on_corrupt", on_corrupt, ON_CORRUPT)
    splits = {}
    for split, file in split_files(path, (".json",), "questions in SQuAD's JSON", validation, test).items():
        splits[split] = _placed(_read(file), file, on_corrupt)
    name = os.fspath(path)
    return Questions(**carved(splits, name, _key), name=name)


def tensorflow_questions(name, limit=None, on_corrupt="skip", data_dir=None):
    """Reads a dataset of `tensorflow_datasets` that has SQuAD's features.

    It is downloaded and prepared at its first use. Missing validation and test splits are taken from train, as by
    `squad_questions`.

    Args:
        name: str, the dataset and its configuration: "squad", "squad/v2.0", "xquad/en".
        limit: int, the maximum number of questions read from each split; `None` for all. They are held in memory.
        on_corrupt: see `squad_questions`.
        data_dir: str, the data folder of `tensorflow_datasets`; `None` for its default.

    Returns:
        A `Questions` with the name "tfds:" and `name`.

    Raises:
        ValueError: an unknown dataset, one without SQuAD's features, a failed download, or a wrong answer position with
            "refuse".
    """
    import tensorflow_datasets as tfds

    if on_corrupt not in ON_CORRUPT:
        raise unknown_name("on_corrupt", on_corrupt, ON_CORRUPT)

    def check(features, info):
        answer = getattr(features.get("answers"), "feature", None)
        parts = answer.keys() if isinstance(answer, tfds.features.FeaturesDict) else ()
        if not {"id", "question", "context"} <= set(features) or not {"text", "answer_start"} <= set(parts):
            wanted = "id, question, context and answers of text and answer_start"
            raise ValueError(f"Expected {wanted}. Received: {name=} of {described(features)}")

    _, found = tensorflow_splits(name, check, limit, data_dir)
    splits = {}
    for split, examples in found.items():
        questions = []
        for example in examples:
            texts, begins = (example["answers"][key] for key in ("text", "answer_start"))
            answers = [Answer(text.decode(), int(begin)) for text, begin in zip(texts, begins, strict=True)]
            question, context, number = (example[key].decode() for key in ("question", "context", "id"))
            questions.append(Question(question, context, tuple(answers), number))
        splits[split] = _placed(questions, f"{split} of {name}", on_corrupt)
    return Questions(**carved(splits, name, _key), name=f"tfds:{name}")


def _read(file):
    questions = []
    try:
        for article in json.loads(file.read_bytes().decode("utf-8-sig"))["data"]:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    answers = () if asked.get("is_impossible") else asked["answers"]
                    answers = tuple(Answer(str(each["text"]), int(each["answer_start"])) for each in answers)
                    context, question = str(paragraph["context"]), str(asked["question"])
                    f"{question}{context}".encode()  # raises for lone surrogates such as "\\ud83d"
                    questions.append(Question(question, context, answers, str(asked["id"])))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__} {error!s:.{_SHOWN}}"
        raise ValueError(f"Expected SQuAD's JSON: data, paragraphs, context and qas. Received: {file}, {reason}") from error
    return questions


def _placed(questions, file, on_corrupt):
    """The questions, without answers that are not at their position in the context."""
    kept, faults, right = [], [], 0
    for asked in questions:
        placed = []
        for answer in asked.answers:
            if answer.text and answer.begin >= 0 and asked.context.startswith(answer.text, answer.begin):
                placed.append(answer)
            else:
                faults.append(f"{answer.text!r:.{_SHOWN}} at {answer.begin}, of question {asked.id!r}")
        right += len(placed)
        if placed or not asked.answers:
            kept.append(asked._replace(answers=tuple(placed)))
    tell_faults(faults, right, "answers", file, "in their contexts", on_corrupt)
    if not kept:
        raise ValueError(f"Expected questions. Received: none in {file}")
    return kept


def _key(asked):
    return asked.context
