"""Vision Transformers that show what they look at."""

from vitkit.datasets.registration import register_builders

register_builders()
