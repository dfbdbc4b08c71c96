"""Does a model forget long inputs? Its accuracy against their length, as in figure 2 of Bahdanau et al. 2015."""

import numpy as np

from scripts.attention_page.drawing import BLUE, GREY, RED, draw
from textkit import metrics

MODELS = {
    "gru": ("GRU, fixed context", RED),
    "gru_additive": ("GRU with additive attention", BLUE),
    "transformer": ("Transformer", GREY),
}
_FEWEST_LETTERS, _MOST_LETTERS = 3, 14  # words beyond are counted with these: there are few


def measure(translators, examples, limit=None):
    """Spells out words of each length, and counts what is right.

    Args:
        translators: dict {name: `textkit.Translator`}.
        examples: list of (word, list of pronunciations).
        limit: int, the most words of a length; `None` for all.

    Returns:
        dict: "threshold", the length from which on words are the longest tenth, as nearly as lengths allow; "share", of all
        words, that they are; "groups", list of str; "words", of each group, how many; and "models", {name: dict of
        "by_length", "longest" and "others"}, each of "accuracy" and "per" in 0 .. 1 ("by_length": lists, by group).
    """
    lengths = np.array([len(word) for word, _ in examples])
    shares = {length: float((lengths >= length).mean()) for length in np.unique(lengths)}
    threshold = min(shares, key=lambda length: abs(shares[length] - 0.1))
    group = np.clip(lengths, _FEWEST_LETTERS, _MOST_LETTERS)
    chance = np.random.default_rng(0)  # the words may be in alphabetical order
    groups = [chance.permutation(np.flatnonzero(group == length))[:limit] for length in np.unique(group)]
    chosen = np.concatenate(groups)
    is_long = lengths[chosen] >= threshold
    places = np.split(np.arange(len(chosen)), np.cumsum([len(rows) for rows in groups])[:-1])
    references = [examples[index][1] for index in chosen]
    models = {}
    for name, translator in translators.items():
        answers = translator.translate([examples[index][0] for index in chosen])

        def score(rows, answers=answers):
            right = [answers[row] for row in rows], [references[row] for row in rows]
            return {"accuracy": 1 - metrics.word_error_rate(*right), "per": metrics.phoneme_error_rate(*right)}

        scores = [score(rows) for rows in places]
        models[name] = {
            "by_length": {key: [each[key] for each in scores] for key in scores[0]},
            "longest": score(np.flatnonzero(is_long)),
            "others": score(np.flatnonzero(~is_long)),
        }
    ends = {_FEWEST_LETTERS: "≤", _MOST_LETTERS: "≥"}
    return {
        "threshold": int(threshold),
        "share": shares[threshold],
        "groups": [f"{ends.get(length, '')}{length}" for length in np.unique(group)],
        "words": [len(rows) for rows in groups],
        "models": models,
    }


def draw_lengths(path, measured):
    """Draws what `measure` returned: accuracy, with bands of two standard errors, beside PER."""

    def fill(panels):
        counts = np.array(measured["words"])
        ticks = [f"{group}\n{count}" for group, count in zip(measured["groups"], counts, strict=True)]
        for axes, key, title in zip(panels, ("accuracy", "per"), ("words right, %", "phoneme error rate, %"), strict=True):
            for name, (label, colour) in MODELS.items():
                values = np.array(measured["models"][name]["by_length"][key])
                axes.plot(100 * values, color=colour, label=label)
                if key == "accuracy":
                    error = 2 * np.sqrt(values * (1 - values) / counts)
                    low, high = (100 * (values + sign * error) for sign in (-1, 1))
                    axes.fill_between(range(len(values)), low, high, color=colour, alpha=0.15, linewidth=0)
            axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.set_xticks(range(len(ticks)), ticks, fontsize=6)
            axes.set_xlabel("letters of the word, and how many words were tried")
        panels[1].legend(frameon=False)

    draw(path, 2, 2.9, fill)
