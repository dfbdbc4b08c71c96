"""What the command writes to the terminal of a process of its own: the answer, and nothing that TensorFlow says."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
# What the script that pip installs does; its name is how the packages know that it is the command.
SCRIPT = "import sys; sys.argv[0] = '/usr/bin/textkit'; from textkit.cli import main; main()"


def test_nothing_but_the_answer_is_written():
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run([sys.executable, "-c", SCRIPT, "presets"], cwd=ROOT, env=inherited, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "gru_additive" in done.stdout
