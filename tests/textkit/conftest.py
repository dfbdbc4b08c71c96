"""The command, for the tests of all it does."""

import shlex
import sys

import pytest

from textkit import cli


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """Runs the command in a module's folder; gives its exit code and what it wrote to standard output and standard error."""
    monkeypatch.chdir(folder)

    def run(line):
        monkeypatch.setattr(sys, "argv", ["textkit", *shlex.split(line)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run
