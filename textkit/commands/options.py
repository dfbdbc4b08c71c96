"""Options that several commands share, and command groups with a default command."""

import contextlib
import copy
import inspect
import json
import sys
from pathlib import Path
from typing import Annotated, get_args

import typer
from typer.core import TyperGroup

from shared_layers.runtime import mixed_policy, progress_bar, unknown_name, writable, write_aside

Run = Annotated[Path, typer.Option("--out", help="Folder of the run.", file_okay=False, callback=writable)]
NewFolder = Annotated[Path, typer.Option(help="Folder to write.", file_okay=False, callback=writable)]
JsonFile = Annotated[Path | None, typer.Option("--out", help="JSON file to write.", dir_okay=False, callback=writable)]
Split = Annotated[str, typer.Option(help="Split to measure on: train, validation or test.")]
Epochs = Annotated[int, typer.Option(help="Number of training epochs.", min=1)]
BatchTokens = Annotated[int, typer.Option(help="Tokens per global batch (all replicas together).", min=1)]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate.")]
WeightDecay = Annotated[float, typer.Option(help="AdamW weight decay, on kernels only.")]
ClipNorm = Annotated[float, typer.Option(help="Clip gradients to this global norm.")]
EmaMomentum = Annotated[
    float | None, typer.Option(help="Validate and save a moving average of the weights with this momentum, such as 0.999.")
]
MixedPrecision = Annotated[str | None, typer.Option(help="bfloat16 or float16.", callback=mixed_policy)]
Xla = Annotated[bool, typer.Option("--xla", help="Compile the training step with XLA.")]
Strategy = Annotated[str, typer.Option(help="Distribution strategy: none, mirrored, multi_worker or tpu.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")]
Seed = Annotated[int, typer.Option(help="Random seed.", min=0, max=2**32 - 1)]


_WORDS = {"true": True, "false": False, "none": None}
_KINDS = {bool: "true or false", int: "an integer", float: "a number", str: "a string"}
# Types of the constructor arguments whose default is None; any other argument with that default accepts only none.
_OF_NONE = {
    "alignment_layer": int,
    "attention": str,
    "attention_dim": int,
    "attention_dropout": float,
    "dtype": str,
    "embedding_dim": int,
}


def group(default, text):
    """Makes a group of commands with a default one.

    Args:
        default: str, the command that runs if none is named: with "translate", `textkit train dates` is
            `textkit train translate dates`.
        text: str, the group's help.

    Returns:
        `typer.Typer`.
    """

    class WithDefault(TyperGroup):
        def parse_args(self, ctx, args):
            named = args and (args[0] in self.commands or args[0] == "--help")
            return super().parse_args(ctx, args if named else [default, *args])

    return typer.Typer(cls=WithDefault, help=text, add_completion=False, rich_markup_mode=None)


def translators_only(option):
    """Makes an optional option, for translators only, of an option of `textkit translate`.

    Args:
        option: an `Annotated` type with a `typer.Option`.

    Returns:
        The `Annotated` type, whose value may be `None`, and whose help says so.
    """
    kind, info = get_args(option)
    info = copy.copy(info)
    method, _, text = info.help.rpartition(" only: ")
    info.help = f"Translators{', ' + method if method else ''} only: {text[0].lower()}{text[1:]}"
    return Annotated[kind | None, info]


def not_applicable(option, given, expected, **received):
    """Makes the error for an option that a model, a task or data do not have.

    Args:
        option: str, name of the parameter: "max_length".
        given: str, what the option does not apply to: "encoders".
        expected: str, what it does apply to: "translators".
        **received: what was given, by name.

    Returns:
        A ValueError, for the caller to raise.
    """
    values = ", ".join(f"{name}={value!r}" for name, value in received.items())
    name = option.replace("_", "-")
    return ValueError(f"--{name} does not apply to {given}, only to {expected}. Received: {values}")


def best_of_run(source):
    """The `best.keras` of a run's folder; any other source of `from_preset` as it is."""
    best = Path(source) / "best.keras"
    return str(best if best.is_file() else source)


def sizes(changes):
    """Parses `--set` options, ["attention=dot", "num_layers=3", "bidirectional=False"], to constructor arguments."""
    config = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"Expected NAME=VALUE. Received: set={change!r}")
        try:
            config[key] = _WORDS[value.lower()] if value.lower() in _WORDS else json.loads(value)
        except json.JSONDecodeError:  # a plain string
            config[key] = value
    return config


def check_sizes_of(model_class, config):
    """Refuses arguments that a model's constructor does not have, and values of another type than its defaults."""
    defaults = {name: each.default for name, each in inspect.signature(model_class).parameters.items()}
    del defaults["kwargs"]
    for name, value in config.items():
        if name not in defaults and name != "dtype":
            raise unknown_name("size", name, defaults)
        default = defaults.get(name)
        if default is None:
            kind = _OF_NONE.get(name)
        else:  # the arguments without a default are vocabulary sizes
            kind = int if default is inspect.Parameter.empty else type(default)
        if (default is None and value is None) or type(value) is kind or (kind is float and type(value) is int):
            continue
        expected = ([_KINDS[kind]] if kind else []) + (["none"] if default is None else [])
        raise ValueError(f"Expected {' or '.join(expected)} for {name}. Received: {name}={value!r}")


@contextlib.contextmanager
def reading_data():
    """Shows progress while data are read; what tensorflow_datasets prints meanwhile goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr), progress_bar("reading"):
        yield


def write_json(path, content):
    """Writes a JSON file, whole or not at all."""
    with write_aside(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
