"""Options that several commands have, and groups of commands with one that need not be named."""

import contextlib
import inspect
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from shared_layers.runtime import progress_bar, unknown_name, writable, write_aside

Run = Annotated[Path, typer.Option("--out", help="Folder of the run.", file_okay=False, callback=writable)]
JsonFile = Annotated[Path | None, typer.Option("--out", help="JSON file to write.", dir_okay=False, callback=writable)]
Split = Annotated[str, typer.Option(help="train, validation or test.")]
Strategy = Annotated[str, typer.Option(help="none, mirrored, multi_worker or tpu.")]
Seed = Annotated[int, typer.Option(help="Of all that is random.", min=0, max=2**32 - 1)]


_WORDS = {"true": True, "false": False, "none": None}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
# What sizes are that may be none, which their default does not tell; one that is not here may only be none.
_OF_NONE = {
    "alignment_layer": int,
    "attention": str,
    "attention_dim": int,
    "attention_dropout": float,
    "dtype": str,
    "embedding_dim": int,
}


def group(default, text):
    """Makes a group of commands, of which one is meant where none is named.

    Args:
        default: str, its name: `textkit train dates` is `textkit train translate dates`.
        text: str, the group's help.

    Returns:
        `typer.Typer`.
    """

    class WithDefault(TyperGroup):
        def parse_args(self, ctx, args):
            named = args and (args[0] in self.commands or args[0] == "--help")
            return super().parse_args(ctx, args if named else [default, *args])

    return typer.Typer(cls=WithDefault, help=text, add_completion=False, rich_markup_mode=None)


def saved_model(model):
    """What `from_preset` reads of a folder of a run, a folder of a model, or another source."""
    best = Path(model) / "best.keras"
    return str(best if best.is_file() else model)


def sizes(changes):
    """Constructor arguments that were written as ["attention=dot", "num_layers=3", "bidirectional=False"]."""
    config = {}
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"Expected NAME=VALUE. Received: set={change!r}")
        try:
            config[key] = _WORDS[value.lower()] if value.lower() in _WORDS else json.loads(value)
        except json.JSONDecodeError:  # a word
            config[key] = value
    return config


def check_sizes_of(model_class, config):
    """Refuses what a model's constructor does not take, by its name or as what it is."""
    defaults = {name: each.default for name, each in inspect.signature(model_class).parameters.items()}
    del defaults["kwargs"]
    for name, value in config.items():
        if name not in defaults and name != "dtype":
            raise unknown_name("size", name, defaults)
        default = defaults.get(name)
        if default is None:
            kind = _OF_NONE.get(name)
        else:  # what has no default is the size of a vocabulary
            kind = int if default is inspect.Parameter.empty else type(default)
        if (default is None and value is None) or type(value) is kind or (kind is float and type(value) is int):
            continue
        expected = ([_KINDS[kind]] if kind else []) + (["none"] if default is None else [])
        raise ValueError(f"Expected {' or '.join(expected)} for {name}. Received: {name}={value!r}")


@contextlib.contextmanager
def reading_data():
    """Shows that data are being read; what tensorflow_datasets prints as it prepares them is no result, but an aside."""
    with contextlib.redirect_stdout(sys.stderr), progress_bar("reading"):
        yield


def write_json(path, content):
    """Writes a file of JSON, whole or not at all."""
    with write_aside(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
