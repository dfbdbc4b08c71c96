"""Every kind of attention trained on the same dates: how good, how large, how fast."""

import json
import statistics

import keras

import textkit
from benchmarks.timing import interleave
from shared_layers.runtime import make_optimizer, write_aside
from textkit.datasets import batches
from textkit.seq2seq import TokenCrossEntropy


def _gru(label, **attention):
    return textkit.RecurrentSeq2Seq, {"hidden_dim": 128, "embedding_dim": 64, **attention}, label


_TRANSFORMER = {"num_layers": 2, "num_heads": 4, "hidden_dim": 128, "intermediate_dim": 256, "normalize_first": True}
# name: class, sizes, and what the table says of it.
RIVALS = {
    "fixed": _gru("GRU, no attention"),
    "additive": _gru("GRU, additive", attention="additive"),
    "general": _gru("GRU, general", attention="general"),
    "dot": _gru("GRU, dot", attention="dot"),
    "scaled_dot": _gru("GRU, scaled dot", attention="scaled_dot"),
    "hard_topk": _gru("GRU, additive, hard: the best", attention="additive", selection="hard_topk"),
    "hard_sample": _gru("GRU, additive, hard: drawn", attention="additive", selection="hard_sample"),
    "transformer": (textkit.TransformerSeq2Seq, _TRANSFORMER, "Transformer"),
}
TRAINING = {"epochs": 3, "batch_size": 64, "learning_rate": 3e-3, "warmup_steps": 100}
TIMED, ROUNDS = 512, 5  # pairs a turn, and turns


def table(folder, pairs, names=RIVALS, **options):
    """Trains rivals, judges and times them; what is in the folder already is read.

    Args:
        folder: `pathlib.Path`; it gets a run of each rival, and `speeds.json`.
        pairs: `textkit.datasets.Pairs`.
        names: iterable of keys of `RIVALS`.
        **options: of `train`.

    Returns:
        list of dict: "label", "epochs", "parameters", "training" and "decoding" (pairs a second, see `speeds`), and what
        `textkit.evaluate` returns.
    """
    measured = {name: train(name, folder / name, pairs, **options) for name in names}
    rates = kept(
        folder / "speeds.json",
        lambda: speeds({name: textkit.Translator.load(folder / name) for name in names}, pairs),
    )
    rows = []
    for name, each in measured.items():
        counts = {count: each["training"][count] for count in ("epochs", "parameters")}
        rows.append({"label": RIVALS[name][2], **counts, **each["test"], **rates[name]})
    return rows


def untrained(name, pairs, sizes=None):
    """Makes a rival.

    Args:
        name: str, a key of `RIVALS`.
        pairs: `textkit.datasets.Pairs`, for the vocabularies.
        sizes: dict, in place of those of `RIVALS`.

    Returns:
        `textkit.Translator`.
    """
    model_class, config, _ = RIVALS[name]
    vocabularies = source, target = pairs.vocabularies()
    keras.utils.set_random_seed(0)
    return textkit.Translator(model_class(source.size, target.size, **(config | (sizes or {}))), *vocabularies)


def train(name, folder, pairs, sizes=None, **training):
    """Trains and judges one rival; one that was trained before is read.

    Args:
        name: str, a key of `RIVALS`.
        folder: `pathlib.Path`, of the rival's run; it gets `metrics.json` beside what `textkit.train` writes.
        pairs: `textkit.datasets.Pairs`.
        sizes: dict, in place of those of `RIVALS`.
        **training: options of `textkit.train`, in place of those of `TRAINING`.

    Returns:
        dict of what `metrics.json` holds: "training" and "test", see `textkit.train` and `textkit.evaluate`.
    """

    def measure():
        new = untrained(name, pairs, sizes)
        vocabularies = new.source_vocabulary, new.target_vocabulary
        trained = textkit.train(new.model, pairs, vocabularies, folder, **(TRAINING | training))
        judged = textkit.evaluate(textkit.Translator.load(folder), pairs, method="greedy")
        return {"training": trained, "test": judged}

    return kept(folder / "metrics.json", measure)


def speeds(translators, pairs, count=TIMED, rounds=ROUNDS):
    """Times training and decoding, rivals in turn.

    Args:
        translators: dict {name: `textkit.Translator`}; their models are trained on.
        pairs: `textkit.datasets.Pairs`.
        count: int, how many pairs a turn takes.
        rounds: int.

    Returns:
        dict {name: {"training": pairs a second, "decoding": pairs a second}}, by the median time.
    """
    texts = [source for source, _ in pairs.test[:count]]
    decode = {name: lambda each=each: each.translate(texts, method="greedy") for name, each in translators.items()}
    decoding = interleave(decode, rounds)
    fit = {}
    for name, each in translators.items():
        vocabularies = each.source_vocabulary, each.target_vocabulary
        data = batches(pairs.train[:count], *vocabularies, batch_size=TRAINING["batch_size"]).cache()
        each.model.compile(
            make_optimizer(each.model.trainable_variables, 1e-3, weight_decay=0.0, clip_norm=1.0),
            TokenCrossEntropy(),
            jit_compile=False,
        )
        fit[name] = lambda model=each.model, data=data: model.fit(data, shuffle=False, verbose=0)
    training = interleave(fit, rounds)
    return {
        name: {
            "training": min(count, len(pairs.train)) / statistics.median(training[name]),
            "decoding": len(texts) / statistics.median(decoding[name]),
        }
        for name in translators
    }


def kept(path, make):
    """What a JSON file holds; where there is none, what `make` returns, which is then written there."""
    if not path.is_file():
        made = make()
        with write_aside(path) as temporary:
            temporary.write_text(json.dumps(made, indent=2) + "\n")
    return json.loads(path.read_text())
