"""One process of the tests of replicas: `python -m ... none|mirrored|multi_worker|jax OUT.npz CHECKPOINTS`.

Trains the same small model on the same global batches in every case of CASES and writes what came of it.
"""

import contextlib
import sys

import numpy as np

CASES = {
    "plain": {},
    "uneven": {},
    "swapped": {"use_ema": True, "ema_momentum": 0.9},
    "mixed_bfloat16": {},
    "everything": {
        "gradient_accumulation_steps": 2,
        "global_clipnorm": 0.05,
        "use_ema": True,
        "ema_momentum": 0.5,
        "ema_overwrite_frequency": 2,
    },
    "fused_accumulated": {"fused": True, "gradient_accumulation_steps": 3, "use_ema": True, "ema_momentum": 0.5},
    "resumed": {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.5},
}
BATCH = 8


def make_scope(strategy):
    from shared_layers import runtime

    if strategy == "jax":
        return contextlib.nullcontext
    if strategy == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return runtime.get_strategy(strategy).scope


def make_model(case, scope):
    from tests.shared_layers.runtime.small_model import SmallModel, compile_model, set_same_weights

    dtype = case if case.startswith("mixed") else "mixed_float16" if case == "everything" else None
    with scope():
        model = SmallModel(dtype=dtype)
        compile_model(model, **CASES[case])
    set_same_weights(model)
    return model


def run(case, scope, checkpoints):
    """Trains two epochs; in the case "resumed" by two models, with the folder `checkpoints` between them."""
    import keras

    from shared_layers import runtime
    from tests.shared_layers.runtime.small_model import make_data

    # 17 rows leave a last batch of one row: one replica has it, the other has none.
    inputs, labels = make_data(17 if case == "uneven" else 24)
    if case == "everything":
        # Overflows on the second replica alone; both must skip this update, as one process does.
        inputs[6] = np.inf
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
    model = make_model(case, scope)
    epoch = 0
    if case == "resumed" and checkpoints:
        checkpoint = runtime.SafeCheckpoint(checkpoints, monitor="loss")
        model.fit(inputs, labels, callbacks=[checkpoint], **options)
        # Where the workers wait for one another, and so for the chief to have written.
        model.evaluate(inputs, labels, batch_size=BATCH, verbose=0)
        model = make_model(case, scope)
        epoch = runtime.SafeCheckpoint(checkpoints).resume(model)
    if case == "swapped":
        options |= {"callbacks": [keras.callbacks.SwapEMAWeights()], "validation_data": (inputs, labels)}
    history = model.fit(inputs, labels, initial_epoch=epoch, epochs=2, **options).history
    weights = [*model.weights, *model.optimizer.variables]
    results = {
        "loss": history["loss"][-1],
        "accuracy": history["accuracy"][-1],
        "weights": np.concatenate([np.ravel(keras.ops.convert_to_numpy(weight)) for weight in weights]),
    }
    if case == "swapped":
        results["val_loss"] = history["val_loss"][-1]
    if case in ("plain", "uneven", "swapped"):
        results["predictions"] = model.predict(inputs, batch_size=BATCH, verbose=0)
        results["evaluation"] = model.evaluate(inputs, labels, batch_size=BATCH, verbose=0)
    return {f"{case}/{name}": np.asarray(value) for name, value in results.items()}


def refusal(scope):
    """What `fit` says to several steps in one execution, which Keras cannot share among replicas."""
    import keras

    from tests.shared_layers.runtime.small_model import SmallModel, make_data

    with scope():
        model = SmallModel()
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), steps_per_execution=2)
    try:
        model.fit(*make_data(24), batch_size=BATCH, verbose=0)
    except ValueError as error:
        return str(error)
    return "nothing"


def main():
    strategy, out, checkpoints = sys.argv[1:]
    scope = make_scope(strategy)
    with scope() as inside:
        results = {"replicas": getattr(inside, "num_replicas_in_sync", 1)}
    results["refusal"] = refusal(scope)
    for case in CASES:
        results.update(run(case, scope, checkpoints))
    np.savez(out, **results)


if __name__ == "__main__":
    main()
