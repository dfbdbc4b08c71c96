"""The contracts that every layer and model keeps, each checked by one call: `check_layer`, `check_model`."""

import atexit
import functools
import inspect
import json
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
from keras import ops, tree

ROOT = pathlib.Path(__file__).parent.parent
TOLERANCE = 1e-5


def check_layer(layer_class, init_kwargs, inputs, tokens=(), padding_mask=None, attention_mask=None, causal=None):
    """Holds a layer against every contract that applies to it.

    Args:
        layer_class: a registered `keras.layers.Layer`.
        init_kwargs: dict, how to make one.
        inputs: array, or dict of call arguments (arrays become model inputs, anything else is passed as it is).
        tokens: names of the call arguments (b, n, d) that all hold the same n tokens; needed by the three below.
        padding_mask: name of the call argument (b, n) that marks real tokens.
        attention_mask: name of the call argument (b, n, n) that says who may attend to whom.
        causal: dict of call arguments under which no token sees a later one.
    """
    layer = layer_class(**init_kwargs)
    call_kwargs = named(layer, inputs)
    expected = numpy(layer(**call_kwargs))
    check_config(layer, call_kwargs, expected)
    check_compiled(layer, call_kwargs, expected)
    model = as_model(layer, call_kwargs)
    check_fresh_process(model, arrays_of(call_kwargs), expected, layer_class.__module__)
    check_training(lambda dtype: as_model(layer_class(**init_kwargs, dtype=dtype), call_kwargs), arrays_of(call_kwargs))
    if padding_mask:
        check_padding(layer, call_kwargs, tokens, padding_mask)
    if causal:
        check_causal(layer, {**call_kwargs, **causal}, tokens)
    if attention_mask:
        for dtype in ("float32", "mixed_float16", "mixed_bfloat16"):
            check_fully_masked_row(layer_class(**init_kwargs, dtype=dtype), call_kwargs, tokens, attention_mask)


def check_model(model_class, init_kwargs, inputs, model=None):
    """Holds a model against every contract that applies to it.

    Args:
        model_class: a registered `keras.Model` whose call without options returns one tensor or a dict of them.
        init_kwargs: dict, how to make one.
        inputs: array (b, ...) or dict of arrays, the model's only input.
        model: one with weights that show more than fresh ones; `None` makes one.
    """
    model = model_class(**init_kwargs) if model is None else model
    expected = numpy(model(inputs))
    call_kwargs = {first_argument(model): inputs}
    check_config(model, call_kwargs, expected)
    check_compiled(model, call_kwargs, expected)
    check_fresh_process(model, inputs, expected, model_class.__module__)
    check_training(lambda dtype: model_class(**init_kwargs, dtype=dtype), inputs, of_layers=False)


def check_config(layer, call_kwargs, expected):
    """A layer rebuilt from its config, through JSON, is the same layer."""
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    rebuilt = keras.saving.deserialize_keras_object(config)
    assert type(rebuilt) is type(layer)
    rebuilt_config = json.loads(json.dumps(keras.saving.serialize_keras_object(rebuilt)))
    assert rebuilt_config["config"] == config["config"]
    rebuilt(**call_kwargs)
    rebuilt.set_weights(layer.get_weights())
    assert_close(rebuilt(**call_kwargs), expected)


def check_compiled(layer, call_kwargs, expected):
    """The backend's compilers give what eager execution gives."""
    arrays = arrays_of(call_kwargs)

    def call(arrays):
        return layer(**with_arrays(call_kwargs, arrays))

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        arrays = tree.map_structure(tf.constant, arrays)
        compiled = [tf.function(call), tf.function(call, jit_compile=True)]
    else:
        import jax

        compiled = [jax.jit(call)]
    for function in compiled:
        assert_close(function(arrays), expected)


