import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from textkit.datasets import labelled
from textkit.datasets.labelled import Answer, Question
from textkit.datasets.splits import SPLITS


@pytest.fixture
def write(tmp_path):
    """Writes lines to a file: str, bytes, or what is to be JSON."""

    def function(*lines, name="texts.tsv", end=b"\n"):
        path = tmp_path / name
        as_bytes = (
            line if isinstance(line, bytes) else line if isinstance(line, str) else json.dumps(line) for line in lines
        )
        path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + end for line in as_bytes))
        return path

    return function


def everything(loaded):
    return [example for split in SPLITS for example in getattr(loaded, split)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tensorflow_datasets"))


def published(name, splits, folder):
    """Makes `tensorflow_datasets` believe that a published set was prepared, for `mock_data` to fill it."""
    builder = tfds.builder(name, data_dir=folder)
    infos = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[23],
            num_bytes=0,
            filename_template=tfds.core.ShardedFileTemplate(
                data_dir=builder.data_dir, dataset_name=builder.name, split=split, filetype_suffix="tfrecord"
            ),
        )
        for split in splits
    ]
    builder.info.set_splits(tfds.core.SplitDict(infos))
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_dir)
    return tfds.testing.mock_data(num_examples=23, data_dir=str(folder))


class TestColumns:
    def test_text_and_label(self, write):
        rows = [f"text {number}\t{['neg', 'pos'][number % 2]}" for number in range(53)]
        path = write(*rows)
        loaded = labelled.load("classify", path, on_corrupt="refuse")
        assert (loaded.name, loaded.class_names, loaded.problem) == (str(path), ("neg", "pos"), "single")
        assert [len(getattr(loaded, split)) for split in SPLITS] == [43, 5, 5]
        assert sorted(everything(loaded)) == sorted(((f"text {number}",), number % 2) for number in range(53))
        assert labelled.load("classify", str(path)) == loaded
        labels = loaded.labels("train")
        assert labels.dtype == "int32"
        assert labels.tolist() == [label for _, label in loaded.train]

    def test_pairs(self, write):
        path = write(*(f"one {number}\ttwo {number}\t{number % 3}" for number in range(23)))
        loaded = labelled.load("pair", path)
        assert loaded.class_names == ("0", "1", "2")
        assert sorted(everything(loaded)) == sorted(((f"one {n}", f"two {n}"), n % 3) for n in range(23))

    def test_windows_and_its_mark(self, write):
        path = write(b"\xef\xbb\xbfa\tx", "", " 你好\u2028 \t y ", "c\tx", "d\ty", end=b"\r\n")
        texts = dict(everything(labelled.load("classify", path, validation=path, test=path, on_corrupt="refuse")))
        assert texts == {("a",): 0, ("你好",): 1, ("c",): 0, ("d",): 1}

    def test_columns_by_name_and_number(self, write):
        rows = [f"{number}\t{number % 2}\tx\ttext {number}" for number in range(13)]
        expected = sorted(((f"text {number}",), number % 2) for number in range(13))
        named = write("id\tlabel\tnote\tsentence ", *rows, name="named.tsv")
        assert sorted(everything(labelled.load("classify", named, columns=("sentence", "label")))) == expected
        bare = write(*rows, name="bare.tsv")
        assert sorted(everything(labelled.load("classify", bare, columns=(3, 1)))) == expected
        with pytest.raises(ValueError, match=r"Unknown column; did you mean 'sentence'\? Received: column='sentense'"):
            labelled.load("classify", named, columns=("sentense", "label"))
        with pytest.raises(ValueError, match=r"line 1 has 4 columns, not 5"):
            labelled.load("classify", bare, columns=(4, 1), on_corrupt="refuse")
        with pytest.raises(ValueError, match=r"Expected 2 columns, the last .* Received: columns=\(1,\), pair=False"):
            labelled.load("classify", bare, columns=(1,))

    def test_several_labels(self, write):
        path = write("a\ty, x", "b\t", "c\tz,x,z", "d\tx,y,z")
        loaded = labelled.load("classify", path, problem="multi", validation=path, test=path)
        assert loaded.class_names == ("x", "y", "z")
        assert loaded.train == [(("a",), (0, 1)), (("b",), ()), (("c",), (0, 2)), (("d",), (0, 1, 2))]
        expected = [[True, True, False], [False] * 3, [True, False, True], [True] * 3]
        np.testing.assert_array_equal(loaded.labels("test"), expected)

    def test_numbers(self, write):
        path = write("a\t1.5", "b\t-2", "c\tnan", "d\tmany", "e\t3e0")
        with pytest.warns(
            UserWarning, match=r"2 of 5 lines .* and a number: line 3 has a label that is not a number, 'nan', line"
        ):
            loaded = labelled.load("classify", path, problem="regression")
        assert sorted(everything(loaded)) == [(("a",), 1.5), (("b",), -2.0), (("e",), 3.0)]
        assert (loaded.class_names, loaded.labels("train").dtype) == ((), "float32")

    def test_corrupt_lines_are_named_and_skipped_or_refused(self, write):
        path = write("a\tx", "no label", b"\xff\tx", "\tx", "b\t ", "c\tx\ty", "d\tx", "\0\tx", "é" * 500_000 + "\ty")
        with pytest.warns(
            UserWarning, match=r"Skipped: 5 of 9 lines in .*texts.tsv are not with a text and a label"
        ) as warned:
            loaded = labelled.load(
                "classify", path, validation=write("d\ty", name="v.tsv"), test=write("d\ty", name="t.tsv")
            )
        assert warned[0].filename == __file__
        assert [texts[0][:3] for texts, _ in loaded.train] == ["a", "d", "\0", "ééé"]
        faults = "line 2 has 1 columns, not 2, line 3 is not UTF-8, line 4 has an empty text, ..."
        with pytest.raises(ValueError, match=rf"lines with a text and a label. Received: 5 of 9 lines .*: {faults}$"):
            labelled.load("classify", path, on_corrupt="refuse")
        with pytest.raises(ValueError, match="line 1 has no label"):
            labelled.load("classify", write("a\t "), on_corrupt="refuse")

    def test_nothing_is_refused(self, write):
        with pytest.raises(ValueError, match=r"Expected lines with two texts and a number. Received: none in .*texts.tsv"):
            labelled.load("pair", write("", " "), problem="regression")
        with pytest.raises(
            FileNotFoundError, match=r"a file of lines with a text and a label. Received: path='nowhere.tsv'"
        ):
            labelled.load("classify", "nowhere.tsv")
        with pytest.raises(FileNotFoundError, match=r"Received: path='gone.tsv'"):
            labelled.load("classify", write("a\tx"), validation="gone.tsv")

    def test_labels_that_train_has_none_of_are_named(self, write):
        path, other = write("a\tx", "b\ty", "c\tx"), write("d\tz", "e\tx", name="validation.tsv")
        with pytest.raises(ValueError, match=r"labels in validation that occur in train. Received: 'z' in '.*texts.tsv'"):
            labelled.load("classify", path, validation=other)

    def test_rare_labels_may_be_carved_out_of_train(self, write):
        loaded = labelled.load("classify", write("a\tx", "b\ty", "c\tz"))
        assert [len(getattr(loaded, split)) for split in SPLITS] == [1, 1, 1]
        assert loaded.class_names == ("x", "y", "z")
        assert sorted(everything(loaded)) == [(("a",), 0), (("b",), 1), (("c",), 2)]

    def test_unknown_options_are_refused(self, write):
        path = write("a\tx")
        with pytest.raises(ValueError, match=r"Unknown task; did you mean 'classify'"):
            labelled.load("clasify", path)
        with pytest.raises(ValueError, match=r"Unknown problem; did you mean 'multi'"):
            labelled.load("classify", path, problem="mult")
        with pytest.raises(ValueError, match=r"Unknown on_corrupt; did you mean 'skip'"):
            labelled.load("classify", path, on_corrupt="skp")

    def test_folder(self, write, tmp_path):
        write(*({"text": f"t{number}", "label": number % 2} for number in range(20)), name="train.jsonl")
        write("v\t1", name="validation.tsv")
        loaded = labelled.load("classify", tmp_path)
        assert [len(getattr(loaded, split)) for split in SPLITS] == [18, 1, 2]
        assert loaded.validation == [(("v",), 1)]
        (tmp_path / "train.jsonl").unlink()
        with pytest.raises(FileNotFoundError, match=r"Received: path='.*train.tsv'"):
            labelled.load("classify", tmp_path)


