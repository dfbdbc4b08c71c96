import dataclasses
import json
from types import MappingProxyType

import numpy as np
import pytest
import tensorflow as tf

from vitkit import focus, regions
from vitkit.datasets.sources import Source
from vitkit.evaluation import evaluate, table

HEIGHT, WIDTH = 11, 13
GREY = 128
COLOURS = {"robin": (255, 0, 0), "jay": (0, 0, 255)}


@dataclasses.dataclass
class Seen:
    logits: np.ndarray | None
    target: np.ndarray | None
    heatmap: np.ndarray
    evidence: np.ndarray
    method: str


class ColourModel:
    """Knows robins by red and jays by blue, wherever they are; when it sees but grey it says robin."""

    class_names = None
    preprocessing = MappingProxyType(
        {
            "image_shape": (HEIGHT, WIDTH, 3),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "interpolation": "bilinear",
        }
    )

    def predict_on_batch(self, images):
        red, _, blue = np.moveaxis(np.asarray(images).sum((1, 2)), -1, 0)
        return np.stack([red, blue], 1) / 10


def birds(labels, places=None):
    """Pictures of grey ground on which a bird of 3 x 2 pixels, in its class's colour, sits at its place."""
    pictures = np.full((len(labels), HEIGHT, WIDTH, 3), GREY, "uint8")
    masks = np.zeros((len(labels), HEIGHT, WIDTH), bool)
    places = places or [(1, 1)] * len(labels)
    for picture, mask, label, (row, column) in zip(pictures, masks, labels, places, strict=True):
        mask[row : row + 3, column : column + 2] = True
        picture[mask] = list(COLOURS.values())[label]
    return {"image": pictures, "label": np.array(labels, "int64"), "mask": masks}


def source_of(examples, class_names=tuple(COLOURS)):
    return Source(tf.data.Dataset.from_tensor_slices(examples), tuple(class_names), len(examples["image"]), "birds")


def looks_at_birds(model, images, method, target):
    """A stand-in for `vitkit.explain`: its heatmap is exactly what is not grey."""
    heatmap = (np.abs(images.astype(int) - GREY).max(-1) > 1).astype("float32")
    logits = model.predict_on_batch(images / 127.5 - 1) if model else None
    return Seen(logits, target, heatmap, np.zeros((len(images), 3, 5)), f"{method}-seen")


def evaluated(examples, **options):
    source = options.pop("source", None) or source_of(examples)
    return evaluate(options.pop("model", ColourModel()), source, explain=looks_at_birds, **options)


def test_accuracy_by_hand():
    examples = birds([0, 0, 0, 1, 1])
    examples["label"][:2] = [1, 1]  # two robins that the data calls jays
    accuracy = evaluated(examples)["accuracy"]
    assert accuracy == {"top1": 3 / 5, "per_class": {"robin": 1.0, "jay": 2 / 4}}


def test_top5_counts_the_rank_and_classes_without_pictures_are_left_out():
    class Ranks(ColourModel):
        def predict_on_batch(self, images):
            return np.tile(np.arange(7.0)[::-1], (len(images), 1))  # class 0 first, class 6 last

    examples = birds([0, 1, 1, 1])
    examples["label"][:] = [0, 4, 5, 6]
    metrics = evaluated(examples, model=Ranks(), source=source_of(examples, "abcdefg"))
    assert metrics["accuracy"]["top1"] == 1 / 4
    assert metrics["accuracy"]["top5"] == 2 / 4
    assert metrics["accuracy"]["per_class"] == {"a": 1.0, "e": 0.0, "f": 0.0, "g": 0.0}


def test_masked_pictures_show_what_the_model_needs():
    metrics = evaluated(birds([0, 1, 1, 1, 1]))
    # Without the bird all is grey, and the model says robin.
    assert metrics["masked"] == {
        "clean": 1.0,
        "background_masked": 1.0,
        "object_masked": 1 / 5,
        "chance": 4 / 5,
    }


