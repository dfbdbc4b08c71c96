"""Infrastructure of both kits: model base class, strategies, presets, schedules, callbacks and export."""

from shared_layers.runtime.backends import require_tensorflow
from shared_layers.runtime.callbacks import Progress, SafeCheckpoint, StopOnNaN
from shared_layers.runtime.command import mixed_policy, progress_bar, run_command, writable
from shared_layers.runtime.datasets import dataset_builder
from shared_layers.runtime.export import export_saved_model
from shared_layers.runtime.files import refuse_to_replace_others, write_aside
from shared_layers.runtime.hugging_face import (
    linear_layout,
    norm_layout,
    read_class_names,
    read_json,
    read_tensors,
    reading_config,
    to_weights,
)
from shared_layers.runtime.model import Model
from shared_layers.runtime.names import unknown_name
from shared_layers.runtime.optimizers import FusedAdam, make_optimizer
from shared_layers.runtime.ranges import TRAINING_RANGES, check_class_names, check_ranges, check_sizes
from shared_layers.runtime.schedules import InverseSquareRoot, WarmupCosine
from shared_layers.runtime.strategy import get_strategy, is_chief, shard_by_row
from shared_layers.runtime.training import fit_run

__all__ = [
    "TRAINING_RANGES",
    "FusedAdam",
    "InverseSquareRoot",
    "Model",
    "Progress",
    "SafeCheckpoint",
    "StopOnNaN",
    "WarmupCosine",
    "check_class_names",
    "check_ranges",
    "check_sizes",
    "dataset_builder",
    "export_saved_model",
    "fit_run",
    "get_strategy",
    "is_chief",
    "linear_layout",
    "make_optimizer",
    "mixed_policy",
    "norm_layout",
    "progress_bar",
    "read_class_names",
    "read_json",
    "read_tensors",
    "reading_config",
    "refuse_to_replace_others",
    "require_tensorflow",
    "run_command",
    "shard_by_row",
    "to_weights",
    "unknown_name",
    "writable",
    "write_aside",
]
