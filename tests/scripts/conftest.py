"""Recipes, run as from the command line."""

import importlib
import sys
import warnings

import pytest


@pytest.fixture
def recipe(monkeypatch, capsys):
    """Runs a recipe with arguments, and gives what it wrote to standard output."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of data so small there are some
            importlib.import_module(f"scripts.{name}").main()
        return capsys.readouterr().out

    return run