def check_fresh_process(model, inputs, expected, module):
    """A process that has never made this model loads it from a `.keras` file, in safe mode, and computes the same."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model.save(folder / "model.keras")
        named_inputs = inputs if isinstance(inputs, dict) else {"": inputs}
        np.savez(folder / "inputs.npz", **{name or "only": value for name, value in named_inputs.items()})
        process = fresh_process()
        process.stdin.write(
            json.dumps({"folder": str(folder), "module": module, "is_dict": isinstance(inputs, dict)}) + "\n"
        )
        process.stdin.flush()
        answer = process.stdout.readline().strip()
        assert answer == "done", answer or "The process that loads models has ended"
        with np.load(folder / "outputs.npz") as outputs:
            assert_close(list(outputs.values()), tree.flatten(expected))


@functools.cache
def fresh_process():
    """One process for all checks: it only ever loads, and starting TensorFlow takes seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOADER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def end():
        process.communicate()  # closes its input, at which it ends

    atexit.register(end)
    return process


LOADER = """
import importlib, json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a library prints is no answer
import keras
import numpy as np
for line in sys.stdin:
    try:
        task = json.loads(line)
        importlib.import_module(task["module"])
        model = keras.saving.load_model(task["folder"] + "/model.keras")
        inputs = dict(np.load(task["folder"] + "/inputs.npz"))
        outputs = model(inputs if task["is_dict"] else inputs["only"])
        np.savez(task["folder"] + "/outputs.npz", *map(keras.ops.convert_to_numpy, keras.tree.flatten(outputs)))
        answer = "done"
    except Exception as error:
        answer = repr(error)
    print(answer, file=answers, flush=True)
"""


def check_training(make, inputs, of_layers=True):
    """Outputs are finite, in float32 and with both mixed precisions, and so are the losses of a few steps of `fit`, which
    change the weights. What takes seconds is left to the layers, of which models are made: to train in bfloat16, and
    TensorFlow's default compiler, in float32."""
    for dtype in ("float32", "mixed_float16", "mixed_bfloat16"):
        model = make(dtype)
        outputs = numpy(model(inputs))
        assert all(np.isfinite(output).all() for output in tree.flatten(outputs)), dtype
        if not model.trainable_weights or (dtype == "mixed_bfloat16" and not of_layers):
            continue
        before = model.get_weights()
        options = {} if (of_layers and dtype == "float32") or keras.backend.backend() == "jax" else {"jit_compile": False}
        model.compile(keras.optimizers.SGD(0.1), tree.map_structure(lambda _: "mse", outputs), **options)
        batch_size = len(tree.flatten(outputs)[0])  # one step
        # float16's loss scale begins high: the first steps may overflow and be skipped
        targets = tree.map_structure(lambda output: output + 1.0, outputs)
        history = model.fit(inputs, targets, epochs=5, batch_size=batch_size, verbose=0).history
        assert np.isfinite(history["loss"]).all(), dtype
        after = model.get_weights()
        assert all(np.isfinite(weight.astype("float32")).all() for weight in after), dtype
        assert any((old != new).any() for old, new in zip(before, after, strict=True)), dtype


def check_padding(layer, call_kwargs, tokens, padding_mask):
    """What stands in padded tokens changes nothing in the others."""
    batch, length = call_kwargs[tokens[0]].shape[:2]
    real = np.arange(length) < (length - np.arange(batch) % length)[:, None]  # the first example is full
    real[-1] = np.arange(length) < 1  # and the last has one token
    call_kwargs = {**call_kwargs, padding_mask: real}
    other = {name: np.where(real[..., None], call_kwargs[name], 1 - 3 * call_kwargs[name]) for name in tokens}
    one, two = numpy(layer(**call_kwargs)), numpy(layer(**{**call_kwargs, **other}))
    assert_close(two[real], one[real])
    assert np.abs(numpy(layer(**{**call_kwargs, **other, padding_mask: np.ones_like(real)})) - one)[real].max() > 1e-3


def check_causal(layer, call_kwargs, tokens):
    """No token changes when later ones do, and each one does when the first does."""
    length = call_kwargs[tokens[0]].shape[1]
    before = numpy(layer(**call_kwargs))
    for start in range(1, length):
        later = np.arange(length) >= start
        other = {name: np.where(later[:, None], 1 - 3 * call_kwargs[name], call_kwargs[name]) for name in tokens}
        after = numpy(layer(**{**call_kwargs, **other}))
        assert_close(after[:, :start], before[:, :start])
        assert np.abs(after[:, start:] - before[:, start:]).max() > 1e-3


