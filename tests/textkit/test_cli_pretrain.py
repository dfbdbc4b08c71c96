"""`textkit pretrain`, and `textkit export` of the pretrained encoder; bad input gets one line on standard error."""

import functools
import json
import re

import pytest
import tensorflow_datasets as tfds

from tests.textkit.test_pretraining import TOKENIZER, texts
from textkit import MaskedLanguageModel
from textkit.datasets import documents

SMALL = "--set num_layers=1 --set num_heads=2 --set hidden_dim=8 --set intermediate_dim=8 --max-length 12 --epochs 1"
ROWS = {
    "a file that is not there": ("pretrain no.txt --tokenizer tokenizer --out x", r"Expected a file .*path='no\.txt'"),
    "an empty file": ("pretrain empty.txt --tokenizer tokenizer --out x", r"none in empty\.txt"),
    "an unknown model": (f"pretrain text.txt {SMALL} --model bert_minni --tokenizer tokenizer --out x", r"bert_mini"),
    "an unknown size": ("pretrain text.txt --set layers=3 --tokenizer tokenizer --out x", r"Unknown size; .*'num_layers'"),
    "a size without a value": ("pretrain text.txt --set layers --tokenizer tokenizer --out x", r"Expected NAME=VALUE"),
    "no tokenizer": (f"pretrain text.txt {SMALL} --out x", r"whose tokenizer has a mask.*Received: no tokenizer"),
    "a set and a file": (
        "pretrain tfds:imdb_reviews text.txt --tokenizer tokenizer --out x",
        r"Expected one tfds:NAME, or files\. Received: files=\['tfds:imdb_reviews', 'text\.txt'\]",
    ),
    "an option of files": (
        "pretrain tfds:imdb_reviews --on-corrupt refuse --tokenizer tokenizer --out x",
        r"--on-corrupt does not apply to tfds:NAME, only to files\. Received: files=\['tfds:imdb_reviews'\]",
    ),
    "an option of sets": (
        "pretrain text.txt --column text --tokenizer tokenizer --out x",
        r"--column does not apply to files, only to tfds:NAME\. Received: files=\['text\.txt'\]",
    ),
    "no time": (f"pretrain text.txt {SMALL} --minutes 0 --tokenizer tokenizer --out x", r"above 0, or None.*minutes=0"),
    "all masked": (
        f"pretrain text.txt {SMALL} --mask-selection-rate 1 --tokenizer tokenizer --out x",
        r"in \(0, 1\).*mask_selection_rate=1",
    ),
    "a beam of an encoder": (
        "export --model run --beam-width 3 --out y",
        r"--beam-width does not apply to encoders, only to translators\. .*'run'",
    ),
    "an unknown method": ("export --model run --method rolout --out y", r"Unknown method; did you mean 'rollout'"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    (folder / "empty.txt").touch()
    made = texts(80)
    every = [*made.train, *made.validation, *made.test]
    (folder / "text.txt").write_text("\n\n".join("\n".join(lines) for lines in every))
    TOKENIZER.save(folder / "tokenizer")
    return folder


class TinyPairs(tfds.core.GeneratorBasedBuilder):
    """A set of two texts."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"title": tfds.features.Text(), "text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, description="For tests.", features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, lines in enumerate(texts(80).train):
            yield number, {"title": f"{number}", "text": "\n".join(lines)}


def test_text_to_an_encoder_that_is_served(command, folder, monkeypatch):
    code, said, wrong = command(f"pretrain text.txt {SMALL} --batch-tokens 120 --tokenizer tokenizer --out run")
    assert code == 0, wrong
    report = json.loads(said)
    assert report == json.loads((folder / "run" / "report.json").read_text())
    assert report["test"]["baseline_token"] in ("sun", "moon")
    assert 0 <= report["test"]["accuracy"] <= 1
    assert report["test"]["split"] == "test"
    model = MaskedLanguageModel.from_preset(folder / "run" / "best.keras")
    assert model.tokenizer.size == TOKENIZER.size
    assert model.encoder.config["num_layers"] == 1

    read = functools.partial(documents.tensorflow_documents, data_dir=str(folder))
    monkeypatch.setattr(documents, "tensorflow_documents", read)
    code, said, wrong = command("pretrain tfds:tiny_pairs --model run --out further")
    assert (code, said) == (2, "")
    assert re.search(r"Expected column= of text\. Received: column=None, name='tiny_pairs' of title Text, text Text", wrong)
    options = "--column text --limit 30 --max-length 12 --epochs 1 --batch-tokens 120"
    code, said, wrong = command(f"pretrain tfds:tiny_pairs {options} --model run --out further")
    assert code == 0, wrong
    code, said, wrong = command("export --model further --out served")
    assert code == 0, wrong
    assert (folder / "served" / "saved_model.pb").is_file()


@pytest.mark.parametrize(("line", "message"), ROWS.values(), ids=ROWS)
def test_bad_input_gets_one_line(command, folder, line, message):
    if "--model run" in line and not (folder / "run").exists():
        keras_model = MaskedLanguageModel(
            vocabulary_size=TOKENIZER.size, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8, tokenizer=TOKENIZER
        )
        keras_model.save_to_preset(folder / "run")
    code, said, wrong = command(line)
    assert code == 2
    assert said == ""
    assert len(wrong.strip().splitlines()) == 1
    assert re.search(message, wrong), wrong
    assert not (folder / "x").exists()
    assert not (folder / "y").exists()
