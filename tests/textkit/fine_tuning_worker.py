"""One process of the tests of fine-tuning and pretraining on replicas: `python -m ... none|mirrored OUT.npz`."""

import sys
import tempfile

import numpy as np

from tests.shared_layers.runtime.distributed_worker import make_scope

# name: kind, options. A batch has a row for each of two replicas, which count for more or less by their classes, words or
# masks; the last one's second row only fills it, and counts for nothing.
LABELS = {"batch_size": 2, "buckets": 2, "learning_rate": 1e-3}
CASES = {
    "texts": ("classify", {**LABELS, "class_weights": {"bad": 3.0, "good": 0.3}}),
    "words": ("tag", {**LABELS, "class_weights": "balanced", "layer_decay": 0.5}),
    "spans": ("qa", LABELS),
    "masks": ("pretrain", {"batch_tokens": 24, "buckets": 1, "learning_rate": 1e-2, "max_length": 12, "mask_share": 0.3}),
}


def run(case, scope):
    # Here, as a tokenizer starts TensorFlow, whose devices are divided before.
    from tests.textkit import labels, test_pretraining
    from textkit.fine_tuning import fine_tune
    from textkit.pretraining import pretrain

    kind, options = CASES[case]
    with scope():
        model = test_pretraining.make() if kind == "pretrain" else labels.make_model(kind, head_dropout=0.0)
    before = np.concatenate([np.ravel(weight) for weight in model.weights])
    train, data = (pretrain, test_pretraining.texts(60)) if kind == "pretrain" else (fine_tune, labels.DATA[kind](113))
    with tempfile.TemporaryDirectory() as folder:
        history = train(model, data, folder, epochs=1, progress=False, **options)["history"]
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
