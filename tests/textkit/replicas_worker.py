"""One process of the tests of replicas: `python -m ... none|mirrored OUT.npz`.

Trains small models on batches whose rows weigh differently, by padding, classes or masks, and writes what came of it.
"""

import sys
import tempfile

import keras
import numpy as np

from tests.shared_layers.runtime.distributed_worker import make_scope

# What else there is to import is imported where it is used: a tokenizer starts TensorFlow, whose devices are divided before.


def pairs(scope):
    """By `fit`: one replica gets most of a batch's tokens, which have weights."""
    from tests.textkit.models import make, make_ids
    from textkit.seq2seq import TokenCrossEntropy

    ids = make_ids((7, 5, 2, 1, 3, 6, 1, 1, 4, 4), (8, 7, 2, 2, 6, 8, 2, 1, 8, 2))
    labels = np.pad(ids["target_ids"][:, 1:], ((0, 0), (0, 1)))
    weights = np.random.default_rng(5).uniform(size=labels.shape).astype("float32")
    with scope():
        model = make("additive")
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        optimizer = keras.optimizers.SGD(0.3, momentum=0.5, global_clipnorm=1.0)
        model.compile(optimizer, TokenCrossEntropy(0.1), weighted_metrics=metrics)
    before = all_weights(model)
    options = {"sample_weight": weights, "batch_size": 4, "verbose": 0}
    history = model.fit(ids, labels, epochs=3, shuffle=False, **options).history
    evaluation = model.evaluate(ids, labels, **options)
    return {**history, "evaluation": evaluation, "before": before, "weights": all_weights(model)}


def words(scope):
    """By `fine_tune`: a row for each replica, which counts for more or less; the last batch has one only to fill it."""
    from tests.textkit import labels
    from textkit.fine_tuning import fine_tune

    with scope():
        model = labels.make_model("tag", head_dropout=0.0)
    options = {"batch_size": 2, "buckets": 2, "learning_rate": 1e-3, "class_weights": "balanced", "layer_decay": 0.5}
    return run(fine_tune, model, labels.DATA["tag"](113), options)


def masks(scope):
    """By `pretrain`: rows of more masks and of fewer."""
    from tests.textkit import test_pretraining
    from textkit.pretraining import pretrain

    with scope():
        model = test_pretraining.make()
    options = {"batch_tokens": 24, "buckets": 1, "learning_rate": 1e-2, "max_length": 12, "mask_selection_rate": 0.3}
    return run(pretrain, model, test_pretraining.texts(60), options)


CASES = {"pairs": pairs, "words": words, "masks": masks}


def run(train, model, data, options):
    before = all_weights(model)
    with tempfile.TemporaryDirectory() as folder:
        history = train(model, data, folder, epochs=1, progress=False, **options)["history"]
    losses = {name: history[name] for name in ("loss", "val_loss")}
    return {**losses, "before": before, "weights": all_weights(model)}


def all_weights(model):
    return np.concatenate([np.ravel(weight) for weight in model.weights])


def main():
    strategy, out = sys.argv[1:]
    scope = make_scope(strategy)
    with scope() as inside:
        results = {"replicas": getattr(inside, "num_replicas_in_sync", 1)}
    for case, train in CASES.items():
        results |= {f"{case}/{name}": values for name, values in train(scope).items()}
    np.savez(out, **results)


if __name__ == "__main__":
    main()
