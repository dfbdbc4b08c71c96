"""Atomic writing of files and folders."""

import contextlib
import glob
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def write_aside(path):
    """Context manager for atomic writes: yields a temporary path, which is renamed to `path` if the block succeeds.

    If the block raises (full disk, Ctrl-C), what it wrote is removed and `path` stays as it was. A killed process
    leaves at most a hidden folder next to `path`, see `remove_leftovers`.

    Args:
        path: str or path-like, the file or folder to write. Missing parent folders are created.

    Yields:
        A `pathlib.Path` with the same name (and suffix) in a hidden folder next to `path`. It does not exist yet:
        write a file or create a folder there.

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


def remove_leftovers(file):
    """Removes the temporary folders that killed processes left next to a file.

    No other process may be writing the file. Not for folders: their leftovers may hold the only copy.

    Args:
        file: str or path-like, the target of `write_aside`.
    """
    file = pathlib.Path(file)
    for aside in file.parent.glob(f".{glob.escape(file.name)}.*"):
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)


def refuse_to_replace_others(folder, marker):
    """Raises if a folder that is about to be replaced has other content than what was written there before.

    Args:
        folder: str or path-like, the target of `write_aside`.
        marker: str, the name of a file that every valid content includes.

    Raises:
        ValueError: the path is a file, or a folder that is not empty and lacks the marker.
    """
    folder = pathlib.Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file()):
        raise ValueError(f"Expected a new or empty folder, or one with {marker} in it. Received: folder={str(folder)!r}")


def _rename_over(source, target, previous):
    if not (target.is_dir() and source.is_dir()):
        os.replace(source, target)  # raises if a file would replace a folder
        return
    # A folder cannot be renamed to a non-empty one: the old folder is moved away, and back on failure.
    os.rename(target, previous)
    try:
        os.rename(source, target)
    except BaseException:
        os.rename(previous, target)
        raise
