"""Writes `docs/attention.md` and its figures from trained models: every number on the page is measured here.

    python -m scripts.train_g2p --model gru_additive     # and transformer: the page reads these two runs
    python -m scripts.build_attention_page [--g2p runs/g2p] [--runs runs/attention] [--out docs] [--smoke FOLDER]

The models that the page compares are trained at the first use and kept below `--runs`, as their speeds are; what is deleted
there is made anew.
"""

import argparse
import contextlib
import doctest
import io
import os
import pathlib

import jinja2

import textkit
from scripts.attention_page import arithmetic, lengths, rivals, seen
from shared_layers.runtime import write_aside
from textkit import alignment
from textkit.datasets import load

TEMPLATE = pathlib.Path(__file__).parent / "attention_page" / "page.md"
WORD = "lighthouses"  # one of the test words
SPELLERS = {"gru_additive": "GRU with additive attention", "transformer": "Transformer"}  # runs of scripts.train_g2p
WIDTHS = [2**power for power in range(11)]
COSTED = [128, 512, 2048, 4096]
DISTANCE = 16  # of two positions
SMOKE = {"sizes": {"hidden_dim": 8}, "epochs": 1, "buckets": 1, "batch_size": 4}
SMOKE_RIVALS, SMOKE_EXAMPLES, SMOKE_PHRASES = ("fixed", "transformer"), 12, dict.fromkeys(lengths.COUNTS, 12)


def build(out, g2p, runs, smoke=False, report=print):
    """Measures, draws and writes the page.

    Args:
        out: `pathlib.Path`, a folder that gets `attention.md` and `attention/*.png`.
        g2p: `pathlib.Path`, the folder of the two runs of `scripts.train_g2p`.
        runs: `pathlib.Path`, a folder for the models that are compared.
        smoke: bool, tiny models and few examples, those below `g2p` not even trained: what is measured means nothing.
        report: callable of str, called with each stage's name.

    Raises:
        OSError: a run is missing.
    """
    words, dates = load("g2p"), load("dates")
    names, options, for_phrases, counts = rivals.RIVALS, {}, {"sizes": lengths.SIZES, **lengths.TRAINING}, lengths.COUNTS
    if smoke:
        dates, counts = dates.limited(SMOKE_EXAMPLES), SMOKE_PHRASES
        names, options, for_phrases = SMOKE_RIVALS, SMOKE, SMOKE
        for run, rival in zip(SPELLERS, ("additive", "transformer"), strict=True):
            rivals.untrained(rival, words, SMOKE["sizes"]).save(g2p / run)
    spellers = {name: textkit.Translator.load(g2p / name) for name in SPELLERS}
    figures = out / "attention"

    report("phrases by length")
    phrases = lengths.phrases(words, counts)
    for name in lengths.MODELS:
        rivals.train(name, runs / "phrases" / name, phrases, **for_phrases)
    readers = {name: textkit.Translator.load(runs / "phrases" / name) for name in lengths.MODELS}
    by_length = lengths.measure(readers, phrases.test)
    lengths.draw_lengths(figures / "lengths.png", by_length)

    report("what is attended to")
    spelled = {name: each.translate([WORD], return_attention=True)[0] for name, each in spellers.items()}
    panels = [(each.alignment, each.source_tokens, each.tokens, SPELLERS[name]) for name, each in spelled.items()]
    alignment.save(figures / "alignment.png", alignment.grid(panels))
    sounds = dict(words.test)[WORD][0]
    related = seen.attention_within(spellers["transformer"], WORD, sounds)
    alike = [word for word, _ in words.test if len(word) == len(WORD)]
    shares = seen.neighbours(spellers["transformer"], alike)
    seen.draw_heads(figures / "heads.png", related["encoder"][0], related["source"], shares)
    causal = alignment.matrix(related["decoder"][0].mean(axis=0), related["target"], related["target"])
    alignment.save(figures / "causal.png", causal)

    report("scores, positions, costs")
    scores = arithmetic.scores_by_width(WIDTHS)
    arithmetic.draw_scores(figures / "scaling.png", WIDTHS, scores)
    positions = arithmetic.draw_positions(figures / "positions.png")
    costs = arithmetic.costs(COSTED[:2] if smoke else COSTED)

    report("rivals")
    table = rivals.table(runs, dates, names, **options)

    pages = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    pages.filters["spaced"] = lambda number: f"{number:,}".replace(",", " ")
    text = pages.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        num_words=len(words.train),
        num_dates=len(dates.train),
        phrases=phrases,
        by_length=by_length,
        labels={name: label for name, (label, _) in lengths.MODELS.items()},
        word=WORD,
        sounds=sounds,
        related=related,
        num_alike=len(alike),
        widest=WIDTHS[-1],
        scores={rule: {key: values[-1] for key, values in measured.items()} for rule, measured in scores.items()},
        positions=positions,
        distance=DISTANCE,
        costs=costs,
        rivals=table,
        cores=len(os.sched_getaffinity(0)),
    )
    with write_aside(out / "attention.md") as temporary:
        temporary.write_text(with_outputs(text), encoding="utf-8")


def with_outputs(text):
    """Runs the examples in a text, those after `>>>`, and puts below each what it prints."""
    namespace, written = {}, []
    for piece in doctest.DocTestParser().parse(text):
        if isinstance(piece, doctest.Example):
            first, *more = piece.source.splitlines()
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(piece.source, "<page>", "single"), namespace)
            piece = "".join([f">>> {first}\n", *(f"... {line}\n" for line in more), printed.getvalue()])
        written.append(piece)
    return "".join(written)


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="docs", type=pathlib.Path)
    parser.add_argument("--g2p", default="runs/g2p", type=pathlib.Path, help="folder of the two runs of scripts.train_g2p")
    parser.add_argument("--runs", default="runs/attention", type=pathlib.Path, help="folder of the models compared")
    parser.add_argument("--smoke", type=pathlib.Path, metavar="FOLDER", help="quick check that it runs: tiny models, here")
    given = parser.parse_args()
    if given.smoke:
        build(given.smoke / "docs", given.smoke / "g2p", given.smoke / "attention", smoke=True)
    else:
        build(given.out, given.g2p, given.runs)


if __name__ == "__main__":
    main()
