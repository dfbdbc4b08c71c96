"""The builder through tensorflow_datasets, and the examples it is made of."""

import numpy as np
import pytest

from vitkit.datasets.bird_focus import HOMES, BirdFocus, BirdFocusConfig, draw_example
from vitkit.datasets.birds.places import PLACES
from vitkit.datasets.birds.species import SPECIES

SPLITS = {"train": 19, "validation": 11, "test": 11, "test_swapped": 11}
TINY = BirdFocusConfig(name="tiny", size=37, num_train=SPLITS["train"], num_test=SPLITS["test"], seed=3)


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    builder = BirdFocus(config=TINY, data_dir=tmp_path_factory.mktemp("tfds"))
    builder.download_and_prepare()
    return builder


def places_of(split, count=400, **config):
    config = BirdFocusConfig(name="any", size=17, **config)
    examples = [draw_example(config, split, index) for index in range(count)]
    return [(example["label"], example["background"]) for example in examples]


def share_at_home(pairs):
    return np.mean([HOMES[species] == place for species, place in pairs])


def test_the_builder_stores_every_example_in_order(builder):
    features = builder.info.features
    for split, count in SPLITS.items():
        rows = list(builder.as_dataset(split=split).as_numpy_iterator())
        assert len(rows) == count
        for index, row in enumerate(rows):
            drawn = draw_example(TINY, split, index)
            np.testing.assert_array_equal(row["image"], drawn["image"])
            np.testing.assert_array_equal(row["mask"], drawn["mask"])
            assert features["label"].int2str(row["label"]) == drawn["label"]
            assert features["background"].int2str(row["background"]) == drawn["background"]


def test_the_dtypes_and_shapes_are_the_promised_ones(builder):
    row = next(builder.as_dataset(split="test").as_numpy_iterator())
    kinds = {name: (value.shape, value.dtype) for name, value in row.items()}
    assert kinds == {
        "image": ((37, 37, 3), np.uint8),
        "label": ((), np.int64),
        "mask": ((37, 37, 1), np.uint8),
        "box": ((4,), np.float32),
        "background": ((), np.int64),
    }
    images, _ = next(builder.as_dataset(split="test", as_supervised=True).as_numpy_iterator())
    np.testing.assert_array_equal(images, row["image"])


def test_the_box_is_the_smallest_one_round_the_mask(builder):
    for row in builder.as_dataset(split="train").as_numpy_iterator():
        mask, (ymin, xmin, ymax, xmax) = row["mask"][..., 0], np.rint(row["box"] * 37).astype(int)
        assert set(np.unique(mask)) == {0, 1}
        assert mask[ymin:ymax, xmin:xmax].sum() == mask.sum()
        for side in (mask[ymin], mask[ymax - 1], mask[:, xmin], mask[:, xmax - 1]):
            assert side.any()


def test_the_configs_cover_sizes_and_correlation():
    configs = {name: (config.size, config.home_probability) for name, config in BirdFocus.builder_configs.items()}
    plain = {str(size): (size, 0.0) for size in (64, 96, 224)}
    correlated = {f"{size}_correlated": (size, 0.95) for size in (64, 96, 224)}
    assert configs == plain | correlated | {"64_small": (64, 0.0)}
    counts = [
        (BirdFocus.builder_configs[name].num_train, BirdFocus.builder_configs[name].num_test) for name in ("64", "64_small")
    ]
    assert counts == [(8000, 1000), (256, 64)]


def test_an_example_depends_on_seed_split_and_index_alone():
    def picture(split="train", index=7, seed=3):
        return draw_example(BirdFocusConfig(name="any", size=37, seed=seed), split, index)["image"]

    first = picture()
    others = [picture("test"), picture("validation"), picture(index=15), picture(seed=4)]
    np.testing.assert_array_equal(first, picture())
    assert all((first != other).mean() > 0.5 for other in others)


def test_every_species_has_a_place_of_its_own():
    assert set(HOMES) == set(SPECIES)
    assert sorted(HOMES.values()) == sorted(PLACES)


def test_every_split_is_balanced():
    labels = [species for species, _ in places_of("train", count=3 * len(SPECIES))]
    assert {labels.count(species) for species in SPECIES} == {3}


def test_the_background_follows_the_species_as_often_as_the_config_says():
    # Half of 0.5 comes from "anywhere", which is one's own place one time in eight: 0.5 + 0.5 / 8.
    for probability, expected in ((0.0, 0.125), (0.5, 0.5625), (1.0, 1.0)):
        pairs = places_of("train", home_probability=probability)
        assert share_at_home(pairs) == pytest.approx(expected, abs=0.06)


def test_uncorrelated_backgrounds_are_equally_likely():
    places = [place for _, place in places_of("train")]
    assert all(places.count(place) == pytest.approx(50, abs=25) for place in PLACES)


@pytest.mark.parametrize("probability", [0.0, 0.95])
def test_swapped_backgrounds_are_neither_the_old_one_nor_the_own(probability):
    test = places_of("test", count=120, home_probability=probability)
    swapped = places_of("test_swapped", count=120, home_probability=probability)
    assert [species for species, _ in test] == [species for species, _ in swapped]
    assert all(old != new for (_, old), (_, new) in zip(test, swapped, strict=True))
    assert share_at_home(swapped) == 0.0
    assert {place for _, place in swapped} == set(PLACES)


def test_swapping_leaves_the_bird_alone():
    for index in range(len(SPECIES)):
        old, new = (draw_example(TINY, split, index) for split in ("test", "test_swapped"))
        mask = old["mask"][..., 0] == 1
        np.testing.assert_array_equal(old["mask"], new["mask"])
        same = (old["image"] == new["image"]).all(axis=-1)
        assert same[mask].mean() > 0.5  # the others are edges, blended with what is behind
        assert same[~mask].mean() < 0.1
