import json

import keras
import numpy as np
import pytest

from shared_layers.runtime import InverseSquareRoot, WarmupCosine


def test_values_by_hand():
    schedule = WarmupCosine(peak=0.8, warmup_steps=3, total_steps=11, floor=0.2)
    # Quarters up to the peak at step 3; then 0.2 + 0.6 * (1 + cos(pi * k / 8)) / 2 at step 3 + k.
    expected = {0: 0.2, 1: 0.4, 2: 0.6, 3: 0.8, 5: 0.2 + 0.3 * (1 + 0.5**0.5), 7: 0.5, 11: 0.2, 97: 0.2}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, abs=1e-6)


def test_no_warmup_starts_at_the_peak():
    assert float(WarmupCosine(0.7, 0, 5)(0)) == pytest.approx(0.7)


def test_inverse_square_root_against_the_paper():
    width, warmup = 512, 4000
    schedule = InverseSquareRoot((width * warmup) ** -0.5, warmup)
    for number in (1, 7, 3999, 4000, 4001, 100_000):  # the paper counts steps from 1, Keras from 0
        expected = width**-0.5 * min(number**-0.5, number * warmup**-1.5)
        assert float(schedule(number - 1)) == pytest.approx(expected, rel=1e-5)


def test_inverse_square_root_refuses_no_warmup():
    with pytest.raises(ValueError, match=r"at least one step of warm-up. Received: warmup_steps=0"):
        InverseSquareRoot(0.1, 0)


@pytest.mark.parametrize("schedule", [WarmupCosine(0.8, 3, 11, floor=0.2), InverseSquareRoot(0.8, 3)])
def test_round_trip_inside_an_optimizer(schedule):
    config = json.loads(json.dumps(keras.optimizers.serialize(keras.optimizers.AdamW(schedule))))
    optimizer = keras.optimizers.deserialize(config)
    assert optimizer.get_config()["learning_rate"]["config"] == schedule.get_config()
    np.testing.assert_allclose(float(optimizer.learning_rate), float(schedule(0)))


@pytest.mark.parametrize(("warmup", "total"), [(5, 5), (-1, 5)])
def test_refuses_a_warmup_that_fills_the_run(warmup, total):
    with pytest.raises(ValueError, match=f"Received: warmup_steps={warmup}, total_steps={total}"):
        WarmupCosine(0.1, warmup, total)
