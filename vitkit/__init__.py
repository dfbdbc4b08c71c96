"""Vision Transformers that show what they look at.

Functions are imported on first use to keep `import vitkit` fast: it imports neither tensorflow-datasets nor keras-nlp.
"""

import importlib

import shared_layers  # noqa: F401 -- first: it silences TensorFlow's log in the commands
from vitkit.backbone import ViTBackbone
from vitkit.classifier import ViTClassifier
from vitkit.datasets.registration import register_builders

_HOME = {
    "explain": "vitkit.heatmaps",
    "export": "vitkit.saved_model",
    "evaluate": "vitkit.evaluation",
    "train": "vitkit.training",
}
__all__ = ["ViTBackbone", "ViTClassifier", "evaluate", "explain", "export", "train"]

register_builders()


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'vitkit' has no attribute {name!r}")
