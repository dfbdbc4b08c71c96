"""Labels and the tokens they belong to: words with first tokens, answers in windows; what a report says."""

import functools

import numpy as np
import pytest

from tests.textkit import labels
from tests.textkit.labels import make_model
from textkit import encoding, label_metrics
from textkit.datasets.labelled import Answer, ClassifiedTexts, Question, Questions, TaggedTexts
from textkit.fine_tuning import fine_tune
from textkit.label_evaluation import evaluate_labels
from textkit.tasks import make_task
from textkit.tasks.spans import answer_tokens, find_answers, make_windows
from textkit.tasks.words import first_tokens
from textkit.tokenizer import Tokenizer
from textkit.tokenizers.byte_pairs import byte_letters

BYTES = Tokenizer(
    "bytes", ["<s>", "</s>", "<pad>", "<unk>", *byte_letters(), "Ġa", "Ġab"], ["Ġ a", "Ġa b"], template="roberta"
)


@functools.cache
def tokenizer():
    return Tokenizer.from_config(labels.TOKENIZER)


def test_the_first_token_of_each_word_counts():
    words = ["Annly", "said", "in", "oslo", "\x07", "bob"]  # of "said" is nothing known; the bell is no token
    encoded = tokenizer().encode([" ".join(words)], return_offsets=True)
    tokens, of_words = first_tokens(encoded["offsets"].numpy()[0, :, 1], words)
    texts = [token.text for token in tokenizer().tokens(" ".join(words))]
    assert [texts[token] for token in tokens] == ["ann", "[UNK]", "in", "oslo", "bob"]
    assert texts[2] == "##ly"
    assert of_words.tolist() == [0, 1, 2, 3, 5]


def test_the_first_token_of_bytes_may_begin_with_the_space_before():
    words = ["ab", "ac", "b", "ab"]
    encoded = BYTES.encode([" ".join(words)], return_offsets=True)
    tokens, of_words = first_tokens(encoded["offsets"].numpy()[0, :, 1], words)
    assert of_words.tolist() == [0, 1, 2, 3]
    texts = [BYTES.tokens(" ".join(words))[token].text for token in tokens]
    assert [text.strip() for text in texts] == ["a", "a", "b", "ab"]


def test_words_beyond_the_row_are_outside():
    words = ["the"] * 30 + ["ann"]
    rows = [(words, [1] * 30 + [0])]
    data = TaggedTexts(rows, rows, rows, "long", class_names=("B-PER", "O"))
    model = make_model("tag", num_classes=2)
    model.head.bias.assign([9.0, -9.0])  # says B-PER everywhere
    report = evaluate_labels(model, data)
    assert report["confusion"] == {"classes": ["B-PER", "O"], "counts": [[0, 1], [22, 8]]}
    assert report["accuracy"] == 8 / 31
    assert report["recall"] == 0


def test_parts_of_speech_are_no_entities():
    rows = [(["the", "film"], [0, 1]), (["film"], [1])]
    model = make_model("tag", num_classes=2)
    model.head.kernel.assign(np.zeros(model.head.kernel.shape))
    model.head.bias.assign([0.0, 1.0])
    report = evaluate_labels(model, TaggedTexts(rows, rows, rows, "small", class_names=("DT", "NN")))
    assert (report["accuracy"], report["macro_f1"]) == (2 / 3, 0.4)
    assert report["baseline"] == {"accuracy": 2 / 3, "macro_f1": 0.4}
    assert report["errors"] == [{"text": "the film", "wrong": [{"word": "the", "label": "DT", "predicted": "NN"}]}]


