"""Data: `tensorflow_datasets` by name, folders of pictures, drawn birds, and the input pipeline."""

from vitkit.datasets.pipeline import pipeline
from vitkit.datasets.sources import Source, load

__all__ = ["Source", "load", "pipeline"]
