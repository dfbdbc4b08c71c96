"""Texts and translators that are not as they should be: one line, exit code 2, and nothing half-written.

`test_cli.py` has the rows of a run that has been trained.
"""

import json
import re
import shutil

import pytest

from tests.textkit.test_translator import make_translator

FILES = ("model.keras", "vocabularies.json")
TRANSLATE = "translate bad --model"
ROWS = {
    "no text": ("translate bad '' --model whole", r"text in every string\. Received: strings\[1\]=''"),
    "a text that is no UTF-8": (
        "translate b\udcffd --model whole",
        r"UTF-8 in every string\. Received: strings\[0\]='b\\udcffd'",
    ),
    "a text beyond the positions, refused": (
        "translate bad abcdefgab --too-long refuse --model whole",
        r"model's positions\. Received: 1 of 2 texts are longer than 7 tokens, up to 9",
    ),
    "an answer beyond the positions": (f"{TRANSLATE} whole --max-length 9", r"at most max_target_length=8\. Received: .*=9"),
    "no answers": (f"{TRANSLATE} whole --num-best 0", r"'--num-best'.* 1"),
    "more answers than the beam follows": (
        f"{TRANSLATE} whole --num-best 5",
        r"from 1 to beam_width\. Received: num_best=5",
    ),
    "several answers without a beam": (f"{TRANSLATE} whole --num-best 2 --method greedy", r"num_best needs method='beam'"),
    "no translator": (f"{TRANSLATE} nowhere", r"a folder with .*Received: folder='nowhere'"),
    "a translator without a model": (f"{TRANSLATE} no_model", r"a folder with .*Received: folder='no_model'"),
    "a translator without vocabularies": (f"{TRANSLATE} no_vocabularies", r"a folder with.*'no_vocabularies'"),
    "an empty model": (f"{TRANSLATE} empty_model", r"a whole model .*'empty_model/model\.keras'"),
    "half a model": (f"{TRANSLATE} half_model", r"a whole model .*'half_model/model\.keras'"),
    "empty vocabularies": (
        f"{TRANSLATE} empty_vocabularies",
        r"valid vocabularies .*'empty_vocabularies/vocabularies\.json'",
    ),
    "half the vocabularies": (f"{TRANSLATE} half_vocabularies", r"valid vocabularies .*'half_vocabularies/"),
    "a vocabulary of another model": (f"{TRANSLATE} other", r"a source vocabulary of the model's 17 ids\. Received: 16 ids"),
    "a most length that is none": (
        f"{TRANSLATE} endless",
        r"`max_length` should be a positive int\. .*max_length='endless'",
    ),
    "an export of nothing": ("export --model nowhere --out new", r"Unknown preset; .*preset='nowhere'"),
    "an export with an unknown method": ("export --model whole --out new --method bean", r"did you mean 'beam'"),
    "an export over something else": ("export --model whole --out no_model", r"a new or empty folder"),
    "an export below a file": ("export --model whole --out whole/model.keras/new", r"'model\.keras' is a file"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    make_translator("pre_norm").save(folder / "whole")  # it has positions for seven tokens
    for name in ("other", "endless"):
        shutil.copytree(folder / "whole", folder / name)
    for file in FILES:
        short = file.partition(".")[0]
        for kind in ("no", "empty", "half"):
            made = shutil.copytree(folder / "whole", folder / f"{kind}_{short}") / file
            content = made.read_bytes()
            made.write_bytes(content[: len(content) // 2] if kind == "half" else b"")
        (folder / f"no_{short}" / file).unlink()
    for name, change in {
        "other": lambda texts: texts["source"]["symbols"].pop(),
        "endless": lambda texts: texts.update(max_length="endless"),
    }.items():
        texts = json.loads((folder / name / "vocabularies.json").read_text())
        change(texts)
        (folder / name / "vocabularies.json").write_text(json.dumps(texts))
    return folder


@pytest.mark.parametrize(("line", "message"), ROWS.values(), ids=ROWS)
def test_is_one_line_and_exit_code_2(folder, command, line, message):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, out, error = command(line)
    assert error.startswith("textkit: ")
    assert error.count("\n") == 1, error
    assert re.search(message, error)
    assert (code, out) == (2, "")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_text_beyond_the_positions_is_cut_with_a_warning(command):
    code, out, error = command("translate abcdefgab abcdefg --model whole")
    assert (code, error) == (0, "textkit: Truncated: 1 of 2 texts are longer than 7 tokens, up to 9\n")
    cut, whole = out.splitlines()
    assert cut == whole


def test_several_answers_with_their_scores(command):
    code, out, error = command("translate bad cab --num-best 3 --model whole")
    assert (code, error) == (0, "")
    blocks = [re.findall(r"(.*)\t(-\d+\.\d{4})\n", block + "\n") for block in out.removesuffix("\n").split("\n\n")]
    best = command("translate bad cab --model whole")[1].splitlines()
    assert [block[0][0] for block in blocks] == best
    assert [len(block) for block in blocks] == [3, 3]


def test_exports(folder, command):
    code, out, error = command("export --model whole --out saved_model --method greedy --max-length 3")
    assert (code, out, error) == (0, "", "")
    assert (folder / "saved_model" / "saved_model.pb").is_file()
