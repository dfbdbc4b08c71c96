"""`bird_focus` for `tensorflow_datasets`: drawn birds on backgrounds that are or are not correlated with the species.

>>> import vitkit
>>> import tensorflow_datasets as tfds
>>> tfds.builder("bird_focus/64").info.features["label"].num_classes
8
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow_datasets as tfds

from vitkit.datasets.birds.places import PLACES
from vitkit.datasets.birds.scene import draw_scene
from vitkit.datasets.birds.species import SPECIES

_DESCRIPTION = """
Birds of eight species, drawn procedurally (posed anatomy, plumage, light) on eight kinds of textured
backgrounds among distractors in the birds' own colours, each with its exact mask, box and background label.
Most birds are off centre; they cover 5 to 14 % of the picture.

The background is correlated with the species as in Waterbirds: with the config's probability a bird is on its
species' own background, otherwise on any background, all equally likely. The probability is 0 in the configs
64, 96 and 224 (pixels) and 0.95 in 64_correlated, 96_correlated and 224_correlated; 64_small has the first few
hundred pictures of 64, for quick checks. Split test_swapped has the birds of test in the same order, with the
same pixels wherever a bird covers them, each on a background that is neither the one in test nor its species'
own: a classifier that looks at the bird loses no accuracy there.
"""

_CITATION = r"""
@inproceedings{sagawa2020distributionally,
  title={Distributionally Robust Neural Networks for Group Shifts: On the Importance of Regularization for Worst-Case Generalization},
  author={Sagawa, Shiori and Koh, Pang Wei and Hashimoto, Tatsunori B. and Liang, Percy},
  booktitle={International Conference on Learning Representations},
  year={2020}
}
@inproceedings{kirichenko2023last,
  title={Last Layer Re-Training is Sufficient for Robustness to Spurious Correlations},
  author={Kirichenko, Polina and Izmailov, Pavel and Wilson, Andrew Gordon},
  booktitle={International Conference on Learning Representations},
  year={2023}
}
"""  # noqa: E501

# Each species' own background, in the order of SPECIES.
HOMES = {
    "robin": "bark",
    "blue_tit": "leaves",
    "goldfinch": "grass",
    "kingfisher": "rock",
    "magpie": "sky",
    "cardinal": "snow",
    "gull": "sand",
    "mallard": "water",
}

# The random stream of each split's birds; test_swapped has those of test.
_BIRD_STREAMS = {"train": 0, "validation": 1, "test": 2, "test_swapped": 2}
_SWAPPED_STREAM = 3


@dataclass(eq=False)
class BirdFocusConfig(tfds.core.BuilderConfig):
    """One variant of `bird_focus`.

    Attributes:
        size: height and width of the pictures in pixels.
        home_probability: probability in [0, 1] that a bird is placed on its species' own background.
        num_train: number of examples in split train.
        num_test: number of examples in each other split.
        seed: random seed; an example depends only on it, on the split and on the index.
    """

    size: int = 64
    home_probability: float = 0.0
    num_train: int = 8000
    num_test: int = 1000
    seed: int = 0


class BirdFocus(tfds.core.GeneratorBasedBuilder):
    """Builder of `bird_focus`.

    Reference:
        Sagawa et al. 2020, "Distributionally Robust Neural Networks for Group Shifts" (Waterbirds: 95 % of
        each kind of bird on its own kind of background); Kirichenko et al. 2023, "Last Layer Re-Training is
        Sufficient for Robustness to Spurious Correlations" (the same birds on other backgrounds). We differ:
        eight species, each with its own background, which can also be drawn as "any background"; test has the
        correlation of train, and test_swapped breaks it; all pictures are drawn.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Eight species, eight places."}  # noqa: RUF012
    BUILDER_CONFIGS = [  # noqa: RUF012
        *(
            BirdFocusConfig(
                name=f"{size}{suffix}",
                description=f"{size} x {size} pixels, own background with probability {probability}.",
                size=size,
                home_probability=probability,
            )
            for suffix, probability in (("", 0.0), ("_correlated", 0.95))
            for size in (64, 96, 224)
        ),
        BirdFocusConfig(
            name="64_small", description="The first pictures of 64, for quick checks.", num_train=256, num_test=64
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            citation=_CITATION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(size, size, 3)),
                    "label": tfds.features.ClassLabel(names=list(SPECIES)),
                    "mask": tfds.features.Image(shape=(size, size, 1)),
                    "box": tfds.features.BBoxFeature(),
                    "background": tfds.features.ClassLabel(names=list(PLACES)),
                }
            ),
            supervised_keys=("image", "label"),
            # Rows stay in order, so that row i of test_swapped is the bird of row i of test.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in _BIRD_STREAMS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        for index in range(config.num_train if split == "train" else config.num_test):
            yield index, draw_example(config, split, index)


def draw_example(config: BirdFocusConfig, split: str, index: int) -> dict:
    """Draws one example.

    Args:
        config: the variant.
        split: "train", "validation", "test" or "test_swapped".
        index: its index in the split. Species alternate, so that every split is balanced.

    Returns:
        dict of image (size, size, 3) uint8, label str, mask (size, size, 1) uint8 (1 = bird), box
        `tfds.features.BBox` around the mask as fractions of the picture, background str.
    """
    species = list(SPECIES)[index % len(SPECIES)]
    seed = [config.seed, _BIRD_STREAMS[split], index]
    bird_rng, place_rng = np.random.default_rng(seed).spawn(2)
    place = _choose_place(species, config.home_probability, place_rng)
    if split == "test_swapped":
        place_rng = np.random.default_rng([config.seed, _SWAPPED_STREAM, index])
        place = place_rng.choice([other for other in PLACES if other not in (place, HOMES[species])])
    image, mask = draw_scene(species, place, config.size, bird_rng, place_rng)
    return {
        "image": image,
        "label": species,
        "mask": mask[..., None],
        "box": _box(mask),
        "background": str(place),
    }


def _choose_place(species: str, home_probability: float, rng: np.random.Generator) -> str:
    at_home = rng.random() < home_probability
    anywhere = rng.choice(list(PLACES))
    return HOMES[species] if at_home else anywhere


def _box(mask: np.ndarray) -> tfds.features.BBox:
    """Returns the bounding box of a mask (size, size), as fractions of its side."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    size = len(mask)
    return tfds.features.BBox(
        ymin=rows[0] / size,
        xmin=columns[0] / size,
        ymax=(rows[-1] + 1) / size,
        xmax=(columns[-1] + 1) / size,
    )
