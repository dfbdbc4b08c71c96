import pathlib
import signal
import subprocess
import sys

import pytest

from shared_layers.runtime import files, write_aside


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "new folder" / "scores.json"
    for text in ("one", "two"):
        with write_aside(path) as temporary:
            assert temporary.name == path.name
            temporary.write_text(text)
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_keeps_the_previous_file(tmp_path, error):
    path = tmp_path / "scores.json"
    path.write_text("previous")

    def write_half():
        with write_aside(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "previous"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "preset"
    for name in ("old", "new"):
        with write_aside(path) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
        assert [file.name for file in path.iterdir()] == [name]
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_does_not_replace_a_folder(tmp_path):
    path = tmp_path / "runs"
    path.mkdir()
    (path / "precious").touch()
    with pytest.raises(IsADirectoryError, match="runs"), write_aside(path) as temporary:
        temporary.write_text("scores")
    assert [file.name for file in path.iterdir()] == ["precious"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_rename_keeps_the_previous_folder(tmp_path):
    path = tmp_path / "preset"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(FileNotFoundError), write_aside(path):
        pass  # Nothing was written, so there is nothing to rename.
    assert [file.name for file in path.iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_keeps_the_previous_file(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("previous")
    # The file alone, without the package, whose import takes seconds.
    program = f"""
import os, runpy, signal
write_aside = runpy.run_path({files.__file__!r})["write_aside"]
with write_aside({str(path)!r}) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert path.read_text() == "previous"
    assert len(list(tmp_path.iterdir())) == 2
    others = tmp_path / ".model.keras.swp", tmp_path / "model.keras.old"
    for other in others:
        other.touch()
    files.remove_leftovers(path)
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])


def test_refuses_to_replace_what_is_not_its_own(tmp_path):
    for allowed in (tmp_path / "absent", tmp_path):
        files.refuse_to_replace_others(allowed, marker="config.json")
    (tmp_path / "notes.txt").touch()
    for refused in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ValueError, match=r"new or empty folder, or one with config.json in it. Received: fold"):
            files.refuse_to_replace_others(pathlib.Path(refused), marker="config.json")
    (tmp_path / "config.json").touch()
    files.refuse_to_replace_others(tmp_path, marker="config.json")
