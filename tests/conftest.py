"""Graphs are made by the thousand here; to look through all of them for garbage as often as Python does takes its time."""

import gc

import pytest

gc.set_threshold(200_000, 50, 1000)


@pytest.fixture(scope="module", autouse=True)
def _collected():
    """Collects a file's garbage when it has run, and never looks again at what is left."""
    yield
    gc.collect()
    gc.freeze()
