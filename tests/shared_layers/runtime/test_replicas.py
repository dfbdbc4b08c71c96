"""Several replicas, several workers and another backend against one process, each in processes of its own."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.backends import tensorflow_only
from tests.shared_layers.runtime.distributed_worker import CASES

pytestmark = tensorflow_only

ROOT = pathlib.Path(__file__).parents[3]
OTHERS = ("mirrored", "worker_0", "worker_1", "jax")


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(strategy, out, checkpoints, **environment):
    module = "tests.shared_layers.runtime.distributed_worker"
    return subprocess.Popen(
        [sys.executable, "-m", module, strategy, str(out), str(checkpoints)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas")
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    processes = {
        "none": start("none", folder / "none.npz", checkpoints=""),
        "mirrored": start("mirrored", folder / "mirrored.npz", folder / "mirrored"),
        "jax": start("jax", folder / "jax.npz", folder / "jax", KERAS_BACKEND="jax"),
    }
    for index in range(2):
        task = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        out = folder / f"worker_{index}.npz"
        processes[f"worker_{index}"] = start("multi_worker", out, folder / "workers", TF_CONFIG=task)
    with contextlib.ExitStack() as stack:
        for process in processes.values():
            stack.enter_context(process)
            stack.callback(process.kill)
        for name, process in processes.items():
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, f"{name}: {output[-3000:]}"
    return {name: np.load(folder / f"{name}.npz") for name in processes}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("other", OTHERS)
def test_agrees_with_one_process(results, case, other):
    # bfloat16 has 8 bits, and half a batch is rounded otherwise than a whole one.
    tolerance = 1e-3 if case.startswith("mixed") or case == "everything" else 1e-5
    names = [name for name in results["none"].files if name.startswith(f"{case}/")]
    assert names
    for name in names:
        expected, found = results["none"][name], results[other][name]
        if name.endswith("weights"):
            assert np.isfinite(expected).all()
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("name", "replicas"), [("none", 1), ("mirrored", 2), ("worker_0", 2), ("worker_1", 2)])
def test_each_strategy_has_its_replicas(results, name, replicas):
    assert results[name]["replicas"] == replicas


@pytest.mark.parametrize("name", ["mirrored", "worker_0"])
def test_replicas_refuse_several_steps_per_execution(results, name):
    refusal = str(results[name]["refusal"])
    assert re.search(r"need steps_per_execution=1.* Received: steps_per_execution=2", refusal)
    assert str(results["none"]["refusal"]) == "nothing"


def test_training_changes_weights(results):
    assert len({float(results["none"][f"{case}/weights"].sum()) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("name", ["none", *OTHERS])
def test_swapping_validates_the_average(results, name):
    # After `fit` the average is what the weights are.
    assert results[name]["swapped/val_loss"] == pytest.approx(results[name]["swapped/evaluation"][0], abs=1e-5)
