import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from vitkit.datasets.folder import picture_folder

COLOURS = {"crow": (0, 0, 0), "gull": (255, 255, 255), "robin": (255, 0, 0)}


def draw(path, colour=(0, 0, 255), size=(7, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def fill(folder, number, classes=COLOURS):
    """Pictures of one colour a class, each as wide as its number and 3."""
    for name in classes:
        for index in range(number):
            draw(folder / name / f"{index}.png", COLOURS[name], (index + 3, 5))


def read(folder, split="train", **options):
    """The pictures of a split as (class, width), in order."""
    dataset, class_names = picture_folder(folder, split, **options)
    found = []
    for example in dataset.as_numpy_iterator():
        name = class_names[example["label"]]
        np.testing.assert_array_equal(example["image"], np.broadcast_to(COLOURS[name], example["image"].shape))
        found.append((name, example["image"].shape[1]))
    assert len(found) == int(dataset.cardinality())
    return found


def corrupt(path):
    path.write_bytes(path.read_bytes()[:40])


class TestSplits:
    def test_three_splits_share_the_pictures(self, tmp_path):
        fill(tmp_path, 41)
        splits = {split: set(read(tmp_path, split)) for split in ("train", "validation", "test")}
        everything = {(name, index + 3) for name in COLOURS for index in range(41)}
        assert set.union(*splits.values()) == everything
        assert sum(map(len, splits.values())) == len(everything)
        assert 0.7 < len(splits["train"]) / len(everything) < 0.9
        assert min(len(splits["validation"]), len(splits["test"])) > 5

    def test_a_picture_stays_in_its_split_and_the_order_is_fixed(self, tmp_path):
        fill(tmp_path / "few", 11)
        fill(tmp_path / "elsewhere" / "many", 29)
        few, many = read(tmp_path / "few"), read(tmp_path / "elsewhere" / "many")
        assert [example for example in many if example[1] < 14] == few

    def test_classes_are_mixed(self, tmp_path):
        fill(tmp_path, 23)
        assert {name for name, _ in read(tmp_path)[:12]} == set(COLOURS)

    @pytest.mark.parametrize("validation", ["val", "validation"])
    def test_split_folders_are_used(self, tmp_path, validation):
        fill(tmp_path / "train", 5)
        fill(tmp_path / validation, 2)
        assert len(read(tmp_path, "train")) == 15
        assert len(read(tmp_path, "validation")) == 6

    def test_classes_of_all_splits_are_numbered_together(self, tmp_path):
        fill(tmp_path / "train", 2)
        fill(tmp_path / "test", 3, ["robin"])
        dataset, class_names = picture_folder(tmp_path, "test")
        assert class_names == sorted(COLOURS)
        assert [example["label"] for example in dataset.as_numpy_iterator()] == [2, 2, 2]

    def test_missing_split_folder_is_refused(self, tmp_path):
        fill(tmp_path / "train", 2)
        fill(tmp_path / "test", 2)
        with pytest.raises(ValueError, match=r"Unknown split; expected one of 'test', 'train'. Received: split='val"):
            picture_folder(tmp_path, "validation")

    def test_unknown_split_is_refused(self, tmp_path):
        fill(tmp_path, 2)
        with pytest.raises(ValueError, match="Unknown split; did you mean 'train'"):
            picture_folder(tmp_path, "trian")

    def test_split_without_pictures_is_refused(self, tmp_path):
        fill(tmp_path / "train", 1)
        (tmp_path / "test").mkdir()
        with pytest.raises(ValueError, match=r"at least one valid picture in each split.*split='test'"):
            picture_folder(tmp_path, "test")


class TestPictures:
    def test_every_kind_of_picture_becomes_rgb(self, tmp_path):
        place = tmp_path / "train"
        draw(place / "crow" / "deep" / "one.PNG", size=(1, 1))
        for name, mode in (
            ("grey.png", "L"),
            ("deep.png", "I;16"),
            ("cmyk.jpg", "CMYK"),
            ("palette.gif", "P"),
        ):
            Image.new(mode, (7, 5)).save(place / "crow" / name)
        for suffix in ("jpeg", "webp", "bmp", "tif", "tiff"):
            draw(place / "gull" / f"a.{suffix}")
        frames = [Image.new("RGB", (7, 5), colour) for colour in ("red", "blue")]
        frames[0].save(place / "gull" / "animated.gif", save_all=True, append_images=frames[1:])
        dataset, _ = picture_folder(tmp_path)
        assert dataset.element_spec["image"].shape.as_list() == [None, None, 3]
        examples = list(dataset.as_numpy_iterator())
        assert len(examples) == 11
        assert sorted(example["image"].shape for example in examples) == [(1, 1, 3)] + 10 * [(5, 7, 3)]
        assert {example["image"].dtype for example in examples} == {np.dtype("uint8")}
        assert {example["label"].dtype for example in examples} == {np.dtype("int64")}

    def test_other_and_hidden_files_are_passed_over(self, tmp_path):
        place = tmp_path / "train"
        fill(place, 2)
        (place / "crow" / "notes.txt").write_text("not a picture")
        (place / "crow" / "._0.png").write_bytes(b"left by another system")
        (place / "README.md").write_text("no class")
        draw(place / ".thumbnails" / "0.png")
        (place / "empty").mkdir()
        assert len(read(tmp_path)) == 6


class TestCorrupt:
    def test_skip_warns_of_number_and_names_and_goes_on(self, tmp_path):
        fill(tmp_path / "train", 7)
        for index in range(4):
            corrupt(tmp_path / "train" / "robin" / f"{index}.png")
        with pytest.warns(UserWarning, match=r"Skipped: 4 of 21 pictures in .*: (robin/\d.png, ){3}\.\.\.") as caught:
            found = read(tmp_path, on_corrupt="skip")
        assert len(caught) == 1
        assert len(found) == 17
        assert {("robin", index + 3) for index in range(4)}.isdisjoint(found)

    def test_refuse_names_the_picture_and_the_reason(self, tmp_path):
        fill(tmp_path / "train", 3)
        corrupt(tmp_path / "train" / "gull" / "1.png")
        expected = r"Received: 1 of 9 pictures in .*train cannot be read: gull/1.png \(Expected .*\)$"
        with pytest.raises(ValueError, match=expected) as caught:
            picture_folder(tmp_path, on_corrupt="refuse")
        assert "\n" not in str(caught.value)

    def test_trust_does_not_look(self, tmp_path):
        fill(tmp_path / "train", 3)
        corrupt(tmp_path / "train" / "gull" / "1.png")
        dataset, _ = picture_folder(tmp_path, on_corrupt="trust")
        assert int(dataset.cardinality()) == 9

    def test_only_the_asked_split_is_checked(self, tmp_path):
        fill(tmp_path / "train", 2)
        fill(tmp_path / "test", 2)
        corrupt(tmp_path / "test" / "gull" / "1.png")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(read(tmp_path, "train")) == 6

    def test_nothing_whole_is_refused(self, tmp_path):
        fill(tmp_path / "train", 1)
        for path in tmp_path.rglob("*.png"):
            corrupt(path)
        with (
            pytest.warns(UserWarning, match="Skipped: 3 of 3"),
            pytest.raises(ValueError, match="at least one valid picture"),
        ):
            picture_folder(tmp_path)

    def test_unknown_option_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="Unknown on_corrupt; did you mean 'skip'"):
            picture_folder(tmp_path, on_corrupt="skipp")


class TestFolder:
    def test_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"Expected a folder of class folders, found none.*nowhere$"):
            picture_folder(tmp_path / "nowhere")

    def test_empty_folder(self, tmp_path):
        with pytest.raises(ValueError, match=r"two or more class folders.*with classes \[\]$"):
            picture_folder(tmp_path)

    def test_one_class(self, tmp_path):
        fill(tmp_path, 2, ["gull"])
        with pytest.raises(ValueError, match=r"two or more class folders.*with classes \['gull'\]$"):
            picture_folder(tmp_path)

    def test_pictures_outside_class_folders(self, tmp_path):
        draw(tmp_path / "a.png")
        draw(tmp_path / "b.png")
        with pytest.raises(ValueError, match=r"folder/class/picture.jpg. Received: .*with classes \[\]$"):
            picture_folder(tmp_path)

    def test_picture_that_goes_missing_stops_the_iteration(self, tmp_path):
        fill(tmp_path / "train", 2)
        dataset, _ = picture_folder(tmp_path)
        shutil.rmtree(tmp_path / "train" / "gull")
        with pytest.raises(Exception, match=r"No such file or directory: .*gull"):
            list(dataset)
