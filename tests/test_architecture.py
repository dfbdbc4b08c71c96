"""Who imports whom, read from the sources, and what `import vitkit` loads."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("shared_layers", "vitkit", "textkit", "scripts", "benchmarks")
MAY_IMPORT = {
    "shared_layers": {"shared_layers"},
    "vitkit": {"shared_layers", "vitkit"},
    "textkit": {"shared_layers", "textkit"},
    "scripts": {"shared_layers", "vitkit", "textkit", "scripts", "benchmarks"},
    "benchmarks": {"shared_layers", "vitkit", "textkit", "benchmarks"},
}
DOORS = {"shared_layers", "shared_layers.runtime", "shared_layers.relevance"}  # relevance: array maths, taken as a whole
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imports_of(source):
    """Dotted names of the modules that a source imports, anywhere in it; relative imports begin with a dot.

    `from a import b` gives `a`, and `a.b` when that is a module here.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names if is_module(f"{module}.{alias.name}"))


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def complaints(path, source):
    """What is wrong with the imports of a source at a path relative to the root."""
    package = path.parts[0]
    inside_runtime = path.parts[:2] == ("shared_layers", "runtime")
    for name in imports_of(source):
        parts = name.split(".")
        if name.startswith("."):
            yield f"{path}: relative import {name}"
        elif "src" in parts or any(part.startswith("_") and part != "__future__" for part in parts):
            yield f"{path}: private module {name}"
        elif parts[0] == "torch":
            yield f"{path}: torch is only for tests"
        elif parts[0] in PACKAGES and parts[0] not in MAY_IMPORT[package]:
            yield f"{path}: {package} should not know {name}"
        elif parts[0] == "shared_layers" and package != "shared_layers" and name not in DOORS:
            yield f"{path}: {name} is a file inside; take it from shared_layers or shared_layers.runtime"
        elif inside_runtime and parts[0] == "shared_layers" and parts[1:2] != ["runtime"]:
            yield f"{path}: the runtime stands on its own, without {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    assert not list(complaints(path.relative_to(ROOT), path.read_text()))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("vitkit/a.py", "import textkit"),
        ("vitkit/a.py", "from shared_layers.linear import Linear"),
        ("vitkit/a.py", "from shared_layers import linear"),
        ("vitkit/a.py", "from shared_layers.runtime.files import write_aside"),
        ("textkit/a.py", "def f():\n    from vitkit import explain"),
        ("shared_layers/a.py", "import vitkit.heatmaps"),
        ("shared_layers/runtime/a.py", "from shared_layers.linear import Linear"),
        ("shared_layers/runtime/a.py", "from shared_layers import Linear"),
        ("vitkit/a.py", "from keras.src import ops"),
        ("vitkit/a.py", "import json._private"),
        ("vitkit/a.py", "from . import patches"),
        ("shared_layers/a.py", "import torch"),
        ("vitkit/a.py", "import benchmarks"),
    ],
)
def test_a_wrong_import_is_seen(path, source):
    assert list(complaints(pathlib.Path(path), source))


@pytest.mark.parametrize("package", ["shared_layers", "textkit", "vitkit"])
def test_importing_a_package_loads_nothing_heavy(package):
    heavy = ("keras_nlp", "keras_hub", "tensorflow_datasets", "torch", "jinja2", "transformers")  # Keras loads matplotlib
    program = f"import sys, {package}; print(*[name for name in {heavy!r} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert result.stdout.strip() == ""