def test_a_model_that_goes_by_the_ground_fails_without_it():
    class GroundModel(ColourModel):
        def predict_on_batch(self, images):
            return np.asarray(images)[:, -1, -1, [0, 2]]  # the corner far from the bird

    examples = birds([0, 1, 1])
    examples["image"][0, -1, -1] = COLOURS["robin"]
    examples["image"][1:, -1, -1] = COLOURS["jay"]
    masked = evaluated(examples, model=GroundModel())["masked"]
    assert (masked["clean"], masked["background_masked"], masked["object_masked"]) == (1, 1 / 3, 1)


def test_the_masked_object_leaves_no_silhouette_and_the_colour_can_be_chosen():
    shown = []

    class Watcher(ColourModel):
        def predict_on_batch(self, images):
            shown.append(np.asarray(images))
            return super().predict_on_batch(images)

    examples = birds([1])
    examples["mask"][0, 1, 1] = False  # the box still has that corner
    evaluated(examples, model=Watcher(), deletion_limit=0, colour=(255, 255, 255))
    _, without_ground, without_bird = shown
    np.testing.assert_array_equal((without_ground[0] == 1).all(-1), ~examples["mask"][0])
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[1:4, 1:3] = True
    np.testing.assert_array_equal((without_bird[0] == 1).all(-1), expected)

    del shown[:]
    evaluated(examples, model=Watcher(), deletion_limit=0)
    without_bird = shown[-1]
    np.testing.assert_allclose(without_bird, 0, atol=0.01)  # the model's mean, as the ground has it


def test_every_focus_number_stands_beside_its_baselines():
    examples = birds([0, 1, 1], [(1, 1), (4, 5), (8, 11)])
    found = evaluated(examples)["focus"]
    assert {tuple(values) for values in found.values()} == {("heatmap", "centre", "random")}
    exact = ["pointing", "energy", "pixel_accuracy", "mean_iou", "average_precision", "max_box_accuracy"]
    for metric in [*exact, "object_average_precision"]:
        assert found[metric]["heatmap"] == 1, metric
    assert found["enrichment"]["heatmap"] == pytest.approx(HEIGHT * WIDTH / 6)

    centre = np.repeat(focus.centre_gaussian(HEIGHT, WIDTH)[None], 3, 0)
    assert found["pointing"]["centre"] == 1 / 3  # the second bird sits in the middle
    assert found["energy"]["centre"] == pytest.approx(focus.energy_share(centre, examples["mask"]).mean())
    overlaps = focus.box_overlaps(centre, regions.mask_boxes(examples["mask"]))
    assert found["max_box_accuracy"]["centre"] == pytest.approx(focus.max_box_accuracy(overlaps))
    noise = focus.random_maps(3, HEIGHT, WIDTH, grid=(3, 5), seed=0)
    assert found["energy"]["random"] == pytest.approx(focus.energy_share(noise, examples["mask"]).mean())


def test_deletion_of_the_bird_first_is_quick_and_insertion_too():
    found = evaluated(birds([1, 1, 1]))["focus"]
    # The bird is 6 of 143 pixels, covered in the first of 16 steps; then the model is torn between two greys.
    certain, torn = ColourModel().predict_on_batch(birds([1])["image"] / 127.5 - 1), 0.5
    certain = np.exp(certain[0, 1]) / np.exp(certain[0]).sum()
    assert found["deletion"]["heatmap"] == pytest.approx((certain / 2 + 15.5 * torn) / 16, abs=0.01)
    assert found["insertion"]["heatmap"] > certain  # the blue that the blur has spread counts too
    for name in ("centre", "random"):
        assert found["deletion"][name] > found["deletion"]["heatmap"] + 0.05
        assert found["insertion"][name] < found["insertion"]["heatmap"]


