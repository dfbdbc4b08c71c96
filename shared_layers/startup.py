"""Setup that must run before TensorFlow is imported."""

import contextlib
import os
import pathlib
import sys

_COMMANDS = ("vitkit", "textkit")


@contextlib.contextmanager
def quiet_command():
    """Silences TensorFlow's log in the commands `vitkit` and `textkit`; import TensorFlow in this context.

    Nothing changes in any other process, or if `TF_CPP_MIN_LOG_LEVEL` enables the log. Setting that variable is not
    enough: TensorFlow 2.21 logs lines of level 0 while its libraries are loaded, before it reads the variable.
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
