"""One process of the tests of replicas: `python -m ... none|mirrored OUT.npz`.

Trains small models on padded batches of which one replica gets most tokens, and writes what came of it.
"""

import sys

import keras
import numpy as np
from keras.losses import SparseCategoricalCrossentropy

from tests.shared_layers.runtime.distributed_worker import make_scope
from tests.textkit.models import make, make_ids
from textkit.seq2seq import TokenCrossEntropy

# name: model, loss, whether the batches have weights.
CASES = {
    "recurrent": ("additive", TokenCrossEntropy(0.1), True),
    "transformer": ("pre_norm", TokenCrossEntropy(0.1), False),
    "by the rows": ("fixed", SparseCategoricalCrossentropy(True), True),
}
BATCH = 4


def run(case, scope):
    name, loss, is_weighted = CASES[case]
    ids = make_ids((7, 5, 2, 1, 3, 6, 1, 1, 4, 4), (8, 7, 2, 2, 6, 8, 2, 1, 8, 2))
    labels = np.pad(ids["target_ids"][:, 1:], ((0, 0), (0, 1)))
    weights = np.random.default_rng(5).uniform(size=labels.shape).astype("float32") if is_weighted else None
    with scope():
        model = make(name)
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        model.compile(keras.optimizers.SGD(0.3, momentum=0.5, global_clipnorm=1.0), loss, weighted_metrics=metrics)
    options = {"batch_size": BATCH, "verbose": 0}
    history = model.fit(ids, labels, sample_weight=weights, epochs=3, shuffle=False, **options).history
    return {
        f"{case}/loss": history["loss"],
        f"{case}/accuracy": history["accuracy"],
        f"{case}/evaluation": model.evaluate(ids, labels, sample_weight=weights, **options),
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