def test_deletion_watches_the_class_that_is_explained():
    examples = birds([1])
    examples["label"][:] = 0  # the model says jay
    said, true = (evaluated(examples, target=target)["focus"] for target in ("predicted", "label"))
    assert said["deletion"]["centre"] == pytest.approx(1 - true["deletion"]["centre"])
    assert said["insertion"]["heatmap"] > 0.7 > 0.3 > true["insertion"]["heatmap"]


def test_large_logits_stay_finite():
    class Certain(ColourModel):
        def predict_on_batch(self, images):
            return 1e5 * super().predict_on_batch(images)

    found = evaluated(birds([0, 1]), model=Certain())["focus"]
    assert found["insertion"]["heatmap"] == pytest.approx(1)


def test_batches_do_not_change_the_numbers():
    places = [(1, 1), (4, 5), (8, 11), (2, 7), (5, 0), (0, 9), (7, 4)]
    examples = birds([0, 1, 1, 0, 1, 0, 0], places)
    whole, parts = (evaluated(examples, batch_size=size, deletion_limit=5) for size in (7, 3))
    assert whole.keys() == parts.keys()
    assert whole["accuracy"] == parts["accuracy"]
    for metric, values in whole["focus"].items():
        assert values == pytest.approx(parts["focus"][metric], rel=1e-6), metric


def test_the_seed_makes_the_random_map():
    examples = birds([0, 1, 1], [(1, 1), (4, 5), (8, 11)])
    first, again, other = (evaluated(examples, seed=seed)["focus"]["energy"] for seed in (2, 2, 3))
    assert first == again
    assert first["random"] != other["random"]
    assert first["centre"] == other["centre"]


def test_limit_and_deletion_limit_spread_over_the_data_set():
    examples = birds([0] * 6 + [1] * 6)  # sorted by class, as folders are
    whole = []  # answers to the first and the last picture of each deletion and insertion

    class Watcher(ColourModel):
        def predict_on_batch(self, images):
            answers = super().predict_on_batch(images)
            if len(images) == 17:
                whole.append((answers[0].argmax(), answers[-1].argmax()))
            return answers

    metrics = evaluated(examples, limit=4)
    assert metrics["num_examples"] == 4
    assert metrics["accuracy"]["per_class"] == {"robin": 1.0, "jay": 1.0}
    evaluated(examples, model=Watcher(), deletion_limit=2)
    assert len(whole) == 2 * 6
    assert {first for first, _ in whole} == {last for _, last in whole} == {0, 1}
    assert evaluated(examples, limit=99)["num_examples"] == 12


def test_without_deletion():
    found = evaluated(birds([0, 1]), deletion_limit=0)["focus"]
    assert "pointing" in found
    assert not {"deletion", "insertion"} & set(found)


def test_boxes_serve_where_there_are_no_masks():
    examples = birds([0, 1])
    examples["box"] = regions.mask_boxes(examples.pop("mask")).astype("float32")
    examples["box"][1] = 0  # no box known
    metrics = evaluated(examples)
    assert (metrics["num_examples"], metrics["num_with_object"]) == (2, 1)
    assert metrics["masked"]["background_masked"] == 1
    assert metrics["focus"]["pointing"]["heatmap"] == metrics["focus"]["max_box_accuracy"]["heatmap"] == 1
    assert not {"mean_iou", "pixel_accuracy", "average_precision"} & set(metrics["focus"])


def test_the_box_of_the_data_goes_before_that_of_the_mask():
    examples = birds([0])
    examples["box"] = np.array([[0.0, 0.0, 1.0, 1.0]], "float32")
    found = evaluated(examples)["focus"]
    assert found["max_box_accuracy"]["centre"] == 1
    assert found["energy"]["heatmap"] == 1


def test_pictures_without_annotations_give_accuracy_and_deletion_alone():
    examples = birds([0, 1])
    del examples["mask"]
    metrics = evaluated(examples)
    assert metrics["num_with_object"] == 0
    assert metrics["accuracy"]["top1"] == 1
    assert "masked" not in metrics
    assert set(metrics["focus"]) == {"deletion", "insertion"}