class TestObjects:
    def test_texts_and_pairs(self, write):
        path = write(*({"text": f"a\t{n}", "label": n % 2, "more": []} for n in range(13)), name="texts.jsonl")
        loaded = labelled.load("classify", path, on_corrupt="refuse")
        assert sorted(everything(loaded)) == sorted(((f"a\t{n}",), n % 2) for n in range(13))
        rows = ({"sentence1": "a", "sentence2": f"b{n}", "gold": ["no", "yes"][n % 2]} for n in range(13))
        loaded = labelled.load("pair", write(*rows, name="pairs.jsonl"), columns=("sentence1", "sentence2", "gold"))
        assert loaded.class_names == ("no", "yes")
        assert sorted(everything(loaded)) == sorted((("a", f"b{n}"), n % 2) for n in range(13))

    def test_several_labels(self, write):
        path = write({"text": "a", "label": ["y", "x"]}, {"text": "b", "label": []}, name="texts.jsonl")
        loaded = labelled.load("classify", path, problem="multi", validation=path, test=path)
        assert loaded.train == [(("a",), (0, 1)), (("b",), ())]

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ("{", "is not a JSON object"),
            ("[1]", "is not a JSON object"),
            ("[" * 100_000, "is not a JSON object"),
            (b'{"text": "\xff"}', "is not UTF-8"),
            ({"text": "a"}, "has no 'label'"),
            ({"label": "x"}, "has no 'text'"),
            ({"text": 3, "label": "x"}, "has no text"),
            ({"text": " ", "label": "x"}, "has an empty text"),
            ({"text": "a", "label": None}, "has no label"),
            ({"text": "a", "label": ["x"]}, "has no label"),
            ({"text": "a\ud83d", "label": "x"}, "has a lone surrogate, half a character"),
        ],
    )
    def test_corrupt_lines_are_told(self, write, line, fault):
        path = write({"text": "😀\0", "label": "x"}, line, name="texts.jsonl")
        with pytest.raises(ValueError, match=rf"1 of 2 lines in .* are not with a text and a label: line 2 {fault}$"):
            labelled.load("classify", path, on_corrupt="refuse")

    def test_no_list_of_labels_is_told(self, write):
        path = write({"text": "a", "label": 3}, name="texts.jsonl")
        with pytest.raises(ValueError, match="line 1 has no list of labels"):
            labelled.load("classify", path, problem="multi", on_corrupt="refuse")


CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter\tNNP  B-NP\tB-PER
\u00a0# # B-NP I-PER


, , O O
"""


class TestConll:
    def test_by_hand(self, write):
        path = write(CONLL, name="few.conll")
        loaded = labelled.load("tag", path, validation=path, test=path)
        assert loaded.class_names == ("B-ORG", "B-PER", "I-PER", "O")
        assert loaded.train == [(["EU", "rejects"], [0, 3]), (["Peter", "\u00a0#"], [1, 2]), ([","], [3])]

    def test_splits_are_carved(self, write):
        lines = (line for number in range(31) for line in (f"a{number} X{number:02}", "b Y", ""))
        loaded = labelled.load("tag", write(*lines, name="few.conll"))
        assert [len(getattr(loaded, split)) for split in SPLITS] == [25, 3, 3]
        assert loaded.class_names == (*(f"X{number:02}" for number in range(31)), "Y")  # also those that are not in train
        assert sorted(everything(loaded)) == sorted(([f"a{number}", "b"], [number, 31]) for number in range(31))

    def test_columns_comments_and_windows(self, write):
        path = write("# one", "1\tEU\tX", "2\tsays\tY", "", "# two", "1\tno\tY", end=b"\r\n", name="few.conll")
        loaded = labelled.load("tag", path, columns=(1, 2), comment="# ", validation=path, test=path)
        assert loaded.class_names == ("X", "Y")
        assert loaded.train == [(["EU", "says"], [0, 1]), (["no"], [1])]

    @pytest.mark.parametrize(
        ("lines", "match"),
        [
            (["a O", "b X O"], r"Expected 2 columns, as in lines before. Received: 3 in line 2 of .*few.conll"),
            (["a X O", "", "b O"], r"Expected 3 columns, as in lines before. Received: 2 in line 3 of"),
            (["a"], r"Expected columns 0 and -1. Received: 1 columns in line 1 of"),
            (["a O", b"\xff O"], r"lines in UTF-8. Received: line 2 of .* is not"),
            (["", " \t"], r"sentences with words and as many tags. Received: none in"),
        ],
    )
    def test_corrupt_files_are_refused(self, write, lines, match):
        with pytest.raises(ValueError, match=match):
            labelled.load("tag", write(*lines, name="few.conll"))

    def test_column_that_is_not_there_is_refused(self, write):
        with pytest.raises(ValueError, match=r"Expected columns 0 and 2. Received: 2 columns in line 1"):
            labelled.load("tag", write("a O", name="few.conll"), columns=(0, 2))

    def test_tags_that_train_has_none_of_are_named(self, write):
        path, other = write("a O", name="few.conll"), write("a B-LOC", name="other.conll")
        with pytest.raises(ValueError, match=r"labels in test that occur in train. Received: 'B-LOC' in"):
            labelled.load("tag", path, validation=path, test=other)

    def test_json(self, write):
        path = write({"words": ["a b", "c"], "tags": ["O", "X"]}, name="few.jsonl")
        loaded = labelled.load("tag", path, validation=path, test=path)
        assert loaded.train == [(["a b", "c"], [0, 1])]

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ({"words": ["a"], "tags": ["O", "O"]}, "has 1 words and 2 tags"),
            ({"words": ["a"]}, r"has no 'tags', a list of str"),
            ({"words": [], "tags": []}, r"has no 'words', a list of str"),
            ({"words": ["a", ""], "tags": ["O", "O"]}, r"has no 'words', a list of str"),
        ],
    )
    def test_corrupt_json_is_told(self, write, line, fault):
        with pytest.raises(ValueError, match=rf"line 1 {fault}"):
            labelled.load("tag", write(line, name="few.jsonl"), on_corrupt="refuse")


def squad(*paragraphs):
    return {"version": "x", "data": [{"title": "t", "paragraphs": list(paragraphs)}]}


def paragraph(context, **answers):
    asked = [
        {"id": key, "question": f"{key}?", "answers": [{"text": text, "answer_start": begin} for text, begin in right]}
        for key, right in answers.items()
    ]
    return {"context": context, "qas": asked}


class TestQuestions:
    def test_version_1(self, write):
        told = paragraph("😀 The cat sat.", who=[("The cat", 2), ("cat", 6)], what=[("sat", 10)])
        path = write(squad(told), name="few.json")
        loaded = labelled.load("qa", path, validation=path, test=path, on_corrupt="refuse")
        assert loaded.train == [
            Question("who?", "😀 The cat sat.", (Answer("The cat", 2), Answer("cat", 6)), "who"),
            Question("what?", "😀 The cat sat.", (Answer("sat", 10),), "what"),
        ]

    def test_version_2_has_questions_without_answers(self, write):
        told = paragraph("The cat sat.", who=[("cat", 4)], where=[("sat", 8)])
        told["qas"][0]["is_impossible"] = False
        told["qas"][1] |= {"is_impossible": True, "plausible_answers": told["qas"][1].pop("answers")}
        path = write(squad(told), name="few.json")
        loaded = labelled.load("qa", path, validation=path, test=path, on_corrupt="refuse")
        assert [asked.answers for asked in loaded.train] == [(Answer("cat", 4),), ()]

    def test_a_context_is_in_one_split_alone(self, write):
        path = write(squad(*(paragraph(f"text {n}", a=[("text", 0)], b=[(str(n), 5)]) for n in range(29))), name="few.json")
        loaded = labelled.load("qa", path)
        assert [len(getattr(loaded, split)) for split in SPLITS] == [50, 4, 4]
        contexts = [{asked.context for asked in getattr(loaded, split)} for split in SPLITS]
        assert sum(map(len, contexts)) == 29

    def test_misplaced_answers_are_counted_and_skipped_or_refused(self, write):
        told = paragraph("abc", one=[("b", 1), ("b", 2)], two=[("c", 1)], three=[("c", 2)], four=[("c", -1), ("", 0)])
        path = write(squad(told), name="few.json")
        named = (
            r"4 of 6 answers in .*few.json are not in their contexts: 'b' at 2, of question 'one', 'c' at 1, of .*\.\.\.$"
        )
        with pytest.warns(UserWarning, match="Skipped: " + named) as warned:
            loaded = labelled.load("qa", path, validation=path, test=path)
        assert warned[0].filename == __file__
        assert [(asked.id, asked.answers) for asked in loaded.train] == [
            ("one", (Answer("b", 1),)),
            ("three", (Answer("c", 2),)),
        ]
        with pytest.raises(ValueError, match="Expected answers in their contexts. Received: " + named):
            labelled.load("qa", path, on_corrupt="refuse")
        with pytest.raises(ValueError, match="Unknown on_corrupt; did you mean 'skip'"):
            labelled.load("qa", path, on_corrupt="skp")

    @pytest.mark.parametrize(
        "content",
        ["", "[]", "{}", '{"data": [{}]}', '{"data": [{"paragraphs": [{"qas": [{}]}]}]}', b"\xff", "[" * 100_000]
        + [json.dumps(squad(paragraph("a \ud83d", a=[("a", 0)])))]
        + [json.dumps(squad(paragraph("a", a=[("a", "first")])))],
    )
    def test_other_json_is_refused(self, write, content):
        with pytest.raises(ValueError, match=r"Expected SQuAD's JSON: .* Received: .*few.json, \w+Error"):
            labelled.load("qa", write(content, name="few.json"))

    def test_nothing_is_refused(self, write):
        with pytest.raises(ValueError, match=r"Expected questions. Received: none in .*few.json"):
            labelled.load("qa", write(squad(), name="few.json"))
        with pytest.raises(FileNotFoundError, match=r"a file of questions in SQuAD's JSON. Received: path='gone.json'"):
            labelled.load("qa", "gone.json")


class TinySquad(tfds.core.GeneratorBasedBuilder):
    """Questions, as the published set has them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {name: tfds.features.Text() for name in ("id", "title", "context", "question")}
        features["answers"] = tfds.features.Sequence({"text": tfds.features.Text(), "answer_start": np.int32})
        return tfds.core.DatasetInfo(builder=self, description="For tests.", features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(13), "validation": self._generate_examples(3)}

    def _generate_examples(self, count):
        for number in range(count):
            answers = {"text": ["number", str(number)][: number % 3], "answer_start": [4, 11][: number % 3]}
            given = {"id": str(number), "title": "", "context": f"Die number {number}", "question": "Was?"}
            yield number, given | {"answers": answers}


