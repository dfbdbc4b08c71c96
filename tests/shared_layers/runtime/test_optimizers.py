"""`make_optimizer`: what the kits' own tests of decay do not see."""

import keras
import numpy as np

from shared_layers.runtime import make_optimizer


def test_an_average_may_forget_at_once():
    assert make_optimizer([], 0.1, weight_decay=0.0, ema_momentum=0).ema_momentum == 0
    assert not make_optimizer([], 0.1, weight_decay=0.0).use_ema


def test_decay_is_decoupled():
    kernel = keras.Variable(np.array([2.0, -3.0], "float32"), name="kernel")
    optimizer = make_optimizer([kernel], 0.1, weight_decay=0.25)
    optimizer.apply([keras.ops.array([5.0, 0.0])], [kernel])
    # the first step of Adam is the sign of the gradient, which the decay is no part of
    np.testing.assert_allclose(kernel, [2.0 * (1 - 0.1 * 0.25) - 0.1, -3.0 * (1 - 0.1 * 0.25)], rtol=1e-5)
