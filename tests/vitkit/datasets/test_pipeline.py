import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from vitkit.datasets.pipeline import CutMix, MixUp, RandAugment, pipeline, resized
from vitkit.preprocessing import prepare

HALVES = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
# What leaves the bytes as they are, so that a test can read them.
PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255, 1 / 255, 1 / 255)}
SHAPE = (10, 14, 3)
CLASSES = 7


def one_size(number=23, height=11, width=13):
    """Noise, whose label is its first byte's remainder."""
    images = np.random.default_rng(0).integers(0, 256, (number, height, width, 3), dtype="uint8")
    labels = images[:, 0, 0, 0].astype("int64") % CLASSES
    return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})


def many_sizes(number=23):
    generator = np.random.default_rng(1)
    examples = [
        {
            "image": generator.integers(0, 256, (*generator.integers(1, 31, 2), 3), dtype="uint8"),
            "label": np.int64(index % CLASSES),
        }
        for index in range(number)
    ]
    signature = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "label": tf.TensorSpec((), tf.int64),
    }
    dataset = tf.data.Dataset.from_generator(lambda: iter(examples), output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(number))


def flat(number, colour=(200, 100, 50)):
    """Pictures of one colour, labelled by their order."""
    images = np.broadcast_to(np.array(colour, "uint8"), (number, 11, 13, 3))
    return tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(number)})


