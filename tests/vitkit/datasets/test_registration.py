import subprocess
import sys

import pytest

TFDS = "import tensorflow_datasets as tfds"
AGAIN = "from vitkit.datasets.registration import register_builders"
CHECK = "assert tfds.builder('bird_focus/64').info.features['image'].shape == (64, 64, 3)"


@pytest.mark.parametrize(
    "lines",
    [
        ("import sys, vitkit", "assert 'tensorflow_datasets' not in sys.modules", TFDS),
        (TFDS, "import vitkit"),
        ("import vitkit.datasets.bird_focus", TFDS),
        (AGAIN, "register_builders()", TFDS, "register_builders()"),
    ],
    ids=[
        "vitkit first",
        "tensorflow_datasets first",
        "the builder itself first",
        "registered again and again",
    ],
)
def test_tfds_knows_the_builder_in_any_order_of_imports(lines):
    script = "\n".join([*lines, CHECK])
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_missing_tensorflow_datasets_fails_as_usual():
    hide = "import sys; sys.path_hooks.clear(); sys.path_importer_cache.clear()"
    script = f"import importlib, vitkit.datasets.registration\n{hide}\nimport tensorflow_datasets"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "ModuleNotFoundError: No module named 'tensorflow_datasets'" in run.stderr
