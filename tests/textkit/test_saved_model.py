"""The SavedModel of a translator, served where only TensorFlow can be imported, against the translator itself."""

import warnings

import numpy as np
import pytest

import textkit
from tests.checks import assert_close
from tests.served import ALONE, WITH_TEXT, serve
from tests.textkit.test_translator import TEXTS, make_translator
from textkit import RecurrentSeq2Seq, Translator, Vocabulary
from textkit.saved_model import export

# Special ones: with a letter that the vocabulary lacks, longer than seven positions, and without anything to read.
TEXTS = [*TEXTS, "bäd", "abcdefgab", "", " \t", "\u3000\u00a0\x1c"]


def check_answers(folder, translator, texts, setting=ALONE, **options):
    """Holds what is served against what the translator says, which refuses to read texts with nothing in them."""
    calls = {"serving_default": {"texts": texts}, "explain": {"texts": texts}}
    answers = serve(folder, {**calls, "explain#blank": {"texts": [""]}, "explain#none": {"texts": []}}, setting)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters unknown and texts too long, which a server cannot say
        found = iter(translator.translate([text for text in texts if text.strip()], return_attention=True, **options))
    expected = [next(found) if text.strip() else None for text in texts]
    longest = max(len(each.tokens) for each in expected if each)
    widest = max(len(each.source_tokens) for each in expected if each)
    assert answers["explain/alignment"].shape == (len(texts), longest, widest)
    assert answers["explain/source_tokens"].shape == (len(texts), widest)
    assert answers["explain/target_tokens"].shape == (len(texts), longest)
    for row, each in enumerate(expected):
        source_tokens, tokens = (each.source_tokens, each.tokens) if each else ([], [])
        alignment = np.zeros((longest, widest), "float32")
        alignment[: len(tokens), : len(source_tokens)] = each.alignment if each else 0.0
        assert_close(answers["explain/alignment"][row], alignment)
        assert answers["explain/source_tokens"][row].tolist() == source_tokens + [""] * (widest - len(source_tokens))
        assert answers["explain/target_tokens"][row].tolist() == tokens + [""] * (longest - len(tokens))
        for call in ("serving_default", "explain"):
            assert answers[f"{call}/text"][row] == (each.text if each else "")
            assert_close(answers[f"{call}/score"][row], np.float32(each.score if each else 0.0))
    assert len({(each.text, round(each.score, 3)) for each in expected if each}) > 3  # they are not all one answer
    assert answers["explain#blank/text"].tolist() == [""]
    assert answers["explain#none/text"].shape == (0,)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("additive", {}),
        ("fixed", {"beam_width": 3, "length_penalty": 2.0, "max_length": 5}),
        ("pre_norm", {"method": "greedy", "reading": "shifted"}),
    ],
)
def test_serves_what_the_translator_says(tmp_path, name, options):
    translator = make_translator(name)
    export(translator, tmp_path / "saved_model", **options)
    check_answers(tmp_path, translator, TEXTS, **options)


def test_subwords_need_tensorflow_text(tmp_path):
    texts = ["the cat sat on the mat", "the dog ran to the cat", "a mat, a dog and a cat", "知更鸟在树上"]
    vocabulary = Vocabulary.learn(texts, "subwords", 60)
    model = RecurrentSeq2Seq(vocabulary.size, vocabulary.size, hidden_dim=7, attention="dot")
    random = np.random.RandomState(3)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0.0, 1.0, weight.shape))
    translator = Translator(model, vocabulary, vocabulary, max_length=11)
    export(translator, tmp_path / "saved_model")
    with pytest.raises(RuntimeError, match=r"Op type not registered 'Sentencepiece\w*Op'"):
        serve(tmp_path, {}, ALONE)
    check_answers(tmp_path, translator, [*texts, ""], WITH_TEXT)


def test_sampling_draws_anew_at_each_call(tmp_path):
    import tensorflow as tf

    textkit.export(make_translator(), tmp_path / "saved_model", "sample")
    served = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_default"]
    drawn = [tuple(served(texts=tf.constant(TEXTS))["text"].numpy()) for _ in range(3)]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reading": "shift"}, r"Unknown reading; did you mean 'shifted'"),
        ({"method": "bean"}, r"Unknown method; did you mean 'beam'"),
        ({"beam_width": 0}, r"beam_width must be at least 1. Received: beam_width=0"),
        ({"max_length": 0}, r"max_length must be at least 1. Received: max_length=0"),
        ({"max_length": 9}, r"`max_length` should be at most max_target_length=8. Received: max_length=9"),
    ],
)
def test_a_wrong_option_leaves_nothing_behind(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export(make_translator("pre_norm"), tmp_path / "saved_model", **options)
    assert not any(tmp_path.iterdir())
