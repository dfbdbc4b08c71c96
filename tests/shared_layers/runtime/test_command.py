import pathlib
import sys
import warnings

import pytest
import tensorflow as tf
import typer

from shared_layers.runtime import progress_bar, run_command


def misread(_):
    raise ValueError("Expected a valid\n  picture. Received: source=x.jpg")


def fail_in_a_graph():
    list(tf.data.Dataset.range(1).map(lambda number: tf.numpy_function(misread, [number], tf.int64)))


def interrupt():
    raise KeyboardInterrupt


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a function as the command `kit`; gives the exit code, standard output and standard error."""

    def run(function, *arguments):
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command()(function)
        monkeypatch.setattr(sys, "argv", ["kit", *arguments])
        with pytest.raises(SystemExit) as ended:
            run_command("kit", app)
        return ended.value.code or 0, *capsys.readouterr()

    return run


def test_success(run):
    assert run(lambda: typer.echo("done"), "--") == (0, "done\n", "")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: misread(0), "Expected a valid picture. Received: source=x.jpg"),
        (pathlib.Path("no.jpg").read_text, "[Errno 2] No such file or directory: 'no.jpg'"),
        (fail_in_a_graph, "Expected a valid"),
    ],
)
def test_bad_input_is_one_line(run, function, message):
    assert run(function, "--") == (2, "", f"kit: {message}\n")


def test_a_wrong_option_is_one_line(run):
    code, out, error = run(lambda: None, "--fats")
    assert (code, out) == (2, "")
    assert error.startswith("kit: No such option: --fats")
    assert error.count("\n") == 1


def test_no_argument_gets_help(run):
    code, out, error = run(lambda: None)
    assert (code, error) == (0, "")
    assert "--help" in out


def test_ctrl_c_ends_without_a_traceback(run):
    assert run(interrupt, "--") == (130, "", "")


def test_other_errors_are_not_hidden(run):
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 / 0, "--")


def test_only_the_kits_own_warnings_are_shown(run):
    def warn():
        warnings.warn_explicit("Skipped: 1\nof 8", UserWarning, "folder.py", 1, module="kit.datasets")
        warnings.warn_explicit("of no use", UserWarning, "layer.py", 1, module="keras.layers")
        warnings.warn_explicit("of no use", UserWarning, "kitchen.py", 1, module="kitchen")

    assert run(warn, "--") == (0, "", "kit: Skipped: 1 of 8\n")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_shown_on_a_terminal_alone(monkeypatch, capsys, terminal):
    monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")  # how rich is told
    with progress_bar("counting") as progress:
        for done in range(3):
            progress(done + 1, 3)
    assert ("counting" in capsys.readouterr().err) == terminal
