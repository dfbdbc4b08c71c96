"""One process of the tests of replicas: `python -m ... none|mirrored OUT.npz`.

Trains small models on batches whose rows weigh differently, by padding, classes or masks, and writes what came of it.
"""

import sys
import tempfile

import keras
import numpy as np
from keras.losses import SparseCategoricalCrossentropy

from tests.shared_layers.runtime.distributed_worker import make_scope

# of `fit`: model, whether the loss is that of tokens, whether the batches have weights. One replica gets most tokens.
FITTED = {
    "recurrent": ("additive", True, True),
    "transformer": ("pre_norm", True, False),
}
# of `fine_tune` and `pretrain`: kind, options. A batch has a row for each of two replicas; the last one's second row only
# fills it, and counts for nothing.
LABELS = {"batch_size": 2, "buckets": 2, "learning_rate": 1e-3}
RUNS = {
    "texts": ("classify", {**LABELS, "class_weights": {"bad": 3.0, "good": 0.3}}),
    "words": ("tag", {**LABELS, "class_weights": "balanced", "layer_decay": 0.5}),
    "masks": ("pretrain", {"batch_tokens": 24, "buckets": 1, "learning_rate": 1e-2, "max_length": 12, "mask_share": 0.3}),
}
CASES = (*FITTED, *RUNS)
# What follows is imported where it is used: a tokenizer starts TensorFlow, whose devices are divided before.


def fit(case, scope):
    from tests.textkit.models import make, make_ids
    from textkit.seq2seq import TokenCrossEntropy

    name, by_tokens, is_weighted = FITTED[case]
    ids = make_ids((7, 5, 2, 1, 3, 6, 1, 1, 4, 4), (8, 7, 2, 2, 6, 8, 2, 1, 8, 2))
    labels = np.pad(ids["target_ids"][:, 1:], ((0, 0), (0, 1)))
    weights = np.random.default_rng(5).uniform(size=labels.shape).astype("float32") if is_weighted else None
    with scope():
        model = make(name)
        loss = TokenCrossEntropy(0.1) if by_tokens else SparseCategoricalCrossentropy(True)
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        model.compile(keras.optimizers.SGD(0.3, momentum=0.5, global_clipnorm=1.0), loss, weighted_metrics=metrics)
    before = all_weights(model)
    options = {"batch_size": 4, "verbose": 0}
    history = model.fit(ids, labels, sample_weight=weights, epochs=3, shuffle=False, **options).history
    evaluation = model.evaluate(ids, labels, sample_weight=weights, **options)
    return {**history, "evaluation": evaluation, "before": before, "weights": all_weights(model)}


def train(case, scope):
    from tests.textkit import labels, test_pretraining
    from textkit.fine_tuning import fine_tune
    from textkit.pretraining import pretrain

    kind, options = RUNS[case]
    with scope():
        model = test_pretraining.make() if kind == "pretrain" else labels.make_model(kind, head_dropout=0.0)
    before = all_weights(model)
    function, data = (pretrain, test_pretraining.texts(60)) if kind == "pretrain" else (fine_tune, labels.DATA[kind](113))
    with tempfile.TemporaryDirectory() as folder:
        history = function(model, data, folder, epochs=1, progress=False, **options)["history"]
    losses = {name: history[name] for name in ("loss", "val_loss")}
    return {**losses, "before": before, "weights": all_weights(model)}


def all_weights(model):
    return np.concatenate([np.ravel(weight) for weight in model.weights])


def main():
    strategy, out = sys.argv[1:]
    scope = make_scope(strategy)
    with scope() as inside:
        results = {"replicas": getattr(inside, "num_replicas_in_sync", 1)}
    for case in CASES:
        found = (fit if case in FITTED else train)(case, scope)
        results |= {f"{case}/{name}": values for name, values in found.items()}
    np.savez(out, **results)


if __name__ == "__main__":
    main()
