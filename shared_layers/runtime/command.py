"""Shared parts of the commands: one-line errors, progress bars and option checks."""

import contextlib
import os
import re
import sys
import warnings

from shared_layers.runtime.names import unknown_name

_PRECISIONS = ("bfloat16", "float16")


def run_command(name, app):
    """Runs a kit's command and ends the process; bad input gets one line on standard error and exit code 2.

    Bad input is a wrong option, a `ValueError` or an `OSError`, also when raised inside a graph. Only the kit's own warnings
    are shown, one line each. Download progress bars are only shown on terminals.

    Args:
        name: str, name of the command and of the kit's package.
        app: `typer.Typer`.

    Raises:
        SystemExit: always; its code is 0 on success, 2 on bad input, 130 after Ctrl-C.
    """
    import tensorflow as tf
    import typer

    def say(message):
        print(f"{name}:", " ".join(str(message).split()), file=sys.stderr)

    usage_error = typer.BadParameter.__base__  # click's UsageError, which typer does not export
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
        except tf.errors.OpError as error:  # a Python error raised in a graph: drop its traceback
            raised = re.findall(r"^(?:Value|OS|FileNotFound)Error: (.+)", error.message, re.M)
            say(raised[-1] if raised else error.message)
    sys.exit(2)


@contextlib.contextmanager
def progress_bar(title):
    """Context manager that shows a progress bar on standard error, if that is a terminal.

    Args:
        title: str, such as "evaluating".

    Yields:
        A function (done, total) that updates the bar; until its first call the bar is indeterminate.
    """
    from rich import console, progress

    terminal = console.Console(stderr=True)
    columns = progress.TextColumn("{task.description}"), progress.BarColumn(), progress.TimeRemainingColumn()
    with progress.Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def mixed_policy(precision):
    """Returns the dtype policy for the option `--mixed-precision`.

    Args:
        precision: "bfloat16", "float16" or `None`.

    Returns:
        str, dtype policy for a model's constructor, such as "mixed_bfloat16"; or `None`.

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
    """Checks, before any work is done, that no parent of an output path is a file.

    Args:
        path: `pathlib.Path`, the output path; or `None`, which is accepted.

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