def test_pictures_without_a_bird_count_for_accuracy_alone():
    examples = birds([0, 1, 1])
    examples["mask"][0] = False
    for batch_size in (1, 3):
        metrics = evaluated(examples, batch_size=batch_size)
        assert (metrics["num_examples"], metrics["num_with_object"]) == (3, 2)
        assert metrics["masked"]["chance"] == 1
        assert metrics["focus"]["pointing"]["heatmap"] == 1


def test_a_bare_backbone_is_measured_without_classes():
    def explain(model, images, method, target):
        return looks_at_birds(None, images, method, target)

    metrics = evaluate(ColourModel(), source_of(birds([0, 1])), explain=explain)
    assert "accuracy" not in metrics
    assert "masked" not in metrics
    assert metrics["focus"]["pointing"]["heatmap"] == 1
    assert "deletion" not in metrics["focus"]


def test_labels_are_matched_by_name():
    class Named(ColourModel):
        class_names = ("robin", "jay")

    examples = birds([0, 1, 1])
    examples["label"] = 1 - examples["label"]
    source = source_of(examples, ["jay", "robin"])
    targets = []

    def explain(model, images, method, target):
        targets.append(target)
        return looks_at_birds(model, images, method, target)

    metrics = evaluate(Named(), source, target="label", explain=explain)
    assert metrics["accuracy"] == {"top1": 1.0, "per_class": {"jay": 1.0, "robin": 1.0}}
    np.testing.assert_array_equal(targets[0], [0, 1, 1])
    evaluate(Named(), source, explain=explain)
    assert targets[1] is None


def test_a_class_that_the_model_does_not_know_is_refused():
    class Named(ColourModel):
        class_names = ("robin", "jay")

    with pytest.raises(ValueError, match=r"Unknown class; did you mean 'jay'\? Received: class='jayy'"):
        evaluated(None, model=Named(), source=source_of(birds([0]), ["robin", "jayy"]))
    examples = birds([0])
    examples["label"][:] = 5
    with pytest.raises(ValueError, match=r"number of classes\. Received: label 5 for 2 classes"):
        evaluated(None, source=source_of(examples, "abcdef"))


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match=r"Unknown target; did you mean 'label'\? Received: target='labels'"):
        evaluated(birds([0]), target="labels")


def test_pictures_of_several_sizes_and_none_are_refused():
    signature = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "label": tf.TensorSpec((), tf.int64),
    }
    several = tf.data.Dataset.from_generator(lambda: iter(()), output_signature=signature)
    with pytest.raises(ValueError, match=r"image_size=. Received: image shape \(None, None, 3\)"):
        evaluated(None, source=Source(several, ("robin", "jay"), 0, "several"))
    with pytest.raises(ValueError, match=r"at least one picture\. Received: none, with limit=0"):
        evaluated(birds([0]), limit=0)


def test_progress_is_told():
    told = []
    evaluated(birds([0] * 5), batch_size=2, progress=lambda *counts: told.append(counts))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_the_result_is_json_and_the_table_shows_all_of_it():
    metrics = evaluated(birds([0, 1, 1], [(1, 1), (4, 5), (8, 11)]), method="tscam")
    assert metrics["method"] == "tscam-seen"
    read = json.loads(json.dumps(metrics, allow_nan=False))
    assert read == metrics
    text = table(read)
    assert "3 pictures" in text
    assert "tscam-seen" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["robin", "1.000"] in lines
    assert ["object", "masked", "0.333", "0.33"] in lines
    assert ["always", "the", "commonest", "class", "0.667", "0.67"] in lines
    assert ["pointing", "game", "1.000", "0.333", f"{metrics['focus']['pointing']['random']:.3f}"] in lines
    assert ["where", "it", "looks", "heatmap", "centre", "random"] in lines
    for section in ("accuracy", "masked", "focus"):
        del read[section]
    assert table(read).count("\n") == 0