@pytest.mark.parametrize("stride", [1, 3, 5, 99])
@pytest.mark.parametrize("kind", ["wordpiece", "bytes"])
def test_windows_together_are_the_whole_context(kind, stride):
    divider = tokenizer() if kind == "wordpiece" else BYTES
    question, contexts = "a b", ["ab c ab ad cab ab a b c d e", "ab", ""]
    windows = make_windows(divider, [question] * 3, contexts, 12, stride)
    for number, context in enumerate(contexts):
        whole = divider.encode([question], [context], return_offsets=True)
        ids, offsets = (whole[name].numpy()[0] for name in ("token_ids", "offsets"))
        rows = np.flatnonzero(windows.question == number)
        pairs = set()
        for row in rows:
            mask = windows.inputs["padding_mask"][row]
            assert mask.sum() <= 12
            of_context = windows.offsets[row, :, 0] >= 0
            found = windows.inputs["token_ids"][row][of_context]
            pairs |= set(zip(map(tuple, windows.offsets[row][of_context].tolist()), found.tolist(), strict=True))
            # around the context the window is as the whole is
            assert windows.inputs["token_ids"][row][mask & ~of_context].tolist() == [
                each for each, place in zip(ids, parts(divider, question, context), strict=True) if place != 1
            ]
        expected = [part == 1 for part in parts(divider, question, context)]
        assert pairs == set(zip(map(tuple, offsets[expected].tolist()), ids[expected].tolist(), strict=True))
        room = 12 - sum(part != 1 for part in parts(divider, question, context))
        count = sum(expected)
        assert len(rows) == 1 + max(0, -(-(count - room) // min(stride, room)))


def parts(divider, question, context):
    return [token.part for token in divider.tokens(question, context)]


def test_a_long_question_leaves_room():
    windows = make_windows(tokenizer(), ["who " * 40], ["the film was good"], 13, 2)
    assert windows.inputs["padding_mask"].sum(axis=1).tolist() == [12]  # three special tokens, half of the room, the context
    windows = make_windows(tokenizer(), ["who " * 40], ["the film was good and fine"], 13, 2)
    assert windows.inputs["padding_mask"].sum(axis=1).tolist() == [13, 12]


def test_answers_are_found_in_the_windows_that_hold_them():
    context = "the film was by annly bob and then we say it is not good"
    answer = Answer("annly bob", context.index("annly"))
    windows = make_windows(tokenizer(), ["who"], [context], 10, 2)
    held = []
    for offsets, ids in zip(windows.offsets, windows.inputs["token_ids"], strict=True):
        first, last = answer_tokens(offsets, answer)
        text = tokenizer().decode([ids])[0]
        held.append("ann ly bob" in text.replace("annly", "ann ly"))
        assert (first > 0) == held[-1]
        if first:
            assert context[offsets[first, 0] : offsets[last, 1]] == answer.text
    assert 0 < sum(held) < len(held)
    assert answer_tokens(windows.offsets[0], None) == (0, 0)


class Scripted:
    """Stands for a model: begins answers at one id and ends them at another."""

    def __init__(self, begins, ends, nothing):
        self.tokenizer, self.begins, self.ends, self.nothing = tokenizer(), begins, ends, nothing
        self.config = {"vocabulary_size": self.tokenizer.size, "positions": "rotary"}

    def __call__(self, inputs, training):
        import tensorflow as tf

        assert not training
        ids = inputs["token_ids"]
        first = tf.concat([tf.fill((tf.shape(ids)[0], 1), self.nothing), tf.zeros_like(ids[:, 1:], tf.float32)], 1)

        def logits(wanted):
            score = tf.zeros_like(ids, tf.float32)
            for name, value in wanted.items():
                score += value * tf.cast(ids == labels.TOKENIZER["vocabulary"].index(name), tf.float32)
            return first + score

        return {"start_logits": logits(self.begins), "end_logits": logits(self.ends)}


def test_answers_are_put_together_over_windows():
    context = "the film was by Ann bob " + "and then we say it is " * 9 + "good Eve in Rome"
    model = Scripted({"ann": 3.0, "eve": 4.0}, {"bob": 3.0, "rome": 1.5, "ann": 2.0, "who": 99.0}, 2.5)
    options = {"max_length": 14, "stride": 3, "batch_size": 2}
    (best,) = find_answers(model, ["who"], [context], 4, **options)
    assert [(each.text, each.score) for each in best] == [("Ann bob", 6.0), ("Eve in Rome", 5.5), ("", 5.0), ("Ann", 5.0)]
    assert context[best[0].begin : best[0].end] == "Ann bob"
    assert (best[2].begin, best[2].end) == (-1, -1)
    (only,) = find_answers(model, ["who"], [context], can_be_none=False, max_answer=1, **options)
    assert [(each.text, each.score) for each in only] == [("Ann", 5.0)]
    (silent, spoken) = find_answers(model, ["who", "who"], ["the film", "eve rome"], **options)
    assert (silent[0].text, silent[0].score) == ("", 5.0)
    assert spoken[0].text == "eve rome"
    assert find_answers(model, ["who"], [""], can_be_none=False, **options)[0][0].text == ""


def test_a_context_for_each_question():
    with pytest.raises(ValueError, match=r"^Expected a context for each question\. Received: 1 for 2 questions$"):
        make_windows(tokenizer(), ["who", "where"], ["ann"])
    bare = Tokenizer("wordpiece", labels.TOKENIZER["vocabulary"], template="none")
    with pytest.raises(ValueError, match=r"^Expected a tokenizer with special tokens\. Received: template='none'"):
        make_windows(bare, ["who"], ["ann"])


def test_encoding_takes_texts():
    with pytest.raises(ValueError, match=r"^Expected at least one text\. Received: none$"):
        encoding.encode(tokenizer(), [])


def test_answers_are_scored_as_squad_does():
    rows = [
        Question("who", "ann in oslo", (Answer("ann", 0), Answer("ann in", 0)), "1"),
        Question("where", "bob the film", (), "2"),
    ]
    data = Questions(rows, rows, rows, "few")
    model = make_model("qa")
    report = evaluate_labels(model, data, "test", num_errors=1)
    answers = find_answers(model, ["who", "where"], [row.context for row in rows])
    expected = label_metrics.answer_scores([best[0].text for best in answers], [["ann", "ann in"], []])
    assert {name: report[name] for name in expected} == expected
    assert report["baseline"]["f1"] == pytest.approx((4 / 5 + 0) / 2)  # the whole context: two words of three, of two
    assert len(report["errors"]) <= 1


def test_answers_take_a_model_with_a_tokenizer_and_a_length_of_its_positions():
    with pytest.raises(ValueError, match=r"^Expected a model that was made with a tokenizer\. Received: tokenizer=None$"):
        find_answers(make_model("qa", tokenizer=None), ["who"], ["ann"])
    with pytest.raises(ValueError, match=r"^Expected at most the model's 24 positions\. Received: max_length=25$"):
        find_answers(make_model("qa"), ["who"], ["ann"], max_length=25)


def cut_data(kind):
    """Texts of six words, of five, of three and, but for words, of none."""
    texts = ["we say it is not bad", "then we say it is", "is not bad", ""]
    if kind == "classify":
        rows = [((text,), row % 2) for row, text in enumerate(texts)]
        return ClassifiedTexts(rows, rows, rows, "few", class_names=("bad", "good"))
    if kind == "tag":
        rows = [(text.split(), [0] * len(text.split())) for text in texts[:3]]
        return TaggedTexts(rows, rows, rows, "few", class_names=("O", "B", "I", "E"))
    rows = [Question(text, "ann in oslo " * 9, (), text) for text in texts]
    return Questions(rows, rows, rows, "few")


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("classify", {7: 1, 8: 0}),  # two special tokens
        ("tag", {6: 2}),
        ("qa", {12: 2, 13: 1}),  # three special tokens, and half of the others for the question
    ],
)
def test_what_is_cut_is_counted(kind, counts):
    model, data = make_model(kind), cut_data(kind)
    assert {most: make_task(model, data, max_length=most).count_cut("train") for most in counts} == counts


