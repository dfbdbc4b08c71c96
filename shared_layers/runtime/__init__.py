"""What a run of either kit needs: the model base, strategies, presets, schedules, callbacks and export."""

from shared_layers.runtime.files import write_aside
from shared_layers.runtime.model import Model
from shared_layers.runtime.names import unknown_name
from shared_layers.runtime.schedules import WarmupCosine
from shared_layers.runtime.strategy import get_strategy, is_chief, shard_by_row

__all__ = ["Model", "WarmupCosine", "get_strategy", "is_chief", "shard_by_row", "unknown_name", "write_aside"]
