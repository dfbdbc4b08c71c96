"""Data sets by name."""

import pytest

from shared_layers.runtime import dataset_builder


def test_finds_a_data_set(tmp_path):
    assert dataset_builder("mnist", str(tmp_path)).name == "mnist"


@pytest.mark.parametrize(("name", "near"), [("mnits", "'mnist'"), ("glue/colla", "'glue/cola'")])
def test_offers_near_names(name, near):
    with pytest.raises(ValueError, match=rf"Unknown dataset; did you mean .*{near}.*Received: dataset='{name}'"):
        dataset_builder(name)