def test_reports_say_how_much_is_cut(tmp_path):
    model, data = make_model("classify"), cut_data("classify")
    assert fine_tune(model, data, tmp_path, epochs=1, max_length=6, progress=False)["num_cut"] == 2
    assert evaluate_labels(model, data, max_length=6)["num_cut"] == 2


def test_pairs_are_cut_together():
    pairs = ["we say it", "it"], ["is not bad", "is"]  # 9 tokens and 5
    assert [encoding.count_longer(tokenizer(), most, *pairs) for most in (4, 5, 9)] == [2, 1, 0]


@pytest.mark.parametrize(("kind", "length"), [("classify", 512), ("tag", 512), ("qa", 384)])
def test_rows_have_an_end_where_positions_have_none(kind, length):
    model, data = make_model(kind, positions="rotary"), cut_data(kind)
    assert make_task(model, data).max_length == length
    assert make_task(model, data, max_length=600).max_length == 600


def test_a_long_text_is_encoded_with_few_others(monkeypatch):
    monkeypatch.setattr(encoding, "_CHARACTERS_AT_ONCE", 100)
    widths = []

    class Watched:
        def encode(self, *given, **options):
            encoded = tokenizer().encode(*given, **options)
            widths.append(tuple(encoded["token_ids"].shape))
            return encoded

    texts, pairs = ["we say"] * 9 + ["we " * 200] + ["it is"] * 3, ["it"] * 13
    for row, text in zip(encoding.encoded_rows(Watched(), texts, pairs, return_offsets=True), texts, strict=True):
        for name, values in tokenizer().encode([text], ["it"], return_offsets=True).items():
            np.testing.assert_array_equal(row[name], values[0])
    assert widths == [(9, 6), (1, 204), (3, 6)]
    with pytest.raises(ValueError, match=r"^Expected a pair for each text\. Received: 13 texts, 12 pairs$"):
        list(encoding.encoded_rows(tokenizer(), ["we"] * 13, pairs[1:]))


