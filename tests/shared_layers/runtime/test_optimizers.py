"""`FusedAdam` against Keras's; `make_optimizer`: what the kits' own tests of decay do not see."""

import keras
import numpy as np
import pytest

from shared_layers.runtime import FusedAdam, make_optimizer
from tests.backends import tensorflow_only


def test_an_average_may_forget_at_once():
    assert make_optimizer([], 0.1, weight_decay=0.0, ema_momentum=0).ema_momentum == 0
    assert not make_optimizer([], 0.1, weight_decay=0.0).use_ema


def test_decay_is_decoupled():
    kernel = keras.Variable(np.array([2.0, -3.0], "float32"), name="kernel")
    optimizer = make_optimizer([kernel], 0.1, weight_decay=0.25)
    optimizer.apply([keras.ops.array([5.0, 0.0])], [kernel])
    # the first step of Adam is the sign of the gradient, which the decay is no part of
    np.testing.assert_allclose(kernel, [2.0 * (1 - 0.1 * 0.25) - 0.1, -3.0 * (1 - 0.1 * 0.25)], rtol=1e-5)


OPTIONS = {"weight_decay": 0.1, "beta_1": 0.8, "beta_2": 0.97, "epsilon": 1e-3}


def trained(make, dtype="float32", **options):
    """A weight after three steps of gradients of its own."""
    random = np.random.default_rng(23)
    weight = keras.Variable(random.normal(size=(3, 5)), dtype=dtype)
    optimizer = make(0.1, **OPTIONS, **options)
    for _ in range(3):
        optimizer.apply([keras.ops.cast(random.normal(size=(3, 5)), dtype)], [weight])
    return keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"global_clipnorm": 0.1}, {"dtype": "bfloat16"}])
def test_fused_adam_is_adam(options):
    tolerance = 1e-2 if "dtype" in options else 1e-6
    np.testing.assert_allclose(
        trained(FusedAdam, **options), trained(keras.optimizers.Adam, **options), tolerance, tolerance
    )


@tensorflow_only
def test_fused_adam_takes_the_gradient_of_an_embedding():
    import tensorflow as tf

    tables = []
    for make in (FusedAdam, keras.optimizers.Adam):
        table = keras.Variable(np.arange(14.0).reshape(7, 2))
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table.value, [1, 5, 1]) ** 2)
        gradient = tape.gradient(loss, table.value)
        assert isinstance(gradient, tf.IndexedSlices)
        make(0.1).apply([gradient], [table])
        tables.append(keras.ops.convert_to_numpy(table))
    np.testing.assert_allclose(*tables, rtol=1e-6)


def test_a_variable_may_learn_at_a_rate_of_its_own():
    slow, quick = (keras.Variable(np.array([2.0, -3.0], "float32"), name=name) for name in ("slow", "quick"))
    optimizer = FusedAdam(0.1, rate_multipliers={slow.path: 0.25})
    optimizer.apply([keras.ops.array([5.0, -1.0])] * 2, [slow, quick])
    np.testing.assert_allclose(slow, [2.0 - 0.025, -3.0 + 0.025], rtol=1e-5)  # the first step is the gradient's sign
    np.testing.assert_allclose(quick, [2.0 - 0.1, -3.0 + 0.1], rtol=1e-5)


def test_fused_adam_is_made_again_from_its_config():
    optimizer = FusedAdam(0.3, **OPTIONS, rate_multipliers={"a/kernel": 0.5})
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, FusedAdam)
    assert again.get_config() == optimizer.get_config()
