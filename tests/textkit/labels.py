"""Small labelled texts that can be learned, and small models of every kind to learn them."""

import keras
import numpy as np

from textkit import SpanClassifier, TextClassifier, TokenClassifier
from textkit.datasets.labelled import Answer, ClassifiedTexts, Question, Questions, TaggedTexts
from textkit.tokenizer import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
FILLERS = ["the", "film", "was", "in", "a", "very", "way", "it", "is", "not", "by", "of", "and", "then", "we", "say"]
GOOD, BAD = ["good", "fine"], ["bad", "dull"]
PEOPLE, PLACES = ["ann", "bob", "eve"], ["rome", "oslo"]
ASKED = ["who", "where"]
PIECES = ["##ly", "##er"]
TOKENIZER = Tokenizer(
    "wordpiece", [*SPECIAL, *FILLERS, *GOOD, *BAD, *PEOPLE, *PLACES, *ASKED, *PIECES], lower_case=True
).get_config()
SIZES = {
    "vocabulary_size": len(TOKENIZER["vocabulary"]),
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 16,
    "max_sequence_length": 24,
    "dropout": 0.0,
    "tokenizer": TOKENIZER,
}


def fillers(rng, least=1, most=7):
    return rng.choice(FILLERS, rng.integers(least, most)).tolist()


def splits(rows):
    """40 of these to choose by, 30 to measure with, the others to learn from."""
    return {"train": rows[70:], "validation": rows[:40], "test": rows[40:70], "name": "small"}


def reviews(count=230, problem="single", pair=False, seed=0):
    """Texts in which one word says what they are: bad or good; of pairs the second one says it."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        kind = int(rng.integers(2))
        text = " ".join([*fillers(rng), rng.choice((BAD, GOOD)[kind]), *fillers(rng, 0)])
        label = {"single": kind, "multi": (kind,) if rng.integers(4) else (), "regression": 2.0 * kind - 1}[problem]
        if problem == "multi" and not label:
            text = " ".join(fillers(rng))
        rows.append(((" ".join(fillers(rng)), text) if pair else (text,), label))
    return ClassifiedTexts(**splits(rows), class_names=() if problem == "regression" else ("bad", "good"), problem=problem)


def tagged(count=230, seed=0):
    """Sentences with names of persons, perhaps of two words and of two pieces, and of places."""
    rng = np.random.default_rng(seed)
    names = ("B-LOC", "B-PER", "I-PER", "O")
    rows = []
    for _ in range(count):
        words, tags = fillers(rng), []
        tags += [3] * len(words)
        person = [rng.choice(PEOPLE) + rng.choice(["", "ly", "er"])] + ([rng.choice(PEOPLE)] if rng.integers(2) else [])
        words += person
        tags += [1, 2][: len(person)]
        more = fillers(rng)
        words += [*more, rng.choice(PLACES)]
        tags += [3] * len(more) + [0]
        rows.append(([str(word) for word in words], tags))
    return TaggedTexts(**splits(rows), class_names=names)


def asked(count=230, long=False, seed=0):
    """Texts with a person and a place, and who or where is asked; some have no place."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        person, place = str(rng.choice(PEOPLE)), str(rng.choice(PLACES))
        there = rng.integers(4) > 0
        between = fillers(rng, 20, 30) if long else fillers(rng)
        words = [*fillers(rng), person, *between, *([place] if there else []), *fillers(rng)]
        context, question = " ".join(words), str(rng.choice(ASKED))
        wanted = {"who": person, "where": place if there else None}[question]
        answers = () if wanted is None else (Answer(wanted, f" {context} ".index(f" {wanted} ")),)
        rows.append(Question(question, context, answers, str(number)))
    return Questions(**splits(rows))


DATA = {"classify": reviews, "tag": tagged, "qa": asked}


def make_model(kind, seed=1, **options):
    """A small model for "classify", "tag" or "qa"."""
    keras.utils.set_random_seed(seed)
    model_class, own = {
        "classify": (TextClassifier, {"num_classes": 2}),
        "tag": (TokenClassifier, {"num_classes": 4}),
        "qa": (SpanClassifier, {}),
    }[kind]
    return model_class(**{**own, **SIZES, **options})