def batches(dataset):
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def assert_same(some, others):
    assert len(some) == len(others)
    for (images, labels), (other_images, other_labels) in zip(some, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


EVERYTHING = {
    "rand_augment": True,
    "mixup": 0.8,
    "cutmix": 1.0,
    "num_classes": CLASSES,
    "shuffle_buffer": 5,
}


class TestEvaluation:
    @pytest.mark.parametrize("source", [one_size, many_sizes])
    @pytest.mark.parametrize("resize", ["squash", "crop"])
    def test_is_what_prepare_makes_in_order(self, source, resize):
        options = {"interpolation": "bicubic", "resize": resize, **HALVES}
        made = batches(pipeline(source(), 5, SHAPE, False, **options))
        assert [len(labels) for _, labels in made] == [5, 5, 5, 5, 3]
        examples = list(source().as_numpy_iterator())
        expected = [prepare(example["image"][None], SHAPE, **options)[0] for example in examples]
        np.testing.assert_allclose(np.concatenate([images for images, _ in made]), expected, atol=1e-5)
        assert [label for _, labels in made for label in labels] == [example["label"] for example in examples]

    def test_ignores_what_is_for_training(self):
        assert_same(
            batches(pipeline(one_size(), 5, SHAPE, False, **EVERYTHING, **HALVES)),
            batches(pipeline(one_size(), 5, SHAPE, False, **HALVES)),
        )


class TestTraining:
    @pytest.mark.parametrize("source", [one_size, many_sizes])
    def test_shapes_and_dtypes(self, source):
        made = pipeline(source(), 5, SHAPE, True, **HALVES)
        images, labels = made.element_spec
        assert (tuple(images.shape), images.dtype) == ((5, *SHAPE), tf.float32)
        assert (tuple(labels.shape), labels.dtype) == ((5,), tf.int64)
        assert int(made.cardinality()) == len(batches(made)) == 4

    def test_each_epoch_holds_each_picture_once_in_another_order(self):
        made = pipeline(flat(23), 5, SHAPE, True, drop_remainder=False, **HALVES)
        orders = [[label for _, labels in batches(made) for label in labels] for _ in range(2)]
        assert sorted(orders[0]) == sorted(orders[1]) == list(range(23))
        assert list(range(23)) != orders[0] != orders[1]

    def test_pictures_and_labels_stay_together(self):
        images = np.broadcast_to(np.arange(23, dtype="uint8")[:, None, None, None], (23, 11, 13, 3))
        dataset = tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(23)})
        for images, labels in pipeline(dataset, 5, SHAPE, True, **PLAIN):
            np.testing.assert_allclose(images, np.broadcast_to(labels[:, None, None, None], images.shape), atol=1e-4)

    def test_without_augmentation_pictures_are_as_in_evaluation(self):
        options = {"augment": (), "shuffle_buffer": 1, "drop_remainder": False, **HALVES}
        trained, evaluated = (batches(pipeline(many_sizes(), 5, SHAPE, training, **options)) for training in (True, False))
        for (images, labels), (expected, expected_labels) in zip(trained, evaluated, strict=True):
            np.testing.assert_allclose(images, expected, atol=0.51 / 127.5)  # rounded to bytes
            np.testing.assert_array_equal(labels, expected_labels)

    def test_flip_turns_about_half_of_the_pictures(self):
        ramp = np.broadcast_to(np.arange(13, dtype="uint8")[:, None], (97, 11, 13, 3))
        dataset = tf.data.Dataset.from_tensor_slices({"image": ramp, "label": np.zeros(97, "int64")})
        ((images, _),) = batches(pipeline(dataset, 97, (11, 13, 3), True, augment=("flip",), **PLAIN))
        turned = images[:, 0, 0, 0] > 6
        assert 0.3 < turned.mean() < 0.7
        expected = np.where(turned[:, None, None, None], ramp[:, :, ::-1], ramp)
        np.testing.assert_allclose(images, expected, atol=1e-4)

    def test_crop_shows_a_part_of_the_drawn_size(self):
        """A slope shows where in the picture each side of the part lay."""
        rows, columns = np.mgrid[:101, :101]
        slopes = np.broadcast_to(np.stack([rows, columns, 0 * rows], 2).astype("uint8"), (211, 101, 101, 3))
        dataset = tf.data.Dataset.from_tensor_slices({"image": slopes, "label": np.zeros(211, "int64")})
        options = {"augment": ("crop",), "min_crop_area": 0.25, **PLAIN}
        ((images, _),) = batches(pipeline(dataset, 211, (50, 50, 3), True, **options))
        top, bottom = images[:, 0, 25, 0], images[:, -1, 25, 0]
        left, right = images[:, 25, 0, 1], images[:, 25, -1, 1]
        height, width = (bottom - top) * 50 / 49 / 101, (right - left) * 50 / 49 / 101
        area, proportion = height * width, width / height
        assert 0.24 < area.min() < 0.35
        assert 0.9 < area.max() < 1.03
        assert 0.74 < proportion.min() < 0.85
        assert 1.18 < proportion.max() < 1.36
        assert top.min() < 3 < 40 < top.max()
        assert left.min() < 3 < 40 < left.max()
        assert max(bottom.max(), right.max()) <= 100

    def test_crop_of_one_pixel(self):
        dataset = tf.data.Dataset.from_tensors({"image": np.full((1, 1, 3), 77, "uint8"), "label": np.int64(3)})
        ((images, _),) = batches(pipeline(dataset, 1, SHAPE, True, **PLAIN))
        np.testing.assert_allclose(images, np.full((1, *SHAPE), 77), atol=1e-4)

    def test_rand_augment_changes_pictures_within_their_range(self):
        plain, changed = (
            batches(pipeline(one_size(), 23, SHAPE, True, rand_augment=rand_augment, **PLAIN))[0][0]
            for rand_augment in (False, 0.7)
        )
        assert (np.abs(plain - changed).max((1, 2, 3)) > 3).mean() > 0.5
        assert changed.min() >= 0
        assert changed.max() <= 255.01

    def test_cache_reads_the_source_once_and_augments_each_time(self, tmp_path):
        reads = []

        def examples():
            reads.append(1)
            yield from one_size().as_numpy_iterator()

        source = tf.data.Dataset.from_generator(examples, output_signature=one_size().element_spec)
        for cache in (True, str(tmp_path / "cache")):
            reads.clear()
            made = pipeline(source, 23, SHAPE, True, cache=cache, **HALVES)
            first, second = batches(made), batches(made)
            assert len(reads) == 1
            assert sorted(first[0][1]) == sorted(second[0][1])
            assert np.abs(np.sort(first[0][0], axis=None) - np.sort(second[0][0], axis=None)).max() > 0
        assert any(path.name.startswith("cache") for path in tmp_path.iterdir())

    def test_data_is_sharded_between_workers(self):
        options = pipeline(one_size(), 5, SHAPE, True, **HALVES).options()
        assert options.experimental_distribute.auto_shard_policy == tf.data.experimental.AutoShardPolicy.DATA


