"""Data sets of `tensorflow_datasets` by name."""

import re

from shared_layers.runtime.names import unknown_name


def dataset_builder(name, data_dir=None):
    """Finds the builder of a data set.

    Args:
        name: str, optionally with configuration and version, such as "bird_focus/64".
        data_dir: str, the data folder of `tensorflow_datasets`; `None` for its default.

    Returns:
        `tfds.core.DatasetBuilder`.

    Raises:
        ValueError: an unknown data set; the message suggests similar names.
    """
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir)
    except (ValueError, AssertionError) as error:
        known = tfds.list_builders(with_community_datasets=False)
        base = re.split("[/:]", name)[0]
        if base in known:
            known = [base, *(f"{base}/{config}" for config in tfds.builder_cls(base).builder_configs)]
        raise unknown_name("dataset", name, known) from error
