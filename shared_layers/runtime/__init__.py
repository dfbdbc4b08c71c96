"""What a run of either kit needs: the model base, strategies, presets, schedules, callbacks and export."""

from shared_layers.runtime.files import write_aside
from shared_layers.runtime.model import Model
from shared_layers.runtime.names import unknown_name

__all__ = ["Model", "unknown_name", "write_aside"]
