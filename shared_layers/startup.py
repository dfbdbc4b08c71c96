"""What is done before TensorFlow is imported."""

import contextlib
import os
import pathlib
import sys

_COMMANDS = ("vitkit", "textkit")


@contextlib.contextmanager
def quiet_command():
    """Keeps TensorFlow's log out of the terminal of the commands `vitkit` and `textkit`; import TensorFlow inside.

    In any other process nothing changes, nor where `TF_CPP_MIN_LOG_LEVEL` asks for the log. That variable alone does not
    do: TensorFlow 2.21 writes lines of level 0 as its libraries are loaded, before it is read.
    """
    is_command = any(pathlib.Path(program).stem in _COMMANDS for program in sys.argv[:1])
    if not is_command or int(os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")) < 2:
        yield
        return
    standard_error = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
