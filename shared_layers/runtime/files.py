"""Files and folders that are whole or absent."""

import contextlib
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def write_aside(path):
    """Gives a temporary path to write to, renamed onto `path` once the block has succeeded.

    If the block raises (a full disk, Ctrl-C), what it wrote is removed and whatever lay at `path` before
    stays. A process that is killed leaves at most a hidden folder beside `path`.

    Args:
        path: str or path-like, the file or folder to write. Missing parent folders are made.

    Yields:
        A `pathlib.Path` with the same name (so the same suffix) in a hidden folder beside `path`. Nothing is
        there yet: write a file there, or make it a folder.

    Example:
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> with write_aside(folder / "metrics.json") as temporary:
        ...     _ = temporary.write_text("{}")
        >>> [file.name for file in folder.iterdir()]
        ['metrics.json']
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary = aside / path.name
        yield temporary
        _rename_over(temporary, path, aside / "previous")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _rename_over(source, target, previous):
    if not target.is_dir():
        os.replace(source, target)
        return
    # A folder cannot be renamed onto one that is not empty: the old one steps aside, and back on failure.
    os.rename(target, previous)
    try:
        os.rename(source, target)
    except BaseException:
        os.rename(previous, target)
        raise
