"""`tf.distribute` strategies by name; TensorFlow only."""

import os

from shared_layers.runtime.backends import require_tensorflow
from shared_layers.runtime.names import unknown_name


def get_strategy(name):
    """Makes a `tf.distribute` strategy; models are built and compiled under its `scope()`.

    Args:
        name: str, "none" (the default strategy: one replica), "mirrored" (one replica per GPU of this machine, or
            per logical CPU device), "multi_worker" (one process per machine, described by the environment variable
            `TF_CONFIG`) or "tpu" (the TPU named by `TPU_NAME`, or the local one).

    Returns:
        A `tf.distribute.Strategy`.

    Raises:
        ValueError: an unknown name, another backend than TensorFlow, no `TF_CONFIG` or no TPU.

    Example:
        >>> get_strategy("none").num_replicas_in_sync
        1
    """
    makers = {"none": _none, "mirrored": _mirrored, "multi_worker": _multi_worker, "tpu": _tpu}
    if name not in makers:
        raise unknown_name("strategy", name, makers)
    require_tensorflow("A strategy")
    return makers[name]()


def is_chief(strategy):
    """Returns whether this process is the chief, which writes files and reports.

    Args:
        strategy: `tf.distribute.Strategy`; or `None`.

    Returns:
        bool, `False` on every worker but one.
    """
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or resolver.task_type in (None, "chief"):
        return True
    return "chief" not in resolver.cluster_spec().jobs and resolver.task_id == 0


def shard_by_row(dataset):
    """Sets a dataset to be sharded over workers by rows of each batch, not by files.

    By default, workers that read files would each expect different files.

    Args:
        dataset: `tf.data.Dataset` of global batches, the same on every worker.

    Returns:
        `tf.data.Dataset`, for `fit`, `evaluate` and `predict`.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options)


def _none():
    import tensorflow as tf

    return tf.distribute.get_strategy()


def _mirrored():
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _multi_worker():
    import tensorflow as tf

    if "TF_CONFIG" not in os.environ:
        raise ValueError(
            "The multi_worker strategy needs the workers' addresses in the environment, such as "
            'TF_CONFIG={"cluster": {"worker": ["one:1234", "two:1234"]}, '
            '"task": {"type": "worker", "index": 0}}. '
            "Received: TF_CONFIG=None"
        )
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu():
    import tensorflow as tf

    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(f"Expected a TPU that can be reached. Received: TPU_NAME={name}") from error
    return tf.distribute.TPUStrategy(resolver)