def test_a_class_that_train_has_none_of_is_measured():
    train, test = [(("good",), 1), (("bad",), 0), (("fine",), 1)], [(("the",), 2), (("bad",), 0)]
    data = ClassifiedTexts(train, test, test, "few", class_names=("bad", "good", "so so"))
    model = make_model("classify", num_classes=3)
    weights = make_task(model, data, class_weights="balanced").encode("train", training=True)[2]
    np.testing.assert_allclose(weights, [0.5, 1.0, 0.5])
    assert evaluate_labels(model, data)["classes"]["so so"]["count"] == 1


def test_a_report_on_classes_by_hand():
    rows = [(("good",), 1), (("bad",), 0), (("fine",), 1), (("dull film",), 1)]
    train = [*rows, (("the",), 1)]
    model = make_model("classify")
    model.head.kernel.assign(np.zeros(model.head.kernel.shape))
    model.head.bias.assign([1.0, 0.0])  # says bad, everywhere
    report = evaluate_labels(model, ClassifiedTexts(train, rows, rows, "few", class_names=("bad", "good")), num_errors=2)
    assert report["accuracy"] == 1 / 4
    assert report["macro_f1"] == pytest.approx((2 / 5 + 0) / 2)
    assert report["confusion"] == {"classes": ["bad", "good"], "counts": [[1, 0], [3, 0]]}
    assert report["classes"]["bad"] == {"precision": 0.25, "recall": 1.0, "f1": 0.4, "count": 1}
    assert report["baseline"]["accuracy"] == 3 / 4
    wrong = {"label": "good", "predicted": "bad", "probability": pytest.approx(1 / (1 + np.exp(-1)))}
    assert report["errors"] == [{"texts": ["good"], **wrong}, {"texts": ["fine"], **wrong}]


def test_a_report_on_several_classes_and_on_numbers_by_hand():
    rows = [(("good",), (0, 1)), (("bad",), ()), (("fine",), (1,))]
    model = make_model("classify", problem="multi")
    model.head.kernel.assign(np.zeros(model.head.kernel.shape))
    model.head.bias.assign([-1.0, 2.0])
    data = ClassifiedTexts(rows, rows, rows, "few", class_names=("bad", "good"), problem="multi")
    report = evaluate_labels(model, data)
    assert report["accuracy"] == 1 / 3
    assert report["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert report["baseline"]["accuracy"] == 1 / 3  # "good" alone, which two of three have
    assert [error["label"] for error in report["errors"]] == [[], ["bad", "good"]]

    rows = [(("good",), 2.0), (("bad",), -1.0), (("fine",), 1.5)]
    model = make_model("classify", problem="regression", num_classes=1)
    model.head.kernel.assign(np.zeros(model.head.kernel.shape))
    model.head.bias.assign([1.0])
    report = evaluate_labels(model, ClassifiedTexts(rows, rows, rows, "few", problem="regression"), num_errors=1)
    assert report["mean_absolute_error"] == pytest.approx((1 + 2 + 0.5) / 3)
    assert report["baseline"]["mean_absolute_error"] == pytest.approx((7 / 6 + 11 / 6 + 4 / 6) / 3)
    assert (report["pearson"], report["spearman"]) == (0.0, 0.0)
    assert report["errors"] == [{"texts": ["bad"], "label": -1.0, "predicted": 1.0}]
