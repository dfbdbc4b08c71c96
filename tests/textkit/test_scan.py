"""scan: against a loop, and its gradient under each compiler."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.checks import assert_close, gradient_of, numpy
from textkit.scan import scan

INPUTS = {"x": np.random.RandomState(0).normal(size=(5, 3)).astype("float32"), "add": np.arange(5, dtype="int32")}


def step(carried, inputs):
    state = ops.tanh(carried["state"] * 0.5 + inputs["x"])
    count = carried["count"] + inputs["add"]
    return {"state": state, "count": count}, {"double": 2 * state, "counts": [count]}


def run(x):
    carried = {"state": ops.zeros((3,)), "count": ops.convert_to_tensor(7, "int32")}
    return scan(step, carried, {**INPUTS, "x": x})


def test_against_a_loop():
    carried, outputs = numpy(run(INPUTS["x"]))
    state, count = np.zeros(3), 7
    for index in range(5):
        state, count = np.tanh(state * 0.5 + INPUTS["x"][index]), count + index
        assert_close(outputs["double"][index], np.float32(2 * state))
        assert outputs["counts"][0][index] == count
    assert_close(carried["state"], np.float32(state))
    assert carried["count"] == count == 17


def test_a_single_step():
    carried, outputs = scan(lambda total, x: (total + x, total), ops.array(1.0), ops.array([2.0]))
    assert float(carried) == 3.0
    assert numpy(outputs).tolist() == [1.0]


@pytest.mark.parametrize("compiled", [False, True])
def test_gradient_under_the_compiler(compiled):
    def loss(x):
        return ops.sum(run(x)[1]["double"] ** 2)

    if compiled and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def gradient(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = loss(x)
            return tape.gradient(value, x)

        found = numpy(tf.function(gradient, jit_compile=True)(tf.constant(INPUTS["x"])))
    elif compiled:
        import jax

        found = numpy(jax.jit(jax.grad(loss))(INPUTS["x"]))
    else:
        found = gradient_of(loss, INPUTS["x"])
    for place in [(0, 0), (2, 1), (4, 2)]:
        nudge = np.zeros((5, 3), "float32")
        nudge[place] = 1e-2
        slope = (float(loss(INPUTS["x"] + nudge)) - float(loss(INPUTS["x"] - nudge))) / 2e-2
        assert abs(found[place] - slope) < 2e-3