class TestDeterminism:
    @pytest.mark.parametrize("source", [one_size, many_sizes])
    def test_seed_decides_every_epoch(self, source):
        runs = []
        for seed in (3, 3, 4):
            made = pipeline(source(), 5, SHAPE, True, seed=seed, **EVERYTHING, **HALVES)
            runs.append([batches(made) for _ in range(2)])
        for epoch in range(2):
            assert_same(runs[0][epoch], runs[1][epoch])
            assert np.abs(runs[0][epoch][0][0] - runs[2][epoch][0][0]).max() > 0.1
        assert np.abs(runs[0][0][0][0] - runs[0][1][0][0]).max() > 0.1

    def test_an_epoch_does_not_depend_on_how_far_the_last_was_read(self):
        whole, cut = (pipeline(one_size(), 5, SHAPE, True, **EVERYTHING, **HALVES) for _ in range(2))
        batches(whole)
        list(itertools.islice(cut, 2))
        assert_same(batches(whole), batches(cut))

    @pytest.mark.parametrize("source", [one_size, many_sizes])
    def test_an_endless_pipeline_gives_every_epoch_from_the_first_one_asked_for(self, source):
        given = {"batch_size": 5, "image_shape": SHAPE, "training": True, "seed": 3, **EVERYTHING, **HALVES}
        whole = pipeline(source(), first_epoch=0, **given)
        assert whole.cardinality() == tf.data.INFINITE_CARDINALITY
        epochs = batches(whole.take(12))
        tf.random.set_seed(99)  # decides nothing here
        assert_same(batches(pipeline(source(), first_epoch=2, **given).take(4)), epochs[8:])
        assert np.abs(epochs[0][0] - epochs[4][0]).max() > 0.1

    def test_an_endless_pipeline_ends_each_epoch(self):
        made = pipeline(flat(23), 5, SHAPE, True, first_epoch=7, drop_remainder=False, cache=True, **HALVES)
        labels = [labels.tolist() for _, labels in batches(made.take(10))]
        for epoch in (labels[:5], labels[5:]):
            assert sorted(itertools.chain(*epoch)) == list(range(23))
            assert [len(batch) for batch in epoch] == [5, 5, 5, 5, 3]

    def test_another_process_on_one_thread_makes_the_same(self):
        code = (
            "import numpy as np, tensorflow as tf\n"
            "tf.config.threading.set_inter_op_parallelism_threads(1)\n"
            "from tests.vitkit.datasets import test_pipeline as t\n"
            "made = t.pipeline(t.one_size(), 5, t.SHAPE, True, first_epoch=2, **t.EVERYTHING, **t.HALVES)\n"
            "print(*(float(np.float64(i).sum()) for i, _ in t.batches(made.take(7))))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
        here = pipeline(one_size(), 5, SHAPE, True, first_epoch=2, **EVERYTHING, **HALVES)
        expected = [images.astype("float64").sum() for images, _ in batches(here.take(7))]
        np.testing.assert_allclose(list(map(float, done.stdout.split())), expected, rtol=1e-9, err_msg=done.stderr)


class TestMixing:
    @pytest.mark.parametrize("mixing", [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.1, "cutmix": 0.1}])
    def test_labels_sum_to_one(self, mixing):
        made = batches(pipeline(one_size(97), 31, SHAPE, True, num_classes=CLASSES, **mixing, **HALVES))
        labels = np.concatenate([labels for _, labels in made])
        assert labels.dtype == np.float32
        assert labels.shape == (93, CLASSES)
        np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
        assert ((labels > 0.01).sum(1) == 2).any()
        assert ((labels > 0.01).sum(1) <= 2).all()
        assert all(np.isfinite(images).all() for images, _ in made)

    @pytest.mark.parametrize("mixing", [{"mixup": 0.8}, {"cutmix": 1.0}])
    def test_pictures_are_mixed_as_their_labels_say(self, mixing):
        """Black is class 0 and white class 1: a picture's mean is its label's second number."""
        labels = np.arange(62) % 2
        images = np.broadcast_to((255 * labels).astype("uint8")[:, None, None, None], (62, 11, 13, 3))
        dataset = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
        options = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "num_classes": 2, **mixing}
        ((images, labels),) = batches(pipeline(dataset, 62, (41, 43, 3), True, **options))
        assert ((labels[:, 1] > 0.1) & (labels[:, 1] < 0.9)).any()
        tolerance = 1e-5 if "mixup" in mixing else 0.05  # CutMix's area is not of whole pixels
        np.testing.assert_allclose(images.mean((1, 2, 3)), labels[:, 1], atol=tolerance)
        is_pure = ((images < 0.01) | (images > 0.99)).all()
        assert is_pure == ("cutmix" in mixing)

    def test_both_take_turns(self):
        labels = np.arange(200) % 2
        images = np.broadcast_to((255 * labels).astype("uint8")[:, None, None, None], (200, 11, 13, 3))
        dataset = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
        options = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "num_classes": 2}
        made = batches(pipeline(dataset, 10, (11, 13, 3), True, mixup=0.8, cutmix=1.0, **options))
        blended = [bool(((images > 0.01) & (images < 0.99)).any()) for images, _ in made]
        assert 4 <= sum(blended) <= 16


