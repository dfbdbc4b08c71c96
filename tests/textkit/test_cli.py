"""The command `textkit`: train, evaluate, translate and explain dates; bad input gets one line on standard error."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.textkit.test_explanation import make
from textkit import CausalLM, RecurrentSeq2Seq, TextClassifier, TextEncoder, TransformerSeq2Seq
from textkit.commands.options import check_sizes_of, sizes
from textkit.text_model import TextModel

COMMANDS = (
    *("demo", "train", "pretrain", "train-tokenizer", "evaluate"),
    *("translate", "explain", "export", "convert", "presets"),
)
SMALL = "--set hidden_dim=24 --set embedding_dim=12 --limit 64 --batch-size 32 --epochs 1"
ROWS = {
    "a data set that is not there": ("train datse --out x", r"Unknown dataset; did you mean 'dates'"),
    "a file that is not there": ("train ./no.tsv --out x", r"a file of lines 'source TAB target'. Received: path='no\.tsv'"),
    "an empty file": ("train empty.tsv --out x", r"none in empty\.tsv"),
    "a line without a TAB, refused": (
        "train pairs.tsv --on-corrupt refuse --out x",
        r"line 3 has no TAB, line 4 is not UTF-8",
    ),
    "an unknown model": ("train dates --model g2p_gru_aditive --out x", r"Unknown model; did you mean 'g2p_gru_additive'"),
    "an unknown size": ("train dates --set hidden=3 --out x", r"Unknown size; did you mean 'hidden_dim'.*size='hidden'"),
    "a size of another model": (
        "train dates --model g2p_transformer --set cell=gru --out x",
        r"Unknown size; .*size='cell'",
    ),
    "a size without a value": ("train dates --set hidden_dim --out x", r"Expected NAME=VALUE. Received: set='hidden_dim'"),
    "a size that is no bool": ("train dates --set bidirectional=no --out x", r"true or false for bidirectional\. .*='no'"),
    "a size that is no number": (
        "train dates --set dropout=high --out x",
        r"a number for dropout\. Received: dropout='high'",
    ),
    "a size that is no integer": (
        "train dates --model g2p_transformer --set alignment_layer=0.5 --out x",
        r"Expected an integer or none for alignment_layer\. Received: alignment_layer=0\.5",
    ),
    "an unknown score": (f"train dates {SMALL} --set attention=aditive --out x", r"did you mean 'additive'"),
    "an unknown selection": (f"train dates {SMALL} --set selection=hard --out x", r"'hard_topk'"),
    "unknown symbols": ("train dates --symbols letters --out x", r"Unknown kind; .*'characters'"),
    "an unknown schedule": (f"train dates {SMALL} --schedule cosin --out x", r"Unknown schedule; did you mean 'cosine'"),
    "an unknown precision": ("train dates --mixed-precision float61 --out x", r"'float16'"),
    "an unknown strategy": ("train dates --strategy miror --out x", r"did you mean 'mirrored'"),
    "sampling of a Transformer": (
        "train dates --model g2p_transformer --scheduled-sampling 0.5 --out x",
        r"'scheduled_sampling'",
    ),
    "files reversed": (
        "train pairs.tsv --reverse --out x",
        r"--reverse does not apply to this data, only to tfds:NAME\. Received: data='pairs\.tsv'",
    ),
    "an average of nothing": (f"train dates {SMALL} --ema-momentum 1 --out x", r"in \[0, 1\).*ema_momentum=1"),
    "weights that grow": (f"train dates {SMALL} --weight-decay=-1 --out x", r"at least 0.*weight_decay=-1"),
    "no epoch": ("train dates --epochs 0 --out x", r"'--epochs'.* 1"),
    "a run below a file": ("train dates --out empty.tsv/x", r"'empty\.tsv' is a file"),
    "no model": ("translate hello --model nothing", r"a folder with vocabularies\.json and .*best\.keras.*'nothing'"),
    "no text": ("translate '' --model run", r"text in every string. Received: strings\[0\]=''"),
    "only spaces": ("translate '  ' --model run", r"text in every string. Received: strings\[0\]=' '"),
    "no beam": ("translate 2026-11-21 --model run --beam-width 0", r"'--beam-width'.* 1"),
    "draws of a beam, exported": ("export --model run --top-p 0.5 --out y", r"top_p needs method='sample'\. .*top_p=0\.5"),
    "an unknown method": ("translate 2026-11-21 --model run --method bean", r"Unknown method; did you mean 'beam'"),
    "a drawing of another kind": ("translate 2026 --model run --attention x.gif", r"ends in \.png.*x\.gif"),
    "a page of another kind": ("explain 2026 --model run --html x.pdf", r"ends in \.html.*x\.pdf"),
    "nothing listed": ("explain 2026 --model run --most 0", r"'--most'.* 1"),
    "demo words without a letter": ("demo cat 123 ' ' --out x", r"Expected words .* Received: words=\['123', ''\]"),
    "a demo word that is no UTF-8": ("demo cat b\udcffd --out x", r"of letters in UTF-8\. Received: words=\['b.udcffd'\]"),
    "a temperature of a beam": (
        "translate 2026-11-21 --model run --temperature 0.5",
        r"temperature needs method='sample'\. Received: temperature=0\.5, method='beam'",
    ),
    "an unknown split": ("evaluate dates --model run --split tset", r"Unknown split; did you mean 'test'"),
    "an unknown command": ("translte x", r"No such command 'translte'"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "empty.tsv").touch()
    (folder / "nothing").mkdir()
    (folder / "pairs.tsv").write_bytes(b"a b\tA B\nb\tB\nc\n\xff\tC\nd\tD\ne\tE\n")
    return folder


@pytest.fixture
def trained(folder, command):
    """The command, where a run has been trained on dates for two steps."""
    if not (folder / "run").exists():
        code, out, error = command(f"train dates {SMALL} --out run")
        assert code == 0, error
        assert json.loads(out)["steps_per_epoch"] == 2
        assert error.startswith("epoch 1/1")
    return command


def test_dates_from_training_to_a_drawing(folder, trained):
    assert {"best.keras", "last.keras", "logs", "vocabularies.json"} == {path.name for path in (folder / "run").iterdir()}
    code, out, error = trained(f"train dates {SMALL.replace('--epochs 1', '--epochs 2')} --out run --resume")
    assert code == 0, error
    assert re.findall(r"epoch \S+", error) == ["epoch 2/2"]

    drawing = "--method sample --temperature 0.5 --top-k 5 --top-p 0.9"
    code, out, error = trained(f"evaluate dates --model run --limit 11 {drawing} --out metrics.json")
    assert code == 0, error
    measured = json.loads(out)
    assert measured == json.loads((folder / "metrics.json").read_text())
    assert measured["num_examples"] == 11
    assert {"exact_match", "aer"} < set(measured)

    drawn = "--attention drawn.png --html drawn.html"
    code, answers, error = trained(f"translate '21 November 2026' '1 May 1999' --model run {drawn}")
    assert code == 0, error
    assert answers.count("\n") == 2
    with Image.open(folder / "drawn.png") as image:
        assert min(image.size) > 100
    assert (folder / "drawn.html").read_text(encoding="utf-8").count("<table") == 2

    code, out, error = trained("explain '21 November 2026' '1 May 1999' --model run --most 2")
    assert code == 0, error
    assert [line.split(" → ")[1] for line in out.splitlines() if " → " in line] == answers.splitlines()
    assert max(map(len, re.findall(r"(?m)^.*\d\.\d\d.*$", out))) < 60
    assert {len(re.findall(r"\b[01]\.\d\d\b", line)) for line in out.splitlines()} == {0, 2}


def test_what_the_vocabulary_lacks_is_said_in_one_line(trained):
    code, out, error = trained("translate '21 ☃ 2026' '1 May 2026' --model run")
    assert (code, out.count("\n")) == (0, 2)
    assert error == "textkit: Unknown symbols in 1 of 2 texts: '21 ☃ 2026'\n"


def test_pairs_of_a_file_with_faults_are_skipped_and_counted(command):
    options = "--model g2p_transformer --set num_layers=1 --set hidden_dim=8 --set intermediate_dim=8 --set dropout=0.0"
    code, out, error = command(
        f"train pairs.tsv {options} --symbols words --epochs 1 --strategy mirrored --mixed-precision bfloat16 --out file"
    )
    assert code == 0, error
    assert (
        "textkit: Skipped: 2 of 6 lines in pairs.tsv are not 'source TAB target': line 3 has no TAB, line 4 is not UTF-8\n"
        in error
    )
    assert json.loads(out)["steps_per_epoch"] == 1


@pytest.mark.parametrize(("line", "message"), ROWS.values(), ids=ROWS)
def test_bad_input_is_one_line_and_exit_code_2(folder, trained, line, message):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, out, error = trained(line)
    assert error.startswith("textkit: ")
    assert error.count("\n") == 1, error
    assert re.search(message, error)
    assert (code, out) == (2, "")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_sizes_are_read_as_what_the_constructor_takes():
    read = sizes(["bidirectional=False", "attention=None", "embedding_dim=none", "dropout=1", "cell=lstm", "hidden_dim=7"])
    assert list(read.values()) == [False, None, None, 1, "lstm", 7]
    check_sizes_of(RecurrentSeq2Seq, read)
    check_sizes_of(TextEncoder, sizes(["attention_dropout=0.5", "tokenizer=none", "dtype=mixed_float16"]))
    for wrong, expected in (("tokenizer=x", "none"), ("dtype=16", "a string or none"), ("num_layers=true", "an integer")):
        with pytest.raises(ValueError, match=f"Expected {expected} for {wrong.partition('=')[0]}. Received: {wrong[:5]}"):
            check_sizes_of(TextEncoder, sizes([wrong]))
    for model_class in (RecurrentSeq2Seq, TransformerSeq2Seq, TextEncoder):
        for preset in model_class.presets.values():
            check_sizes_of(model_class, preset["config"])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(command, name):
    code, out, _ = command(f"{name} --help")
    assert code == 0
    assert f"textkit {name}" in out.split("Example")[1]


def test_help_names_every_command_and_no_other(command):
    listed = [line.split()[0] for line in command("--help")[1].split("Commands:")[1].splitlines() if line.strip()]
    assert sorted(listed) == sorted(COMMANDS)


def test_presets_lists_every_model(command):
    listed = {line.split()[0]: line for line in command("presets")[1].splitlines()}
    models = (RecurrentSeq2Seq, TransformerSeq2Seq, TextEncoder, CausalLM)
    assert list(listed) == [name for model_class in models for name in model_class.presets]
    assert {"g2p_gru", "g2p_gru_additive", "g2p_transformer", "transformer_base"} < set(listed)
    assert listed["minilm_l6"].endswith(", hf://sentence-transformers/all-MiniLM-L6-v2")


def test_convert_keeps_weights_and_vocabulary(command, folder):
    kept = make(TextClassifier, num_classes=2)
    kept.save(folder / "kept.keras")
    assert command("convert kept.keras whole")[0] == command("convert kept.keras bare --encoder")[0] == 0
    whole, bare = TextModel.from_preset(folder / "whole"), TextModel.from_preset(folder / "bare")
    assert (type(whole), type(bare)) == (TextClassifier, TextEncoder)
    inputs = bare.tokenizer.encode(["good film"])
    np.testing.assert_array_equal(whole(inputs), kept(inputs))
    np.testing.assert_array_equal(bare(inputs)["sequence_output"], kept.encoder(inputs)["sequence_output"])
