"""What the commands of both kits share: one line for what is wrong, and a bar for what takes long."""

import contextlib
import os
import re
import sys
import warnings

from shared_layers.runtime.names import unknown_name

_PRECISIONS = ("bfloat16", "float16")


def run_command(name, app):
    """Runs a kit's command and ends the process; bad input gets one line on standard error and exit code 2.

    Bad input is a wrong option, a `ValueError` or an `OSError`, also when raised inside a graph. Of warnings only the kit's
    own are shown, a line each; the others are for who writes code. The bars of downloads are left to terminals.

    Args:
        name: str, of the command and of the kit's package.
        app: `typer.Typer`.

    Raises:
        SystemExit: always; its code is 0 after success, 130 after Ctrl-C.
    """
    import tensorflow as tf
    import typer

    def say(message):
        print(f"{name}:", " ".join(str(message).split()), file=sys.stderr)

    usage_error = typer.BadParameter.__base__  # click's, which typer keeps to itself
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", module=rf"{name}\b")
        warnings.showwarning = lambda message, *_: say(message)
        try:
            sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
        except usage_error as error:
            say(error.format_message())
        except (ValueError, OSError) as error:
            say(error)
        except tf.errors.OpError as error:  # what Python raised in a graph comes with pages of where
            raised = re.findall(r"^(?:Value|OS|FileNotFound)Error: (.+)", error.message, re.M)
            say(raised[-1] if raised else error.message)
    sys.exit(2)


@contextlib.contextmanager
def progress_bar(title):
    """Shows a bar on standard error while something takes long; where that is no terminal, nothing.

    Args:
        title: str, such as "evaluating".

    Yields:
        A callable (done, total) that moves the bar; until it is called, the bar only shows that something goes on.
    """
    from rich import console, progress

    terminal = console.Console(stderr=True)
    columns = progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TimeRemainingColumn()
    with progress.Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def mixed_policy(precision):
    """The dtype policy that an option `--mixed-precision` asks for.

    Args:
        precision: "bfloat16", "float16" or `None`.

    Returns:
        str for the constructor of a model, such as "mixed_bfloat16"; or `None`.

    Raises:
        ValueError: another precision.

    Example:
        >>> mixed_policy("bfloat16")
        'mixed_bfloat16'
    """
    if precision is None:
        return None
    if precision not in _PRECISIONS:
        raise unknown_name("mixed_precision", precision, _PRECISIONS)
    return f"mixed_{precision}"


def writable(path):
    """Refuses, before any work is done, a path below something that is no folder.

    Args:
        path: `pathlib.Path`, where something is going to be written; or `None`.

    Returns:
        The path.

    Raises:
        NotADirectoryError: a parent of the path is a file.
    """
    if path is not None:
        above = next(parent for parent in path.absolute().parents if parent.exists())
        if not above.is_dir():
            raise NotADirectoryError(f"Expected a path in a folder. Received: {str(path)!r}, and {above.name!r} is a file")
    return path
