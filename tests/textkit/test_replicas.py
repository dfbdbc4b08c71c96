"""Two replicas against one process, on batches that one of them has most of."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.backends import tensorflow_only
from tests.textkit.replicas_worker import CASES

pytestmark = tensorflow_only

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    found = {}
    for strategy in ("none", "mirrored"):
        out = folder / f"{strategy}.npz"
        command = [sys.executable, "-m", "tests.textkit.replicas_worker", strategy, str(out)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        found[strategy] = np.load(out)
    assert [int(each["replicas"]) for each in found.values()] == [1, 2]
    return found


@pytest.mark.parametrize("case", CASES)
def test_agrees_with_one_process(results, case):
    names = [name for name in results["none"].files if name.startswith(f"{case}/")]
    assert len(names) >= 4
    for name in names:
        one, two = (results[strategy][name] for strategy in ("none", "mirrored"))
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_training_changes_the_weights(results, case):
    before, after = (results["none"][f"{case}/{name}"] for name in ("before", "weights"))
    assert np.abs(after - before).max() > 1e-3