class TestTensorflowDatasets:
    @pytest.mark.parametrize(
        ("task", "name", "splits", "texts", "options"),
        [
            ("classify", "imdb_reviews", ("train", "test", "unsupervised"), ["text"], {}),
            ("classify", "glue/sst2", SPLITS, ["sentence"], {}),
            ("pair", "glue/mnli", ("train", "validation_matched", "test_matched"), ["premise", "hypothesis"], {}),
            ("pair", "glue/qqp", SPLITS, ["question1", "question2"], {}),
            ("pair", "glue/stsb", SPLITS, ["sentence1", "sentence2"], {"problem": "regression"}),
            ("classify", "ag_news_subset", ("train", "test"), ["description"], {"columns": ("description", "label")}),
        ],
    )
    def test_published_texts(self, task, name, splits, texts, options, tmp_path):
        """With made-up texts, in the published sets' own features and splits."""
        with published(name, splits, tmp_path):
            raw = list(tfds.builder(name).as_dataset(split=splits[1]).as_numpy_iterator())
            loaded = labelled.load(task, f"tfds:{name}", **options)
            names = getattr(tfds.builder(name).info.features["label"], "names", ())
        assert loaded.name == f"tfds:{name}"
        assert loaded.class_names == tuple(names)
        expected = [(tuple(row[key].decode() for key in texts), row["label"].item()) for row in raw]
        second = loaded.validation if splits[1].startswith("validation") else loaded.test
        assert second == expected
        assert all(getattr(loaded, split) for split in SPLITS)

    @pytest.mark.parametrize(("task", "name"), [("classify", "glue/sst2"), ("pair", "glue/stsb")])
    def test_secret_labels_are_no_examples(self, task, name, tmp_path, monkeypatch):
        numbers = name == "glue/stsb"

        def rows(builder, split, **_):
            # A class of -1 is none; a number of -1 may be one, but not if all are.
            labels = np.array([-1] * 23 if split == "test" else [1] * 20 + [-1] * 3, "float32" if numbers else "int64")
            texts = {key: [f"{split} {n}" for n in range(23)] for key in ("sentence", "sentence1", "sentence2")}
            return tf.data.Dataset.from_tensor_slices(texts | {"label": labels})

        with published(name, SPLITS, tmp_path):
            monkeypatch.setattr(tfds.core.DatasetBuilder, "as_dataset", rows)
            loaded = labelled.load(task, f"tfds:{name}", problem="regression" if numbers else "single")
        assert [len(getattr(loaded, split)) for split in SPLITS] == ([21, 23, 2] if numbers else [18, 20, 2])
        assert {texts[0].split()[0] for texts, _ in loaded.test} == {"train"}

    def test_conll2003(self, tmp_path):
        with published("conll2003", ("train", "dev", "test"), tmp_path):
            raw = list(tfds.builder("conll2003").as_dataset(split="dev").as_numpy_iterator())
            loaded = labelled.load("tag", "tfds:conll2003")
            phrases = labelled.load("tag", "tfds:conll2003", columns=("tokens", "chunks"), limit=3)
        expected = [([word.decode() for word in row["tokens"]], row["ner"].tolist()) for row in raw if len(row["tokens"])]
        assert loaded.validation == expected
        assert loaded.class_names[:3] == ("O", "B-PER", "I-PER")
        assert "B-VP" in phrases.class_names
        assert len(phrases.train) <= 3

    def test_questions(self, data_dir):
        loaded = labelled.load("qa", "tfds:tiny_squad", data_dir=data_dir, on_corrupt="refuse")
        assert sorted(loaded.validation) == [
            Question("Was?", "Die number 0", (), "0"),
            Question("Was?", "Die number 1", (Answer("number", 4),), "1"),
            Question("Was?", "Die number 2", (Answer("number", 4), Answer("2", 11)), "2"),
        ]
        assert (len(loaded.train), len(loaded.test)) == (12, 1)
        assert len(labelled.load("qa", "tfds:tiny_squad", data_dir=data_dir, limit=2).validation) == 2

    def test_published_questions(self, tmp_path, monkeypatch):
        def rows(builder, split, **_):
            given = {key: [f"{split} {key} {n}" for n in range(7)] for key in ("id", "title", "context", "question")}
            answers = {"text": [["text"]] * 7, "answer_start": [[len(split) + 4]] * 7}  # of "train context 0"
            return tf.data.Dataset.from_tensor_slices(given | {"answers": answers})

        with published("squad", ("train", "validation"), tmp_path):
            monkeypatch.setattr(tfds.core.DatasetBuilder, "as_dataset", rows)
            loaded = labelled.load("qa", "tfds:squad", on_corrupt="refuse")
        wanted = ("validation question 0", "validation context 0", (Answer("text", 14),), "validation id 0")
        assert loaded.validation[0] == wanted
        assert [len(getattr(loaded, split)) for split in SPLITS] == [6, 7, 1]

    @pytest.mark.parametrize(
        ("task", "name", "options", "match"),
        [
            ("classify", "mnist", {}, r"columns= of a text and a label of 'single'. Received: columns=None, name='mnist'"),
            ("pair", "glue/sst2", {}, r"columns= of two texts and a label of 'single'.* of sentence Text, label ClassLabel"),
            ("classify", "glue/sst2", {"columns": ("sentence", "idx")}, r"columns= of a text and a label of 'single'"),
            ("pair", "glue/stsb", {}, r"columns= of two texts and a label of 'single'"),
            ("classify", "glue/stsb", {"problem": "regression", "columns": ("sentence1", "x")}, r"a label of 'regression'"),
            ("classify", "ag_news_subset", {}, r"columns= of a text and a label"),
            ("classify", "imdb_reviews", {"problem": "multi"}, r"Unknown problem; expected one of 'regression', 'single'"),
            ("classify", "imdb_reviews", {"limit": 0}, r"limit of at least 1, or None. Received: limit=0"),
            ("classify", "imdb_review", {}, r"Unknown dataset; did you mean 'imdb_reviews'"),
            ("tag", "imdb_reviews", {}, r"columns= of words and of tags. Received: columns=None, name='imdb_reviews'"),
            ("tag", "conll2003", {"columns": ("tokens", "tokens")}, r"columns= of words and of tags"),
            ("qa", "imdb_reviews", {}, r"answers of text and answer_start. Received: name='imdb_reviews' of text"),
            ("qa", "squad", {"on_corrupt": "skp"}, r"Unknown on_corrupt; did you mean 'skip'"),
        ],
    )
    def test_other_sets_are_refused(self, task, name, options, match):
        with pytest.raises(ValueError, match=match):
            labelled.load(task, f"tfds:{name}", **options)
