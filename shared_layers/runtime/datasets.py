"""Data sets of `tensorflow_datasets`, by name."""

import re

from shared_layers.runtime.names import unknown_name


def dataset_builder(name, data_dir=None):
    """Finds a data set.

    Args:
        name: str, with configuration and version if need be, such as "bird_focus/64".
        data_dir: str, where `tensorflow_datasets` keeps its data, or `None` for where it always does.

    Returns:
        `tfds.core.DatasetBuilder`.

    Raises:
        ValueError: there is no such data set; near names are offered.
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
