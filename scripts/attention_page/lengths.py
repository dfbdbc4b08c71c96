"""Does a model forget long inputs? Words of a phrase that it gets right, against the phrase's length.

Figure 2 of Bahdanau et al. 2015 asks this of sentences; here phrases of one to six words are spelled out. Words do not
depend on each other, so that a model which forgets nothing gets as many right in a long phrase as in a short one.
"""

import numpy as np

from scripts.attention_page.drawing import BLUE, RED, draw
from textkit.datasets.pairs import Pairs

# Names of `rivals.RIVALS`.
MODELS = {"fixed": ("GRU, fixed context", RED), "additive": ("GRU with additive attention", BLUE)}
SIZES = {"hidden_dim": 256, "embedding_dim": 128, "dropout": 0.2}
TRAINING = {"epochs": 8, "batch_size": None, "batch_tokens": 2048, "learning_rate": 2e-3, "warmup_steps": 400}
MOST_WORDS = 6
COUNTS = {"train": 40_000, "validation": 600, "test": 3000}
BETWEEN = "_"  # among the sounds, where one word ends and the next begins


def phrases(words, counts):
    """Strings words together at random, as many phrases of each length.

    Args:
        words: `textkit.datasets.Pairs` of words; those with several pronunciations are left out.
        counts: dict {split: int}, how many phrases.

    Returns:
        `Pairs`: "cat the", ["K AE T _ DH AH"]. No word of one split is in another.
    """
    chance, splits = np.random.default_rng(0), {}
    for split, count in counts.items():
        known = [(word, right[0]) for word, right in getattr(words, split) if len(right) == 1]
        splits[split] = []
        for number in range(count):
            drawn = [known[index] for index in chance.integers(len(known), size=1 + number % MOST_WORDS)]
            source, target = zip(*drawn, strict=True)
            splits[split].append((" ".join(source), [f" {BETWEEN} ".join(target)]))
    return Pairs(**splits, name="phrases", source_kind="characters", target_kind="words", metric="per")


def measure(translators, examples):
    """Spells out phrases, and counts the words that are right, each at its place.

    Args:
        translators: dict {name: `textkit.Translator`}.
        examples: list of (phrase, list of its one spelling out).

    Returns:
        dict: "threshold", the number of letters from which on phrases are the longest tenth, as nearly as lengths allow;
        "share", of all phrases, that they are; "words", how many were tried for each number of words in a phrase;
        "longest_phrases", how many phrases have most words; and "models", {name: dict of "by_length", "by_place" (lists),
        "longest" and "others"}, shares of words right, in 0 .. 1.
    """
    lengths = np.array([len(phrase) for phrase, _ in examples])
    shares = {length: float((lengths >= length).mean()) for length in np.unique(lengths)}
    threshold = min(shares, key=lambda length: abs(shares[length] - 0.1))
    references = [right[0].split(f" {BETWEEN} ") for _, right in examples]
    num_words = np.array([len(words) for words in references])
    most, is_long = num_words.max(), lengths >= threshold
    models = {}
    for name, translator in translators.items():
        answers = translator.translate([phrase for phrase, _ in examples])
        right = np.zeros((len(examples), most), bool)
        for row, (answer, words) in enumerate(zip(answers, references, strict=True)):
            given = answer.split(f" {BETWEEN} ")
            right[row, : len(words)] = [place < len(given) and given[place] == word for place, word in enumerate(words)]

        def share(rows, right=right):
            return float(right[rows].sum() / num_words[rows].sum())

        models[name] = {
            "by_length": [share(num_words == length) for length in np.unique(num_words)],
            "by_place": right[num_words == most].mean(axis=0).tolist(),
            "longest": share(is_long),
            "others": share(~is_long),
        }
    return {
        "threshold": int(threshold),
        "share": shares[threshold],
        "words": [int(length * (num_words == length).sum()) for length in np.unique(num_words)],
        "longest_phrases": int((num_words == most).sum()),
        "models": models,
    }


def draw_lengths(path, measured):
    """Draws what `measure` returned: words right against the number of words, and against their place in the longest."""

    def fill(panels):
        sides = (
            ("by_length", "words", "words right, %", "words in the phrase"),
            ("by_place", "longest_phrases", f"words right, %, in phrases of {MOST_WORDS}", "place of the word"),
        )
        for axes, (key, count, title, label) in zip(panels, sides, strict=True):
            for name, (model, colour) in MODELS.items():
                values = np.array(measured["models"][name][key])
                error = 2 * np.sqrt(values * (1 - values) / np.array(measured[count]))
                places = np.arange(1, 1 + len(values))
                axes.plot(places, 100 * values, color=colour, label=model)
                low, high = (100 * (values + sign * error) for sign in (-1, 1))
                axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.set_ylim(bottom=0)
            axes.set_title(title)
            axes.set_xticks(places)
            axes.set_xlabel(label)
        panels[0].legend(frameon=False)

    draw(path, 2, 2.9, fill)
