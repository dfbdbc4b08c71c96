"""The demo: grapheme-to-phoneme models with and without attention are trained, evaluated and drawn."""

import dataclasses
import json
import pathlib
import shlex
import time

import keras

from shared_layers.runtime import get_strategy, progress_bar, write_aside
from textkit import alignment
from textkit.datasets import load
from textkit.evaluation import evaluate
from textkit.recurrent import RecurrentSeq2Seq
from textkit.training import train
from textkit.translator import Translator
from textkit.vocabulary import SURROGATE

WORDS = ("whistle", "wednesday", "psychology", "autobiography", "incompatibility", "institutionalized")  # not in train
MODEL = {"cell": "gru", "hidden_dim": 128, "embedding_dim": 64, "dropout": 0.1}
_ATTENTION = {"without_attention": None, "with_attention": "additive"}
_DRAWN = "with_attention"
_RATES = (("phoneme", "per"), ("word", "wer"))
# The fraction of words used: every n-th of a split.
_THINNED, _SMOKE_THINNED = {"train": 1, "validation": 2, "test": 4}, {"train": 200, "validation": 100, "test": 500}
_SMOKE_TOKENS = 64  # of a batch, for enough steps to generate anything


def run_demo(
    words=WORDS, folder="runs/textkit_demo", epochs=2, strategy="none", smoke=False, seed=0, report=lambda text: None
):
    """Trains small GRUs with and without attention on CMUdict, evaluates both, and draws the attention.

    The folder gets `without_attention/` and `with_attention/` (runs of `textkit.train`), `attention.png`,
    `attention.html` and `metrics.json`.

    Args:
        words: list of str, the words to translate; converted to lower case, as in CMUdict.
        folder: str or path-like.
        epochs: int.
        strategy: str, see `shared_layers.runtime.get_strategy`.
        smoke: bool, few words and one epoch, to check in seconds that everything runs; the metrics mean nothing.
        seed: int.
        report: function of str, called with progress messages.

    Returns:
        dict, the content of `metrics.json`: "without_attention" and "with_attention", each with "training" (see
        `textkit.train`) and "test" (see `textkit.evaluate`); "words", a list of {"word", "right" (the pronunciations in
        CMUdict), "trained_on" (whether the word is in train), and the output of each model}; and "seconds" in total.

    Raises:
        ValueError: no words, a word without a letter or with lone surrogates; the package `cmudict` is not installed.
    """
    began = time.monotonic()
    words = [word.strip().lower() for word in words]
    unread = [word for word in words if not any(map(str.isalpha, word)) or SURROGATE.search(word)]
    if unread or not words:
        raise ValueError(f"Expected words to translate, of letters in UTF-8. Received: words={unread}")
    folder = pathlib.Path(folder)
    report("data: CMUdict")
    everything = load("g2p")
    steps = _SMOKE_THINNED if smoke else _THINNED
    pairs = dataclasses.replace(everything, **{split: getattr(everything, split)[::step] for split, step in steps.items()})
    vocabularies = pairs.vocabularies()
    epochs = 1 if smoke else epochs
    metrics, answers = {}, {}
    for name, attention in _ATTENTION.items():
        keras.utils.set_random_seed(seed)  # for the initial weights
        with get_strategy(strategy).scope():
            model = RecurrentSeq2Seq(*(vocabulary.size for vocabulary in vocabularies), attention=attention, **MODEL)
        report(f"{_said(name)}: {model.count_params():,} parameters, {len(pairs.train):,} words, epochs: {epochs}")
        options = {"epochs": epochs, "learning_rate": 3e-3, "warmup_steps": 200, "seed": seed}
        if smoke:
            options["batch_tokens"] = _SMOKE_TOKENS
        training = train(model, pairs, vocabularies, folder / name, **options)
        translator = Translator.load(folder / name)
        report(f"{_said(name)}: translating {len(pairs.test):,} test words")
        with progress_bar("translating") as progress:
            test = evaluate(translator, pairs, progress=progress)
        metrics[name] = {"training": training, "test": test}
        answers[name] = translator.translate(words, return_attention=True)
    right = dict(everything.train + everything.validation + everything.test)
    trained_on = dict(pairs.train)
    metrics["words"] = [
        {
            "word": word,
            "right": right.get(word, []),
            "trained_on": word in trained_on,
            **{name: found[index].text for name, found in answers.items()},
        }
        for index, word in enumerate(words)
    ]
    _draw(answers, folder)
    metrics["seconds"] = time.monotonic() - began
    with write_aside(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def summary(metrics, folder):
    """Formats the results of the demo as text, with commands to try next.

    Args:
        metrics: dict, as returned by `run_demo`.
        folder: str or path-like, the folder of the demo.

    Returns:
        str of several lines.
    """
    names = list(_ATTENTION)
    runs = [metrics[name] for name in names]
    measured = [
        (f"{runs[0]['test']['num_examples']:,} test words", *map(_said, names)),
        *((f"{rate} error rate", *(f"{run['test'][key]:.1%}" for run in runs)) for rate, key in _RATES),
        ("seconds of training", *(f"{run['training']['seconds']:.0f}" for run in runs)),
    ]
    said = [("", *map(_said, names), "CMUdict")]
    for each in metrics["words"]:
        word = f"{each['word']} *" if each["trained_on"] else each["word"]
        said.append((word, *(each[name] for name in names), " or ".join(each["right"]) or "-"))
    known = ["* was in the training data"] if any(each["trained_on"] for each in metrics["words"]) else []
    word, run = shlex.quote(metrics["words"][-1]["word"]), shlex.quote(f"{folder}/{_DRAWN}")
    return "\n".join(
        [
            *_aligned(measured),
            "",
            *_aligned(said),
            *known,
            "",
            f"{metrics['seconds']:.0f} s in all; everything is in {folder}",
            "",
            "Next:",
            f"  look at {folder}/attention.png, and open {folder}/attention.html: point at a sound",
            f"  textkit explain {word} --model {run}",
            f"  textkit evaluate g2p --model {run} --method greedy",
            f"  tensorboard --logdir {shlex.quote(str(folder))}",
            "  textkit train g2p --model g2p_gru_additive --epochs 20 --out runs/g2p",
        ]
    )


def _draw(answers, folder):
    """Draws the alignments of the model with attention; the titles are the outputs of the other model."""
    drawn, fixed = answers[_DRAWN], answers["without_attention"]
    panels = [
        (each.alignment, each.source_tokens, each.tokens, f"without: {other.text}")
        for each, other in zip(drawn, fixed, strict=True)
        if each.tokens  # an empty output has no alignment
    ]
    if panels:
        alignment.save(folder / "attention.png", alignment.grid(panels))
    alignment.save(folder / "attention.html", alignment.page(drawn, title="From spelling to pronunciation"))


def _said(name):
    return name.replace("_", " ")


def _aligned(rows):
    """Lines of aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
