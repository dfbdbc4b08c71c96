"""Data: sets by name, folders of pictures, drawn birds, and the way from these to a model."""

from vitkit.datasets.pipeline import pipeline
from vitkit.datasets.sources import Source, load

__all__ = ["Source", "load", "pipeline"]
