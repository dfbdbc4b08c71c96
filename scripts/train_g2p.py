"""Spelling to pronunciation: 110 000 words of CMUdict, read by a GRU without attention, one with it, or a Transformer.

    python -m scripts.train_g2p --model gru|gru_additive|transformer [--out runs/g2p/MODEL] [--smoke]

The two GRUs are the same but for attention (without it the decoder sees the word as one vector), and train the same way.
"""

import argparse
import json
import pathlib

import keras

import textkit
from shared_layers.runtime import get_strategy, write_aside
from textkit.datasets import load

MODELS = {
    "gru": (textkit.RecurrentSeq2Seq, "g2p_gru"),
    "gru_additive": (textkit.RecurrentSeq2Seq, "g2p_gru_additive"),
    "transformer": (textkit.TransformerSeq2Seq, "g2p_transformer"),
}
_GRU = {"epochs": 12, "batch_tokens": 2048, "learning_rate": 2e-3, "warmup_steps": 400}
TRAINING = {
    "gru": _GRU,
    "gru_additive": _GRU,
    "transformer": {"epochs": 22, "batch_tokens": 1024, "learning_rate": 2e-3, "warmup_steps": 1000},
}
SMOKE = {"epochs": 1, "batch_tokens": 256, "warmup_steps": 2}
SMOKE_WORDS = 40


def run(name, out, strategy="none", smoke=False, resume=False):
    """Trains, measures the test words by a beam of 4, and returns what it writes to `metrics.json` in the folder."""
    out = pathlib.Path(out)
    pairs = load("g2p")
    if smoke:
        pairs = pairs.limited(SMOKE_WORDS)
    vocabularies = pairs.vocabularies()
    keras.utils.set_random_seed(0)
    model_class, preset = MODELS[name]
    with get_strategy(strategy).scope():
        sizes = {"source_vocabulary_size": vocabularies[0].size, "target_vocabulary_size": vocabularies[1].size}
        model = model_class.from_preset(preset, load_weights=False, **sizes)
    training = textkit.train(model, pairs, vocabularies, out, resume=resume, **TRAINING[name] | (SMOKE if smoke else {}))
    test = textkit.evaluate(textkit.Translator.load(out), pairs, method="beam", beam_width=4)
    metrics = {"training": training, "test": test}
    with write_aside(out / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def main():
    """Reads the command line and prints what was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, default="gru_additive")
    parser.add_argument("--out", help="folder of the run, runs/g2p/MODEL by default")
    parser.add_argument("--strategy", default="none", help="none, mirrored, multi_worker or tpu")
    parser.add_argument("--resume", action="store_true", help="go on from the run's last checkpoint")
    parser.add_argument("--smoke", action="store_true", help="quick check that it runs: few words, one epoch")
    given = parser.parse_args()
    metrics = run(given.model, given.out or f"runs/g2p/{given.model}", given.strategy, given.smoke, given.resume)
    training, test = metrics["training"], metrics["test"]
    print(f"{given.model}: {training['parameters']} parameters, trained in {training['seconds'] / 60:.0f} minutes")
    print(f"PER {test['per']:.2%}, WER {test['wer']:.2%} of {test['num_examples']} test words")


if __name__ == "__main__":
    main()
