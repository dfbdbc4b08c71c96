"""Files and folders that are whole or absent."""

import contextlib
import glob
import os
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def write_aside(path):
    """Gives a temporary path to write to, renamed onto `path` once the block has succeeded.

    If the block raises (a full disk, Ctrl-C), what it wrote is removed and whatever lay at `path` before
    stays. A process that is killed leaves at most a hidden folder beside `path`, see `remove_leftovers`.

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


def remove_leftovers(file):
    """Removes what processes that were killed while they wrote a file left beside it.

    Nobody else may be writing the file. (A folder's leftovers may hold its only copy, so those are nobody's to remove.)

    Args:
        file: str or path-like, that `write_aside` was to write.
    """
    file = pathlib.Path(file)
    for aside in file.parent.glob(f".{glob.escape(file.name)}.*"):
        if aside.is_dir():
            shutil.rmtree(aside, ignore_errors=True)


def refuse_to_replace_others(folder, marker):
    """Refuses to replace a folder that holds something else than what is to be written.

    Args:
        folder: str or path-like, which `write_aside` is going to replace.
        marker: str, the name of a file that what is written there always holds.

    Raises:
        ValueError: if the path is a file, or a folder with files in it but not this one.
    """
    folder = pathlib.Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / marker).is_file()):
        raise ValueError(f"Expected a new or empty folder, or one with {marker} in it. Received: folder={str(folder)!r}")


def _rename_over(source, target, previous):
    if not (target.is_dir() and source.is_dir()):
        os.replace(source, target)  # which refuses to put a file in the place of a folder
        return
    # A folder cannot be renamed onto one that is not empty: the old one steps aside, and back on failure.
    os.rename(target, previous)
    try:
        os.rename(source, target)
    except BaseException:
        os.rename(previous, target)
        raise