def check_fully_masked_row(layer, call_kwargs, tokens, attention_mask):
    """A query that may attend to nothing gives finite numbers and gradients, and changes no other query."""
    batch, length = call_kwargs[tokens[0]].shape[:2]
    mask = np.ones((batch, length, length), bool)
    free = numpy(layer(**{**call_kwargs, attention_mask: mask}))
    mask[:, 1] = False
    model = as_model(layer, {**call_kwargs, attention_mask: mask})
    arrays = arrays_of({**call_kwargs, attention_mask: mask})
    masked = numpy(model(arrays))
    assert np.isfinite(masked).all()
    others = np.arange(length) != 1
    assert_close(masked[:, others], free[:, others], 1e-5 if layer.compute_dtype == "float32" else 1e-2)
    if model.trainable_weights:
        model.compile("sgd", "mse", run_eagerly=keras.backend.backend() == "tensorflow")
        model.train_on_batch(arrays, masked + 1.0)
        assert all(np.isfinite(weight.astype("float32")).all() for weight in model.get_weights())


def named(layer, inputs):
    """Call arguments as a dict, also when only the first was given."""
    return inputs if isinstance(inputs, dict) else {first_argument(layer): inputs}


def first_argument(layer):
    return next(iter(inspect.signature(layer.call).parameters))


def arrays_of(call_kwargs):
    """Those call arguments that are arrays; of a list or dict "x" its items, as "x_0", "x_1", ... or "x_key", ..."""
    flat = {}
    for name, value in call_kwargs.items():
        items = dict(enumerate(value)) if isinstance(value, list) else value
        flat.update({f"{name}_{i}": item for i, item in items.items()} if isinstance(items, dict) else {name: value})
    return {name: value for name, value in flat.items() if isinstance(value, np.ndarray)}


def with_arrays(call_kwargs, arrays):
    """The call arguments, with others in the places of those that `arrays_of` named."""

    def place(name, value):
        if isinstance(value, list):
            return [place(f"{name}_{i}", item) for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {i: place(f"{name}_{i}", item) for i, item in value.items()}
        return arrays.get(name, value)

    return {name: place(name, value) for name, value in call_kwargs.items()}


def as_model(layer, call_kwargs):
    """A functional model of the layer: a dict of arrays to all its outputs, which are those that it gives for the arrays
    themselves. The batch size is left open."""
    arrays = arrays_of(call_kwargs)
    inputs = {name: keras.Input(value.shape[1:], dtype=value.dtype.name, name=name) for name, value in arrays.items()}
    outputs = layer(**with_arrays(call_kwargs, inputs))

    def check(symbolic, given):
        assert len(symbolic.shape) == len(given.shape)
        assert all(one in (None, other) for one, other in zip(symbolic.shape, given.shape, strict=True))
        assert symbolic.dtype == keras.backend.standardize_dtype(given.dtype)

    tree.map_structure(check, outputs, layer(**call_kwargs))
    return keras.Model(inputs, outputs)


def gradient_of(function, array):
    """The gradient of a scalar function of one array, as an array."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        array = tf.constant(array)
        with tf.GradientTape() as tape:
            tape.watch(array)
            value = function(array)
        return numpy(tape.gradient(value, array, unconnected_gradients="zero"))
    import jax

    return numpy(jax.grad(function)(ops.convert_to_tensor(array)))


def numpy(tensors):
    """NumPy arrays, of float32 at least, in the structure of the tensors."""

    def to_numpy(tensor):
        array = ops.convert_to_numpy(tensor)
        return array.astype("float32") if array.dtype.kind not in "iub" else array

    return tree.map_structure(to_numpy, tensors)


def assert_close(actual, expected, tolerance=TOLERANCE):
    """Every tensor of one structure agrees with that of the other, absolutely and relatively."""
    pairs = zip(tree.flatten(numpy(actual)), tree.flatten(numpy(expected)), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
