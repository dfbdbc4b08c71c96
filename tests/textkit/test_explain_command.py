"""`textkit explain` of encoders: what it prints and draws; bad input gets one line on standard error."""

import re

import numpy as np
import pytest
from PIL import Image

import textkit
from tests.textkit.encoders import TINY
from tests.textkit.test_explanation import make

TEXT = "'the film was boring'"
ROWS = {
    "an encoder's option for a translator": (
        f"explain {TEXT} --model translator --word film",
        r"--word does not apply to translators, only to encoders\. Received: model='translator'",
    ),
    "a translator's option for an encoder": (
        f"explain {TEXT} --model encoder --reading shifted",
        r"--reading does not apply to encoders, only to translators\. Received: model='encoder'",
    ),
    "no model": (f"explain {TEXT} --model nowhere/at/all", r"a file or folder that exists\. .*'nowhere/at/all'"),
    "a folder without a model": (f"explain {TEXT} --model empty", r"config\.json"),
    "a model that reads ids": (f"explain {TEXT} --model no_tokenizer", r"a model that was made with a tokenizer"),
    "no text": ("explain '' --model encoder", r"a text with a word in it\. Received: text=''"),
    "an unknown word": (f"explain {TEXT} --model encoder --word plot", r"a word of the text\. Received: word='plot'"),
    "a word that stands twice": (
        "explain 'good, good' --model encoder --word good",
        r"one of the words 0, 2, by its number",
    ),
    "an unknown method": (f"explain {TEXT} --model run --method lerad", r"Unknown method; did you mean 'legrad'"),
    "an answer of an encoder": (f"explain {TEXT} --model encoder --method legrad", r"Expected a model with a head"),
    "an unknown class": (f"explain {TEXT} --model run --target god", r"Unknown target; did you mean 'good'"),
    "a layer that is not there": (
        f"explain {TEXT} --model encoder --layer 2",
        r"layer must be in \[-2, 2\)\. Received: layer=2",
    ),
    "a picture of two texts": (
        "explain film good --model encoder --attention x.png",
        r"Expected one text for --attention\. Received: 2 texts",
    ),
    "a text that is no UTF-8": ("explain b\udcffd --model encoder", r"Received: .*udcff"),
    "a text beyond the positions": (
        f"explain '{'good ' * 20}' --model encoder",
        r"Expected a text of at most 13 tokens\. Received: 22 tokens\n$",
    ),
    "a layer of what is not shown": (
        f"explain {TEXT} --model run --layer 1",
        r"Expected --word, --attention or --method raw for --layer and --head",
    ),
}


def make_classifier():
    return make(textkit.TextClassifier, num_classes=3, class_names=["bad", "good", "odd"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    make(textkit.TextEncoder).save_to_preset(folder / "encoder")
    (folder / "run").mkdir()
    make_classifier().save(folder / "run" / "best.keras")
    textkit.TextEncoder(**TINY).save_to_preset(folder / "no_tokenizer")
    (folder / "translator").mkdir()
    (folder / "translator" / "vocabularies.json").touch()
    (folder / "empty").mkdir()
    return folder


def test_a_word_of_an_encoder(folder, command):
    drawn = "--attention drawn/it.png --html drawn/it.html"
    code, out, error = command(f"explain {TEXT} --model encoder --word film --most 2 {drawn}")
    assert (code, error) == (0, "")
    text, head, _, first, second, rest = [line.split() for line in out.splitlines() if line.strip()]
    assert " ".join(text) == "the film was boring"
    assert head[:3] == ["'film'", "attends", "to"]
    seen = textkit.explain(make(textkit.TextEncoder), "the film was boring", word="film")
    for row, place in zip((first, second), np.argsort(-seen.relevance), strict=False):
        assert row[:2] == [seen.words[place], f"{seen.relevance[place]:.2f}"]
    assert rest[2] == f"{1 - seen.relevance.sum():.2f}"
    with Image.open(folder / "drawn" / "it.png") as image:
        assert min(image.size) > 100
    assert (folder / "drawn" / "it.html").read_text(encoding="utf-8").count("<figure") == 1


def test_all_words_of_an_encoder_in_one_head(command):
    code, out, _ = command(f"explain {TEXT} --model encoder --layer 1 --head 0 --most 1")
    assert code == 0
    seen = textkit.explain(make(textkit.TextEncoder), "the film was boring")
    rows = [line.split() for line in out.splitlines() if re.search(r"\d\.\d\d", line)]
    assert [row[0] for row in rows] == seen.words
    weights = seen.word_attention[1, 0]
    assert [row[2] for row in rows] == [f"{weight:.2f}" for weight in weights.max(1)]


def test_a_classifier_of_a_run(command):
    code, out, error = command(f"explain {TEXT} 'good film' --model run --target odd --method occlusion --html two.html")
    assert (code, error) == (0, "")
    seen = textkit.explain(make_classifier(), "the film was boring", method="occlusion", target="odd")
    assert out.splitlines()[0] == f"the film was boring → {seen.answer}"
    assert out.count("relevance for odd") == 2
    rows = [line.split() for line in out.splitlines() if re.match(r" +\w+ +[+-]\d", line)]
    assert [row[0] for row in rows[:4]] == seen.words
    most = np.abs(seen.relevance).max()
    np.testing.assert_allclose([float(row[1]) for row in rows[:4]], seen.relevance, atol=0.06 * most)  # two digits of it
    assert len(rows) == 6


def test_a_word_of_a_classifier_and_a_pair(command):
    code, out, _ = command(f"explain {TEXT} --model run --pair 'not good' --word not --most 1")
    assert code == 0
    assert " → " in out.splitlines()[0]
    assert "relevance for" not in out
    assert "'not' attends to" in out


@pytest.mark.parametrize(("line", "message"), ROWS.values(), ids=ROWS)
def test_bad_input_is_one_line_and_exit_code_2(folder, command, line, message):
    before = sorted(folder.rglob("*"))
    code, out, error = command(line)
    assert (code, out) == (2, "")
    assert error.startswith("textkit: ")
    assert error.count("\n") == 1, error
    assert re.search(message, error), error
    assert sorted(folder.rglob("*")) == before


def test_a_hugging_face_folder_is_what_it_says(tmp_path):
    """The class is that of the head; see `tests/textkit/checkpoints` for the weights."""
    from textkit.checkpoints.hugging_face import class_of

    for architecture, head in {
        "BertModel": textkit.TextEncoder,
        "BertForPreTraining": textkit.MaskedLanguageModel,
        "RobertaForSequenceClassification": textkit.TextClassifier,
        "DistilBertForTokenClassification": textkit.TokenClassifier,
        "AlbertForQuestionAnswering": textkit.SpanClassifier,
        "GPT2LMHeadModel": textkit.CausalLM,
    }.items():
        kind = re.match("Bert|Roberta|DistilBert|Albert|GPT2", architecture)[0].lower()
        (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}", "architectures": ["{architecture}"]}}')
        assert class_of(tmp_path) is head
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    (tmp_path / "modules.json").write_text("[]")
    assert class_of(tmp_path) is textkit.SentenceEncoder
