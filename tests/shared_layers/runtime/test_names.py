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
