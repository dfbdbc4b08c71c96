import pytest

from shared_layers.runtime import unknown_name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rolout", "Unknown method; did you mean 'rollout'? Received: method='rolout'"),
        ("zzz", "Unknown method; expected one of 'legrad', 'rollout', 'tscam'. Received: method='zzz'"),
        (None, "Unknown method; expected one of 'legrad', 'rollout', 'tscam'. Received: method=None"),
    ],
)
def test_offers_near_names(name, message):
    error = unknown_name("method", name, {"rollout": 1, "tscam": 2, "legrad": 3})
    assert isinstance(error, ValueError)
    assert str(error) == message


@pytest.mark.parametrize(
    ("count", "end"), [(10, "'set_09'."), (11, "'set_09' and 1 more."), (445, "'set_09' and 435 more.")]
)
def test_shows_ten_of_many(count, end):
    message = str(unknown_name("dataset", "zzz", [f"set_{number:02}" for number in range(count)]))
    assert message.startswith("Unknown dataset; expected one of 'set_00', 'set_01', ")
    assert message.endswith(f", {end} Received: dataset='zzz'")
