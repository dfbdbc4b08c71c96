"""Translator: what it answers is what the model says, however texts are batched; saved and loaded; bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest

import textkit
from tests.checks import assert_close
from tests.textkit.models import MODELS, make
from textkit import RecurrentSeq2Seq, TransformerSeq2Seq, Translator, Vocabulary
from textkit.vocabulary import END

LETTERS = "abcdefghijkl "
WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
TEXTS = ["bad", "a", "cab age", "deaf", "i"]


def make_translator(name="additive", **options):
    letters, words = Vocabulary(list(LETTERS)), Vocabulary(WORDS.split(), "words")
    model = make(name)
    if isinstance(model, RecurrentSeq2Seq):  # so that it writes words, and ends sooner or later
        model.head.bias.assign(np.where(np.arange(19) < END, -100.0, 0.0))
    return Translator(model, letters, words, **{"max_length": 7, **options})


@pytest.fixture(scope="module")
def translator():
    return make_translator()


def test_the_vocabularies_are_those_of_the_small_models(translator):
    assert (translator.source_vocabulary.size, translator.target_vocabulary.size) == (17, 19)


@pytest.mark.parametrize("name", ["additive", "pre_norm"])
def test_answers_are_what_the_model_writes_for_each_text_alone(name):
    translator = make_translator(name)
    found = translator.translate(TEXTS, "greedy", return_attention=True, batch_size=3)
    assert translator.translate(TEXTS, "greedy") == [each.text for each in found]
    for text, each in zip(TEXTS, found, strict=True):
        ids = np.pad(translator.source_vocabulary.encode([text]).numpy(), ((0, 0), (0, 7 - len(text))))
        written = translator.model.generate(ids, max_length=7)
        length = written["lengths"][0] - (END in written["ids"])
        assert each.source == text
        assert each.source_tokens == list(text)
        assert each.text == translator.target_vocabulary.decode(written["ids"])[0]
        assert each.tokens == translator.target_vocabulary.tokens(written["ids"][0, :length])
        assert_close(each.alignment, written["alignment"][0, :length, : len(text)])
        assert_close(each.score, written["scores"][0])
        assert_close(each.alignment.sum(-1), np.ones(length, "float32"))


def test_words_of_the_source_gather_the_alignment_of_their_letters(translator):
    [each] = translator.translate(["cab age"], return_attention=True)
    assert each.words == ["cab", "age"]
    assert each.word_of_token == [0, 0, 0, 1, 1, 1, 1]
    expected = np.stack([each.alignment[:, :3].sum(-1), each.alignment[:, 3:].sum(-1)], axis=-1)
    assert_close(each.word_alignment, expected)


def test_shifted_the_attention_of_a_token_is_that_of_the_step_after_it(translator):
    texts, ended = [*TEXTS, *LETTERS.strip()], set()
    readings = (translator.translate(texts, return_attention=True, reading=each) for each in ("same_step", "shifted"))
    for same, shifted in zip(*readings, strict=True):
        assert same.tokens == shifted.tokens
        assert_close(shifted.alignment[:-1], same.alignment[1:])
        if same.tokens:  # the step after the last token wrote the end, or there was none
            ended.add(len(same.tokens) < 7)
            assert_close(shifted.alignment[-1].sum(), np.float32(len(same.tokens) < 7))
    assert ended == {True, False}


def test_a_beam_is_no_worse_and_sampling_follows_the_seed(translator):
    greedy, beam = (translator.translate(TEXTS, method, return_attention=True) for method in ("greedy", "beam"))
    wide = translator.translate(TEXTS, beam_width=19, length_penalty=0.0, return_attention=True)
    assert all(w.score >= g.score - 1e-5 for g, w in zip(greedy, wide, strict=True))
    assert translator.translate(TEXTS) == [each.text for each in beam]
    drawn = [translator.translate(TEXTS, "sample", seed=seed) for seed in (3, 3, 5)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_several_answers_come_best_first(translator):
    options = {"beam_width": 5, "return_attention": True}
    best, found = translator.translate(TEXTS, **options), translator.translate(TEXTS, num_best=3, batch_size=2, **options)
    assert translator.translate(TEXTS, num_best=3, beam_width=5) == [[each.text for each in answers] for answers in found]
    for first, answers in zip(best, found, strict=True):
        assert len({tuple(each.tokens) for each in answers}) == 3
        assert (answers[0].text, answers[0].source) == (first.text, first.source)
        assert_close(answers[0].alignment, first.alignment)
        lengths = [len(each.tokens) + (len(each.tokens) < 7) for each in answers]  # with the end, where there is one
        ranked = [each.score / ((5 + length) / 6) ** 0.6 for each, length in zip(answers, lengths, strict=True)]
        assert ranked == sorted(ranked, reverse=True)


def test_there_may_be_fewer_answers_than_asked_for(translator):
    [answers] = translator.translate(["bad"], beam_width=23, num_best=23, max_length=1, return_attention=True)
    assert sorted(each.score for each in answers)[0] > -np.inf
    assert len({tuple(each.tokens) for each in answers}) == len(answers) == 19  # the model's symbols


def test_nothing_to_translate(translator):
    assert translator.translate([]) == []


def test_progress_counts_texts(translator):
    told = []
    translator.translate(TEXTS, "greedy", batch_size=2, progress=lambda *given: told.append(given))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_saved_and_loaded_it_answers_the_same(translator, tmp_path):
    for _ in range(2):  # the second replaces the first
        translator.save(tmp_path / "saved")
    assert {path.name for path in (tmp_path / "saved").iterdir()} == {"model.keras", "vocabularies.json"}
    loaded = Translator.load(tmp_path / "saved")
    assert loaded.max_length == 7
    assert loaded.translate(TEXTS) == translator.translate(TEXTS)


def test_loads_in_a_fresh_process_where_nothing_heavy_is_imported(translator, tmp_path):
    translator.save(tmp_path / "t")
    program = (
        "import sys, textkit; heavy = 'keras_nlp', 'tensorflow_datasets', 'torch', 'jinja2', 'sacrebleu';"
        "print(*[name for name in heavy if name in sys.modules]);"
        "print(textkit.Translator.load(sys.argv[1]).translate(sys.argv[2:]))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "t", *TEXTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heavy, answers = done.stdout.splitlines()
    assert heavy == ""
    assert answers == str(translator.translate(TEXTS))


def test_unknown_letters_are_named(translator):
    with pytest.warns(UserWarning, match=r"^Unknown symbols in 2 of 3 texts: 'bäd', 'BAD'$"):
        found = translator.translate(["bäd", "bad", "BAD"], return_attention=True)
    assert found[0].source_tokens == ["b", "<unk>", "d"]


def test_long_texts_are_cut_or_refused():
    translator = make_translator("pre_norm")  # it has seven positions
    with pytest.warns(UserWarning, match=r"^Truncated: 1 of 2 texts are longer than 7 tokens, up to 9$"):
        found = translator.translate(["abcdefgab", "abcdefg"], return_attention=True)
    assert found[0].text == found[1].text
    assert found[0].alignment.shape == found[1].alignment.shape == (len(found[0].tokens), 7)
    with pytest.raises(ValueError, match=r"Received: 1 of 2 texts are longer than 7 tokens, up to 9"):
        translator.translate(["abcdefgab", "abcdefg"], too_long="refuse")


@pytest.mark.parametrize(
    ("strings", "options", "message"),
    [
        (["a", ""], {}, r"text in every string. Received: strings\[1\]=''"),
        ([" \t", "a"], {}, r"text in every string. Received: strings\[0\]=' \\t'"),
        ("bad", {}, r"a list of strings. Received: strings='bad'"),
        (["a"], {"beam_width": 0}, r"beam_width must be at least 1. Received: beam_width=0"),
        (["a"], {"num_best": 5}, r"num_best must be from 1 to beam_width. Received: num_best=5, beam_width=4"),
        (["a"], {"num_best": 0}, r"num_best must be from 1 to beam_width. Received: num_best=0"),
        (["a"], {"num_best": 2, "method": "greedy"}, r"num_best needs method='beam'. Received: num_best=2, method='greedy'"),
        (["a"], {"method": "bean"}, r"Unknown method; did you mean 'beam'"),
        (["a"], {"max_length": 0}, r"max_length must be at least 1"),
        (["a"], {"batch_size": 0}, r"at least 1. Received: batch_size=0"),
        (["a"], {"reading": "shift"}, r"Unknown reading; did you mean 'shifted'"),
        (["a"], {"too_long": "cut"}, r"Unknown too_long; expected one of 'refuse', 'truncate'"),
    ],
)
def test_refuses(translator, strings, options, message):
    with pytest.raises(ValueError, match=message):
        translator.translate(strings, **options)


def test_refuses_vocabularies_of_another_model(translator, tmp_path):
    letters, words = translator.source_vocabulary, translator.target_vocabulary
    with pytest.raises(ValueError, match=r"a source vocabulary of the model's 17 ids. Received: 19 ids"):
        Translator(translator.model, words, words)
    with pytest.raises(ValueError, match=r"a target vocabulary of the model's 19 ids. Received: 17 ids"):
        Translator(translator.model, letters, letters)
    translator.save(tmp_path / "t")
    texts = json.loads((tmp_path / "t" / "vocabularies.json").read_text())
    texts["source"]["symbols"].pop()
    (tmp_path / "t" / "vocabularies.json").write_text(json.dumps(texts))
    with pytest.raises(ValueError, match=r"a source vocabulary of the model's 17 ids. Received: 16 ids"):
        Translator.load(tmp_path / "t")


def test_refuses_what_is_no_translator(translator, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a folder with vocabularies.json and with model.keras .*: folder="):
        Translator.load(tmp_path)
    (tmp_path / "other.txt").touch()
    with pytest.raises(ValueError, match="a new or empty folder"):
        translator.save(tmp_path)
    (tmp_path / "model.keras").touch()
    with pytest.raises(FileNotFoundError, match=r"Expected a folder with vocabularies.json. Received: folder="):
        Translator.load(tmp_path)
    (tmp_path / "vocabularies.json").write_text('{"source": {')
    with pytest.raises(ValueError, match=r"Expected valid vocabularies"):
        Translator.load(tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'Translater'"):
        _ = textkit.Translater


def test_public_names():
    assert sorted(textkit.__all__) == textkit.__all__
    assert all(getattr(textkit, name).__name__ == name for name in textkit.__all__)
    assert {RecurrentSeq2Seq, TransformerSeq2Seq} == {model_class for model_class, _ in MODELS.values()}
