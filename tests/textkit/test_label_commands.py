"""`textkit train` and `textkit evaluate` for classify, pair, tag and qa, on files; bad input gets one line."""

import json
import re

import pytest

from tests.textkit import labels
from textkit import SpanClassifier, TextClassifier, TextEncoder, TokenClassifier

QUICK = "--epochs 1 --batch-size 16 --learning-rate 1e-2"
ROWS = {
    "a file that is not there": (
        f"train classify no.tsv --model encoder --out x {QUICK}",
        r"Expected a file of lines with a text and a label\. Received: path='no\.tsv'",
    ),
    "a model that is not there": (
        f"train tag names.conll --model no/such --out x {QUICK}",
        r"file or folder that exists.*'no/such'",
    ),
    "a head of other classes": (
        f"train classify reviews.tsv --model three --out x {QUICK}",
        r"Expected data with the model's 3 classes, or --new-head\. Received: data='reviews\.tsv' with 2 classes",
    ),
    "an option of another task": (
        f"train qa asked.json --model encoder --problem multi --out x {QUICK}",
        r"--problem does not apply to qa, only to classify, pair\. Received: task='qa', data='asked\.json'",
    ),
    "a pooling of words": (
        f"train tag names.conll --model encoder --pooling mean --out x {QUICK}",
        r"--pooling does not apply to a TokenClassifier, only to a TextClassifier\. Received: data='names\.conll'",
    ),
    "an option of files": (
        f"train classify tfds:glue/sst2 --test x.tsv --model encoder --out x {QUICK}",
        r"--test does not apply to tfds:NAME, only to files\. Received: data='tfds:glue/sst2'",
    ),
    "weights that are none": (
        f"train classify reviews.tsv --model encoder --class-weights good:2 --out x {QUICK}",
        r"Expected balanced or NAME=NUMBER,\.\.\. Received: class_weights='good:2'",
    ),
    "a weight below 0": (
        f"train classify reviews.tsv --model encoder --class-weights good=-2 --out x {QUICK}",
        r"Expected finite weights of classes, at least 0\. Received: -2\.0 of 'good'",
    ),
    "a weight that is no number": (
        f"train classify reviews.tsv --model encoder --class-weights good=nan --out x {QUICK}",
        r"Expected finite weights of classes, at least 0\. Received: nan of 'good'",
    ),
    "a head of another task": (
        f"train tag names.conll --model three --out x {QUICK}",
        r"Expected a TokenClassifier, or --new-head\. Received: model='three', a TextClassifier",
    ),
    "a file of corrupt lines alone": (
        f"train classify corrupt.tsv --model encoder --out x {QUICK}",
        r"Expected lines .*Received: 2 of 2 lines in corrupt\.tsv are not .*: line 1 ",
    ),
    "weights of other classes": (
        f"train classify reviews.tsv --model encoder --class-weights goood=2 --out x {QUICK}",
        r"Unknown class; did you mean 'good'",
    ),
    "a model of another task": (
        "evaluate tag names.conll --model three",
        r"Expected ClassifiedTexts for a TextClassifier\. Received: TaggedTexts 'names\.conll'",
    ),
    "labels that a model does not know": ("evaluate classify reviews.tsv --model three", r"Unknown label; .*label='bad'"),
    "a model without a head": (
        "evaluate classify reviews.tsv --model encoder",
        r"Expected a model with a head: TextClassifier, .*Received: model of TextEncoder",
    ),
    "an unknown split": ("evaluate classify reviews.tsv --model three --split tset", r"Unknown split; did you mean 'test'"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    data = labels.reviews(100)
    rows = [*data.train, *data.validation, *data.test]
    lines = [f"{texts[0]}\t{data.class_names[label]}" for texts, label in rows]
    (folder / "reviews.tsv").write_text("\n".join(lines))
    lines = [json.dumps({"first": "the film", "then": texts[0], "score": 2.0 * label}) for texts, label in rows]
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    tags = labels.tagged(100)
    sentences = [zip(words, (tags.class_names[tag] for tag in each), strict=True) for words, each in tags.train]
    text = "\n\n".join("\n".join(" ".join(pair) for pair in sentence) for sentence in sentences)
    (folder / "names.conll").write_text(text)
    paragraphs = [
        {
            "context": asked.context,
            "qas": [
                {
                    "id": asked.id,
                    "question": asked.question,
                    "is_impossible": not asked.answers,
                    "answers": [{"text": answer.text, "answer_start": answer.begin} for answer in asked.answers],
                }
            ],
        }
        for asked in labels.asked(100).train
    ]
    (folder / "corrupt.tsv").write_bytes(b"no label\n\xff\xff\tgood\n")
    (folder / "asked.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    TextEncoder(**{**labels.SIZES, "num_layers": 1}).save_to_preset(folder / "encoder")
    names = ["so", "so so", "not so"]
    labels.make_model("classify", num_classes=3, class_names=names).save_to_preset(folder / "three")
    return folder


@pytest.mark.parametrize(
    ("task", "data", "options", "model_class", "metric"),
    [
        ("classify", "reviews.tsv", "--class-weights bad=2 --patience 1 --layer-decay 0.9", TextClassifier, "accuracy"),
        (
            "pair",
            "pairs.jsonl",
            "--columns first,then,score --problem regression --mixed-precision bfloat16",
            TextClassifier,
            "pearson",
        ),
        ("tag", "names.conll", "--class-weights balanced --freeze 1", TokenClassifier, "f1"),
        ("qa", "asked.json", "--max-length 16 --stride 4", SpanClassifier, "exact_match"),
    ],
)
def test_a_task_from_its_file_to_its_report(folder, command, task, data, options, model_class, metric):
    code, out, error = command(f"train {task} {data} --model encoder {options} {QUICK} --out {task}")
    assert code == 0, error
    assert "textkit: The new head of" in error or model_class is not SpanClassifier
    told = json.loads(out)
    report = json.loads((folder / task / "report.json").read_text())
    assert report["test"].pop("errors")
    assert report == told
    assert metric in told["test"]
    assert metric in told["test"]["baseline"]
    read = " ".join(re.findall(r"--(?:columns|max-length|stride) \S+", options))
    code, out, error = command(f"evaluate {task} {data} --model {task} {read} --errors 1 --out {task}.json")
    assert code == 0, error
    again = json.loads(out)
    assert again == json.loads((folder / f"{task}.json").read_text())
    assert len(again.pop("errors")) == 1
    assert again == told["test"]
    assert isinstance(model_class.from_preset(folder / task / "best.keras"), model_class)


def test_a_new_head_is_made_where_it_is_asked_for(folder, command):
    code, out, error = command(f"train classify reviews.tsv --model three --new-head --pooling mean {QUICK} --out new")
    assert code == 0, error
    assert json.loads(out)["test"]["confusion"]["classes"] == ["bad", "good"]
    assert TextClassifier.from_preset(folder / "new" / "best.keras").pooling == "mean"


@pytest.mark.parametrize(("line", "message"), ROWS.values(), ids=ROWS)
def test_bad_input_is_one_line_and_exit_code_2(folder, command, line, message):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    code, out, error = command(line)
    said = [each for each in error.splitlines() if "The new head of" not in each]
    assert len(said) == 1, error
    assert said[0].startswith("textkit: ")
    assert re.search(message, said[0])
    assert (code, out) == (2, "")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("task", ["classify", "pair", "tag", "qa", "translate"])
@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_help_shows_an_example(command, name, task):
    code, out, _ = command(f"{name} {task} --help")
    assert code == 0
    assert f"textkit {name} " in out.split("Example")[1]
    assert f"  {task} " in command(f"{name} --help")[1].split("Commands:")[1]
