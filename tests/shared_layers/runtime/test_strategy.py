import types

import keras
import pytest
import tensorflow as tf

from shared_layers import runtime
from tests.backends import tensorflow_only
from tests.shared_layers.runtime.small_model import SmallModel, compile_model, make_data


@tensorflow_only
def test_none_has_one_replica():
    assert runtime.get_strategy("none").num_replicas_in_sync == 1


@tensorflow_only
def test_mirrored_on_one_device_trains():
    strategy = runtime.get_strategy("mirrored")
    assert isinstance(strategy, tf.distribute.MirroredStrategy)
    with strategy.scope():
        model = SmallModel()
        compile_model(model)
    history = model.fit(*make_data(24), batch_size=8, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_unknown_strategy():
    with pytest.raises(ValueError, match=r"Unknown strategy; did you mean 'mirrored'.* Received: strategy='miror'"):
        runtime.get_strategy("miror")


@tensorflow_only
def test_multi_worker_needs_addresses(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=r"such as TF_CONFIG=.* Received: TF_CONFIG=None"):
        runtime.get_strategy("multi_worker")


@tensorflow_only
def test_tpu_needs_a_tpu(monkeypatch):
    def connect(name):
        raise ValueError("no such host")

    monkeypatch.setattr(tf.distribute.cluster_resolver.TPUClusterResolver, "connect", connect)
    monkeypatch.setenv("TPU_NAME", "node-3")
    with pytest.raises(ValueError, match=r"a TPU that can be reached. Received: TPU_NAME=node-3"):
        runtime.get_strategy("tpu")


@pytest.mark.parametrize("name", ["none", "mirrored", "multi_worker", "tpu"])
def test_strategies_need_tensorflow(monkeypatch, name):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"A strategy needs Keras's TensorFlow backend. Received: KERAS_BACKEND=jax"):
        runtime.get_strategy(name)


def strategy_of(jobs, task_type, task_id):
    cluster = tf.train.ClusterSpec({job: [f"{job}:{port}" for port in range(2)] for job in jobs})
    resolver = types.SimpleNamespace(cluster_spec=lambda: cluster, task_type=task_type, task_id=task_id)
    return types.SimpleNamespace(cluster_resolver=resolver)


@pytest.mark.parametrize(
    ("jobs", "task_type", "task_id", "expected"),
    [
        (["worker"], "worker", 0, True),
        (["worker"], "worker", 1, False),
        (["chief", "worker"], "worker", 0, False),
        (["chief", "worker"], "chief", 0, True),
    ],
)
def test_one_worker_is_the_chief(jobs, task_type, task_id, expected):
    assert runtime.is_chief(strategy_of(jobs, task_type, task_id)) is expected


def test_a_process_without_a_strategy_is_the_chief():
    assert runtime.is_chief(None)


@tensorflow_only
def test_a_process_alone_is_the_chief():
    assert runtime.is_chief(runtime.get_strategy("none"))
    assert runtime.is_chief(runtime.get_strategy("mirrored"))


def test_shard_by_row_keeps_the_batches():
    dataset = runtime.shard_by_row(tf.data.Dataset.range(5).batch(2))
    policy = dataset.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA
    assert [batch.tolist() for batch in dataset.as_numpy_iterator()] == [[0, 1], [2, 3], [4]]
