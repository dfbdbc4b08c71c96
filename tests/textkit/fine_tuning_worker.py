"""One process of the tests of fine-tuning on replicas: `python -m ... none|mirrored OUT.npz`."""

import sys
import tempfile

import numpy as np

from tests.shared_layers.runtime.distributed_worker import make_scope

# name: kind, options. A batch has a row for each of two replicas, which count for more or less by their classes or words;
# the last one's second row only fills it, and counts for nothing.
CASES = {
    "texts": ("classify", {"class_weights": {"bad": 3.0, "good": 0.3}}),
    "words": ("tag", {"class_weights": "balanced", "layer_decay": 0.5}),
    "spans": ("qa", {}),
}


def run(case, scope):
    # Here, as a tokenizer starts TensorFlow, whose devices are divided before.
    from tests.textkit import labels
    from textkit.fine_tuning import fine_tune

    kind, options = CASES[case]
    data = labels.DATA[kind](113)
    with scope():
        model = labels.make_model(kind, head_dropout=0.0)
    before = np.concatenate([np.ravel(weight) for weight in model.weights])
    given = {"epochs": 1, "batch_size": 2, "buckets": 2, "learning_rate": 1e-3, "progress": False}
    with tempfile.TemporaryDirectory() as folder:
        history = fine_tune(model, data, folder, **given, **options)["history"]
    return {
        f"{case}/loss": history["loss"],
        f"{case}/val_loss": history["val_loss"],
        f"{case}/before": before,
        f"{case}/weights": np.concatenate([np.ravel(weight) for weight in model.weights]),
    }


def main():
    strategy, out = sys.argv[1:]
    scope = make_scope(strategy)
    with scope() as inside:
        results = {"replicas": getattr(inside, "num_replicas_in_sync", 1)}
    for case in CASES:
        results |= run(case, scope)
    np.savez(out, **results)


if __name__ == "__main__":
    main()
