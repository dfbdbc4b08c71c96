import numpy as np
import pytest
import tensorflow_datasets as tfds

from textkit.datasets.documents import file_documents, tensorflow_documents
from textkit.datasets.splits import SPLITS


def everything(loaded):
    return [document for split in SPLITS for document in getattr(loaded, split)]


class TestFile:
    def test_empty_lines_divide_documents(self, tmp_path):
        path = tmp_path / "few.txt"
        path.write_bytes("\ufeff\r\none\r\n two \r\n\r\n \r\n你\r\nfo\u2028ur\r\n\r\nfive".encode())
        loaded = file_documents(path)
        assert sorted(everything(loaded)) == [["five"], ["one", "two"], ["你", "fo\u2028ur"]]
        assert [len(getattr(loaded, split)) for split in SPLITS] == [1, 1, 1]
        assert loaded.name == str(path)

    def test_lines_can_be_documents(self, tmp_path):
        path = tmp_path / "few.txt"
        path.write_text("".join(f"line {number}\n\n" for number in range(211)))
        loaded = file_documents(path, lines=True)
        assert sorted(everything(loaded)) == sorted([f"line {number}"] for number in range(211))
        assert [len(getattr(loaded, split)) for split in SPLITS] == [191, 10, 10]
        assert file_documents(path, lines=True) == loaded

    def test_tags_are_left_out(self, tmp_path):
        path = tmp_path / "few.txt"
        path.write_text("迈向/v  充满/v 1/2/m\n//w /x plain\n")
        loaded = file_documents(path, tag_mark="/", validation=path, test=path)
        assert loaded.train == [["迈向 充满 1/2", "/ /x plain"]]

    def test_folder(self, tmp_path):
        (tmp_path / "train.txt").write_text("a\n\nb\n\nc")
        (tmp_path / "test.txt").write_text("d\ne")
        loaded = file_documents(str(tmp_path))
        assert (len(loaded.train), len(loaded.validation), loaded.test) == (2, 1, [["d", "e"]])

    def test_several_files(self, tmp_path):
        for name in "abc":
            (tmp_path / f"{name}.txt").write_text(f"{name} 1\n\n{name} 2")
        one, two, three = (tmp_path / f"{name}.txt" for name in "abc")
        loaded = file_documents([one, str(two)], validation=three, test=three)
        assert loaded.train == [["a 1"], ["a 2"], ["b 1"], ["b 2"]]
        assert loaded.validation == loaded.test == [["c 1"], ["c 2"]]
        assert loaded.name == f"{one}, {two}"

    def test_what_is_no_text_is_named_and_skipped_or_refused(self, tmp_path):
        path = tmp_path / "few.txt"
        path.write_bytes(b"a\n\xff\nb\n\nc\0\n\n" + b"d" * 1_000_000)
        with pytest.warns(UserWarning, match=r"1 of 7 lines in .*few.txt are not of text: line 2 is not UTF-8"):
            loaded = file_documents(path)
        assert sorted(everything(loaded)) == [["a", "b"], ["c\0"], ["d" * 1_000_000]]
        with pytest.raises(ValueError, match=r"Expected lines of text. Received: 1 of 7 lines in"):
            file_documents(path, on_corrupt="refuse")

    def test_nothing_is_refused(self, tmp_path):
        path = tmp_path / "few.txt"
        path.write_text(" \n\n")
        with pytest.raises(ValueError, match=r"Expected lines of text. Received: none in .*few.txt"):
            file_documents(path)
        path.write_text("a\nb")
        with pytest.raises(ValueError, match=r"more than 2 texts in train. Received: 1 in"):
            file_documents(path)
        with pytest.raises(FileNotFoundError, match=r"a file of lines of text. Received: path='gone.txt'"):
            file_documents("gone.txt")


class TinyStories(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"id": np.int64, "text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, description="For tests.", features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(13):
            yield number, {"id": number, "text": f"one {number}\n\n two\n" if number else " "}


class TestTensorflowDatasets:
    def test_examples_are_documents(self, tmp_path):
        loaded = tensorflow_documents("tiny_stories", data_dir=str(tmp_path))
        assert loaded.name == "tfds:tiny_stories"
        assert sorted(everything(loaded)) == sorted([f"one {number}", "two"] for number in range(1, 13))
        assert [len(getattr(loaded, split)) for split in SPLITS] == [10, 1, 1]

    def test_other_sets_are_refused(self):
        with pytest.raises(ValueError, match=r"column= of text. Received: column=None, name='glue/mnli' of .*premise Text"):
            tensorflow_documents("glue/mnli")
        with pytest.raises(ValueError, match=r"column= of text. Received: column='label', name='imdb_reviews'"):
            tensorflow_documents("imdb_reviews", column="label")
