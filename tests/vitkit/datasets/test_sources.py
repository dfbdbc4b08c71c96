import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from vitkit import datasets


class MarkedBirds(tfds.core.GeneratorBasedBuilder):
    """Grey pictures of many sizes, with all that can be known of them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 1)),
                "label": tfds.features.ClassLabel(names=["crow", "gull", "robin"]),
                "mask": tfds.features.Image(shape=(None, None, 1)),
                "box": tfds.features.BBoxFeature(),
                "background": tfds.features.ClassLabel(names=["sea", "wood"]),
                "camera": tfds.features.Text(),
            }
        )
        return tfds.core.DatasetInfo(builder=self, description="For tests.", features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(7), "test": self._generate_examples(2)}

    def _generate_examples(self, number):
        for index in range(number):
            mask = np.zeros((11, 5 + index, 1), "uint8")
            mask[2:7, 1:4] = 1
            yield (
                index,
                {
                    "image": 100 * mask + np.uint8(index),
                    "label": index % 3,
                    "mask": mask,
                    "box": tfds.features.BBox(ymin=0.1, xmin=0.2, ymax=0.3, xmax=0.5),
                    "background": index % 2,
                    "camera": "none",
                },
            )


def of_features(**features):
    """A builder of a data set with these features and no examples."""

    class NoExamples(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, description="For tests.", features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {}

        def _generate_examples(self):
            yield from ()

    return NoExamples


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tensorflow_datasets"))


@pytest.fixture
def mocked(tmp_path):
    """A function that makes `tensorflow_datasets` believe that a set is there, with these splits."""

    def write_info(name, **splits):
        builder = tfds.builder(name, data_dir=tmp_path)
        infos = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[length],
                num_bytes=0,
                filename_template=tfds.core.ShardedFileTemplate(
                    data_dir=builder.data_dir, dataset_name=name, split=split, filetype_suffix="tfrecord"
                ),
            )
            for split, length in splits.items()
        ]
        builder.info.set_splits(tfds.core.SplitDict(infos))
        builder.data_path.mkdir(parents=True)
        builder.info.write_to_directory(builder.data_dir)
        return tfds.testing.mock_data(num_examples=splits["train"], data_dir=str(tmp_path))

    return write_info


class TestTensorflowDatasets:
    def test_everything_known_is_there(self, data_dir):
        source = datasets.load("marked_birds", data_dir=data_dir)
        assert source.class_names == ("crow", "gull", "robin")
        assert (source.num_examples, source.name) == (7, "marked_birds")
        examples = {int(example["image"][0, 0, 0]): example for example in source.dataset.as_numpy_iterator()}
        assert sorted(examples) == list(range(7))
        for index, example in examples.items():
            assert sorted(example) == ["background", "box", "image", "label", "mask"]
            mask = np.zeros((11, 5 + index), bool)
            mask[2:7, 1:4] = True
            np.testing.assert_array_equal(example["mask"], mask)
            grey = np.where(mask, 100, 0) + index
            np.testing.assert_array_equal(example["image"], np.repeat(grey[..., None], 3, axis=2))
            np.testing.assert_allclose(example["box"], [0.1, 0.2, 0.3, 0.5])
            assert (example["label"], example["background"]) == (index % 3, index % 2)
            assert example["image"].dtype == np.uint8
            assert example["mask"].dtype == bool
            assert (example["label"].dtype, example["background"].dtype) == (np.int64, np.int64)

    def test_other_splits_and_slices(self, data_dir):
        assert datasets.load("marked_birds", "test", data_dir=data_dir).num_examples == 2
        part = datasets.load("marked_birds", "train[:3]", data_dir=data_dir)
        assert part.num_examples == len(list(part.dataset)) == 3

    @pytest.mark.parametrize(("image_size", "shape"), [(22, (22, 22)), ((22, 14), (22, 14))])
    def test_image_size_resizes_pictures_and_masks(self, data_dir, image_size, shape):
        source = datasets.load("marked_birds", image_size=image_size, data_dir=data_dir)
        assert tuple(source.dataset.element_spec["image"].shape) == (*shape, 3)
        assert tuple(source.dataset.element_spec["mask"].shape) == shape
        for example in source.dataset.as_numpy_iterator():
            rows = np.flatnonzero(example["mask"].any(1))
            assert (rows[0], rows[-1]) == (4, 13)  # twice as high
            inside, outside = example["image"][example["mask"]], example["image"][~example["mask"]]
            assert example["image"].dtype == np.uint8
            assert inside.mean() - outside.mean() > 60
            np.testing.assert_allclose(example["box"], [0.1, 0.2, 0.3, 0.5])

    def test_unknown_split_is_refused(self, data_dir):
        with pytest.raises(ValueError, match=r"Unknown split; did you mean 'train'\? Received: split='trian'"):
            datasets.load("marked_birds", "trian", data_dir=data_dir)
        with pytest.raises(ValueError, match=r"Unknown split; expected one of 'test', 'train'. Received: split='dev"):
            datasets.load("marked_birds", "dev[:50%]", data_dir=data_dir)

    def test_masks_of_birds_are_what_most_annotators_marked(self, mocked):
        with mocked("caltech_birds2011", train=5, test=3):
            source = datasets.load("caltech_birds2011")
            raw = tfds.builder("caltech_birds2011").as_dataset(split="train")
            assert (source.num_examples, len(source.class_names)) == (5, 200)
            assert tuple(source.dataset.element_spec["mask"].shape) == (None, None)
            for example, given in zip(source.dataset.as_numpy_iterator(), raw.as_numpy_iterator(), strict=True):
                np.testing.assert_array_equal(example["image"], given["image"])
                np.testing.assert_array_equal(example["mask"], given["segmentation_mask"][..., 0] > 127)
                np.testing.assert_array_equal(example["box"], given["bbox"])
                assert sorted(example) == ["box", "image", "label", "mask"]

    def test_masks_of_pets_are_the_class_1(self, mocked):
        with mocked("oxford_iiit_pet", train=5, test=3):
            source = datasets.load("oxford_iiit_pet")
            raw = tfds.builder("oxford_iiit_pet").as_dataset(split="train")
            for example, given in zip(source.dataset.as_numpy_iterator(), raw.as_numpy_iterator(), strict=True):
                np.testing.assert_array_equal(example["mask"], given["segmentation_mask"][..., 0] == 1)

    @pytest.mark.parametrize(
        ("name", "shape", "classes"),
        [
            ("oxford_flowers102", (None, None, 3), 102),
            ("mnist", (28, 28, 3), 10),
            ("cifar100", (32, 32, 3), 100),
        ],
    )
    def test_sets_with_pictures_and_labels_alone(self, mocked, name, shape, classes):
        with mocked(name, train=5):
            source = datasets.load(name)
            assert tuple(source.dataset.element_spec["image"].shape) == shape
            assert len(source.class_names) == classes
            for example in source.dataset.as_numpy_iterator():
                assert sorted(example) == ["image", "label"]
                assert example["image"].shape[-1] == 3

    def test_no_name_is_not_the_folder_where_we_are(self):
        with pytest.raises(ValueError, match=r"Unknown dataset; .* Received: dataset=''"):
            datasets.load("")

    def test_unknown_name_offers_near_names(self):
        with pytest.raises(ValueError, match=r"Unknown dataset; did you mean .*'oxford_flowers102'"):
            datasets.load("oxford_flower102")

    @pytest.mark.parametrize("name", ["mnist:9.9.9", "mnist/grey", "mnist?"])
    def test_unknown_configuration_or_version_offers_what_is_there(self, name):
        with pytest.raises(ValueError, match=r"Unknown dataset; did you mean .*'mnist'"):
            datasets.load(name)

    def test_unknown_configuration_offers_the_near_one(self):
        with pytest.raises(ValueError, match=r"Unknown dataset; did you mean .*'bird_focus/64'"):
            datasets.load("bird_focus/63")

    def test_set_without_labels_is_refused(self):
        with pytest.raises(
            ValueError,
            match=r"image Image and label ClassLabel. Received: name='div2k' with .* Image, .* Image",
        ):
            datasets.load("div2k")

    @pytest.mark.parametrize(("channels", "dtype"), [(4, "uint8"), (1, "uint16")])
    def test_other_pictures_are_refused(self, monkeypatch, tmp_path, channels, dtype):
        builder = of_features(
            image=tfds.features.Image(shape=(7, 5, channels), dtype=np.dtype(dtype)),
            label=tfds.features.ClassLabel(num_classes=2),
        )
        monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder(data_dir=tmp_path))
        expected = rf"uint8 pictures with 1 or 3 channels. Received: .* with {dtype} \(7, 5, {channels}\)"
        with pytest.raises(ValueError, match=expected):
            datasets.load("no_examples")

    @pytest.mark.parametrize("kind", [AssertionError, tfds.download.DownloadError])
    def test_data_that_cannot_be_had_is_told_in_one_line(self, monkeypatch, data_dir, kind):
        def refuse(self):
            raise kind("Manual directory is empty.\nPut the data there.\n")

        monkeypatch.setattr(MarkedBirds, "download_and_prepare", refuse)
        with pytest.raises(ValueError, match=r"^Manual directory is empty. Put .* Received: name='marked_birds'$"):
            datasets.load("marked_birds", data_dir=data_dir)


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        for name, colour in (("crow", "black"), ("gull", "white")):
            (tmp_path / "train" / name).mkdir(parents=True)
            for width in (5, 7, 11):
                Image.new("RGB", (width, 3), colour).save(tmp_path / "train" / name / f"{width}.png")
        return tmp_path

    def test_folder_is_a_source(self, folder):
        source = datasets.load(folder)
        assert source.class_names == ("crow", "gull")
        assert (source.num_examples, source.name) == (6, str(folder))
        for example in source.dataset.as_numpy_iterator():
            assert example["image"].mean() == 255 * example["label"]

    def test_image_size(self, folder):
        source = datasets.load(str(folder), image_size=13)
        assert tuple(source.dataset.element_spec["image"].shape) == (13, 13, 3)

    def test_on_corrupt_reaches_the_folder(self, folder):
        (folder / "train" / "gull" / "5.png").write_bytes(b"")
        with pytest.raises(ValueError, match=r"1 of 6 pictures .* gull/5.png"):
            datasets.load(folder, on_corrupt="refuse")
        with pytest.warns(UserWarning, match=r"Skipped: 1 of 6 .* gull/5.png"):
            assert datasets.load(folder, on_corrupt="skip").num_examples == 5

    def test_folder_goes_before_a_set_of_the_same_name(self, folder, monkeypatch):
        monkeypatch.chdir(folder.parent)
        folder.rename(folder.parent / "mnist")
        assert datasets.load("mnist").class_names == ("crow", "gull")

    @pytest.mark.parametrize("name", ["./nowhere", "/nowhere", "~/nowhere"])
    def test_path_that_is_not_there_is_no_name(self, name):
        with pytest.raises(FileNotFoundError, match=r"folder of class folders.*nowhere"):
            datasets.load(name)


def test_import_leaves_tensorflow_datasets_alone():
    code = "import sys, vitkit.datasets; sys.exit('tensorflow_datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