class TestLayers:
    def test_rand_augment_is_keras_to_the_last_digit(self):
        """Given the same seeds, the operations that were drawn do what Keras's do."""

        class KerasRandAugment(keras.layers.RandAugment):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.seeds = ours.seeds

            def _get_seed_generator(self, backend=None):
                return self.seeds

        ours = RandAugment(factor=0.5)
        theirs = KerasRandAugment(factor=0.5)

        @tf.function
        def both(image, draw):
            mine = ours.drawn(draw, image)
            ours.seeds.start(draw)
            return mine, theirs(image)

        changed = 0
        for number, example in enumerate(one_size(29).as_numpy_iterator()):
            image = tf.constant(example["image"], tf.float32)
            mine, expected = both(image, tf.constant([number, 0], tf.int64))
            np.testing.assert_array_equal(mine, expected)
            changed += np.abs(mine - image).max() > 1
        assert changed > 15

    @pytest.mark.parametrize("make", [lambda: MixUp(alpha=0.5), lambda: CutMix(factor=(1.0, 1.0))])
    def test_a_draw_decides(self, make):
        images = np.random.default_rng(0).random((11, 5, 7, 3)).astype("float32")
        layer = make()

        @tf.function
        def mix(number):
            given = {"images": tf.constant(images), "labels": tf.one_hot(range(11), 11)}
            return layer.drawn(tf.stack([number, 0]), given)["images"]

        first, again, other = (mix(tf.constant(number, tf.int64)) for number in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 0.1


class TestResized:
    def test_boxes_stay_and_masks_follow(self):
        mask = np.zeros((3, 6, 10), bool)
        mask[:, 2:4, 5:10] = True
        images = np.where(mask[..., None], 200, 0).astype("uint8").repeat(3, axis=3)
        box = np.array([1 / 3, 1 / 2, 2 / 3, 1], "float32")
        dataset = tf.data.Dataset.from_tensor_slices(
            {"image": images, "mask": mask, "label": np.arange(3), "box": np.tile(box, (3, 1))}
        )
        for index, example in enumerate(resized(dataset, (12, 20)).as_numpy_iterator()):
            expected = np.zeros((12, 20), bool)
            expected[4:8, 10:20] = True
            np.testing.assert_array_equal(example["mask"], expected)
            assert example["mask"].dtype == bool
            assert example["image"].dtype == np.uint8
            assert example["image"][5, 15, 0] == 200
            np.testing.assert_array_equal(example["box"], box)
            assert example["label"] == index


class TestRefusals:
    def refuse(self, match, dataset=None, batch_size=5, **options):
        with pytest.raises(ValueError, match=match) as caught:
            pipeline(one_size() if dataset is None else dataset, batch_size, SHAPE, True, **HALVES, **options)
        assert "\n" not in str(caught.value)

    def test_unknown_augmentation(self):
        self.refuse("Unknown augmentation; did you mean 'crop'", augment=("corp",))

    @pytest.mark.parametrize("name", ["mixup", "cutmix"])
    @pytest.mark.parametrize("value", [-0.5, 0.01, 2])
    def test_alpha_out_of_range(self, name, value):
        self.refuse(rf"Expected 0 or a number in \[0.1, 1\]. Received: {name}={value}", **{name: value})

    @pytest.mark.parametrize("area", [0, 1.5])
    def test_area_out_of_range(self, area):
        self.refuse(rf"fraction in \(0, 1\]. Received: min_crop_area={area}", min_crop_area=area)

    def test_mixing_without_the_number_of_classes(self):
        self.refuse("MixUp and CutMix need num_classes. Received: num_classes=None", mixup=0.8)

    def test_fewer_pictures_than_a_batch(self):
        self.refuse("at least one full batch. Received: batch_size=29 for 23 pictures", batch_size=29)

    def test_unknown_interpolation(self):
        with pytest.raises(ValueError, match="Unknown interpolation; did you mean 'bilinear'"):
            pipeline(one_size(), 5, SHAPE, True, interpolation="bilinar", **HALVES)
