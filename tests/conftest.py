"""Graphs are made by the thousand here: looking for garbage among those of all files before takes its time."""

import gc

import pytest

gc.set_threshold(20_000, 10, 10)


@pytest.fixture(scope="module", autouse=True)
def _collected():
    """Collects a file's garbage when it has run, and never looks again at what is left."""
    yield
    gc.collect()
    gc.freeze()
