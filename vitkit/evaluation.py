"""Evaluation: accuracy, and heatmap metrics next to those of image-independent baseline maps."""

import numpy as np

from shared_layers.runtime import unknown_name
from vitkit import faithfulness, focus, regions
from vitkit.preprocessing import prepare

_MAPS = ("heatmap", "centre", "random")
_TARGETS = ("predicted", "label")
_BOX_MARGIN = 0.1
_STEPS = 16

# Name in the result: its title in the table, the record it aggregates, and the function that aggregates it.
_FOCUS = {
    "pointing": ("pointing game", "pointing", np.mean),
    "energy": ("energy on the object", "energy", np.mean),
    "enrichment": ("energy over area", "enrichment", np.mean),
    "pixel_accuracy": ("pixel accuracy", "counts", focus.pixel_accuracy),
    "mean_iou": ("mean IoU", "counts", focus.mean_iou),
    "average_precision": ("average precision", "precision", np.mean),
    "object_average_precision": ("average precision, object", "object_precision", np.mean),
    "max_box_accuracy": ("MaxBoxAccV2", "overlaps", focus.max_box_accuracy),
    "deletion": ("deletion (low is good)", "deletion", np.mean),
    "insertion": ("insertion", "insertion", np.mean),
}
_MASKED = {
    "clean": "clean",
    "background_masked": "background masked",
    "object_masked": "object masked",
    "chance": "always the commonest class",
}


def evaluate(
    model,
    source,
    *,
    method="auto",
    target="predicted",
    batch_size=32,
    limit=None,
    deletion_limit=64,
    colour=None,
    seed=0,
    progress=None,
    explain=None,
):
    """Measures a model's accuracy and, if the data has masks or boxes, how well its heatmaps match the object.

    Each heatmap metric is reported next to the same metric of two image-independent baseline maps: a centred
    Gaussian, and uniform noise in cells of the size of the model's patches.

    Accuracy is also measured with the background masked (everything but the object covered) and with the object masked:
    its bounding box covered, enlarged by a tenth of its size on each side, since covering just the object would
    leave its silhouette, which can reveal the class. Pixels are covered with the model's mean colour, which
    normalisation turns to 0.

    Args:
        model: `vitkit.ViTClassifier`, or a `vitkit.ViTBackbone` for heatmap metrics of the class-agnostic methods.
        source: `vitkit.datasets.Source`, as `vitkit.datasets.load` returns: `dataset` (unbatched dicts with image,
            label and, optionally, mask and box), `class_names`, `num_examples`. All pictures must have one size. If
            model and source both have class names, labels are matched by name. If there is a mask but no box, the
            box is computed from the mask.
        method: str, the heatmap method, see `vitkit.explain`.
        target: "predicted" or "label", the class that heatmaps explain: the predicted or the true one.
        batch_size: int, pictures per batch.
        limit: int, the maximum number of pictures, spread evenly over the data set; `None` for all.
        deletion_limit: int, the number of these pictures on which deletion and insertion are measured; each needs the
            predictions for 102 covered or blurred copies. 0 for none.
        colour: three numbers in 0 .. 255 to cover pixels with; `None` for the model's mean colour.
        seed: int, of the random baseline maps.
        progress: callable (done, total), both in pictures; or `None`.
        explain: callable used in place of `vitkit.explain`; or `None`.

    Returns:
        dict of strings, numbers and dicts, ready for JSON:

        - "num_examples", "num_with_object", "method", "target", "seed";
        - "accuracy": "top1", "top5" (with more than five classes), "per_class" {name: accuracy};
        - "masked", over the pictures with an object: accuracy "clean", "background_masked", "object_masked",
          and "chance", that of always predicting the commonest class;
        - "focus": {metric: {"heatmap", "centre", "random"}}, see `vitkit.focus` and `vitkit.faithfulness`.

        Entries that need a class, a mask or a box are left out if the model or the data have none.

    Raises:
        ValueError: an unknown target or method, pictures of several sizes, no pictures, or a class of the data set
            that the model does not have.
    """
    if target not in _TARGETS:
        raise unknown_name("target", target, _TARGETS)
    height, width = source.dataset.element_spec["image"].shape[:2]
    if height is None or width is None:
        raise ValueError(
            "Expected pictures of one size: load the data with image_size=. "
            f"Received: image shape {tuple(source.dataset.element_spec['image'].shape)}"
        )
    if explain is None:
        from vitkit.heatmaps import explain
    if colour is None:
        colour = 255 * np.asarray(model.preprocessing["mean"])
    class_of_label = _class_numbers(model, source)
    predict = _predictor(model, batch_size)
    dataset, total = _spread_out(source, limit)
    sample_every = max(1, total // max(1, deletion_limit))
    centre = focus.centre_gaussian(height, width)
    generator = np.random.default_rng(seed)

    records, done = [], 0
    for batch in dataset.batch(batch_size).as_numpy_iterator():
        classes = class_of_label[batch["label"]]
        seen = explain(model, batch["image"], method=method, target=classes if target == "label" else None)
        maps = {
            "heatmap": seen.heatmap,
            "centre": np.broadcast_to(centre, seen.heatmap.shape),
            "random": focus.random_maps(*seen.heatmap.shape, seen.evidence.shape[1:], generator),
        }
        record = _looks(batch, maps)
        if seen.logits is not None:
            record |= _answers(batch, classes, seen.logits, predict, colour)
            number, remainder = np.divmod(done + np.arange(len(classes)), sample_every)
            sample = np.flatnonzero((remainder == 0) & (number < deletion_limit))
            explained = seen.logits.argmax(1) if seen.target is None else seen.target
            record |= _exchanges(batch, maps, explained, sample, predict, colour)
        records.append(record)
        done += len(classes)
        if progress:
            progress(done, total)
    if not records:
        raise ValueError(f"Expected at least one picture. Received: none, with limit={limit}")

    records = {
        name: np.concatenate([record[name] for record in records if name in record])
        for name in {name for record in records for name in record}
    }
    return {
        "num_examples": done,
        "num_with_object": int(records["present"].sum()),
        "method": seen.method,
        "target": target,
        "seed": seed,
        **_summary(records, source.class_names),
    }


def table(metrics):
    """Formats the result of `evaluate` as a text table.

    Args:
        metrics: dict that `evaluate` returned; it may have been through JSON.

    Returns:
        str of several lines.
    """
    counted = f"{metrics['num_examples']} pictures, {metrics['num_with_object']} of them with a marked object"
    lines = [f"{counted}; method {metrics['method']}, target {metrics['target']}"]
    if "accuracy" in metrics:
        accuracy = metrics["accuracy"]
        shares = {name: accuracy[name] for name in ("top1", "top5") if name in accuracy}
        lines += ["", "accuracy"]
        lines += [f"{'  ' + name:<28}{value:>9.3f}" for name, value in (shares | accuracy["per_class"]).items()]
    if "masked" in metrics:
        masked = metrics["masked"]
        lines += ["", f"{'accuracy where there is an object':<37}{'of clean':>9}"]
        for name, value in masked.items():
            share = f"{value / masked['clean']:>9.2f}" if masked["clean"] else ""
            lines.append(f"{'  ' + _MASKED[name]:<28}{value:>9.3f}{share}")
    if "focus" in metrics:
        lines += ["", f"{'where it looks':<28}" + "".join(f"{name:>9}" for name in _MAPS)]
        for metric, values in metrics["focus"].items():
            lines.append(f"{'  ' + _FOCUS[metric][0]:<28}" + "".join(f"{values[name]:>9.3f}" for name in _MAPS))
    return "\n".join(lines)


def _class_numbers(model, source):
    """Maps labels to the model's classes: int array, the model's class index of each label of the source."""
    known = getattr(model, "class_names", None)
    named = list(source.class_names)
    if not known:
        return np.arange(len(named))
    number = {name: index for index, name in enumerate(known)}
    for name in named:
        if name not in number:
            raise unknown_name("class", name, known)
    return np.array([number[name] for name in named])


def _predictor(model, batch_size):
    """Returns a function: uint8 pictures (n, H, W, 3) -> probabilities (n, c)."""

    def predict(pictures):
        parts = np.split(pictures, range(batch_size, len(pictures), batch_size))
        prepared = (prepare(part, **model.preprocessing) for part in parts)
        logits = np.concatenate([model.predict_on_batch(part) for part in prepared])
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)

    return predict


def _spread_out(source, limit):
    """Returns the data set, or every n-th of its pictures, and the number of pictures."""
    if limit is None:
        return source.dataset, source.num_examples
    every = max(1, source.num_examples // max(1, limit))
    return source.dataset.shard(every, 0).take(limit), min(limit, source.num_examples)


def _objects(batch):
    """Returns which pictures have an object, and the masks and boxes of those."""
    if "mask" in batch:
        masks = batch["mask"].astype(bool)
        present = masks.any((1, 2))
        boxes = batch["box"][present] if "box" in batch else regions.mask_boxes(masks[present])
        return present, masks[present], boxes
    pictures = batch["image"]
    boxes = batch.get("box", np.zeros((len(pictures), 4)))
    present = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return present, regions.box_masks(boxes[present], *pictures.shape[1:3]), boxes[present]


def _looks(batch, maps):
    """Localisation metrics: (record, map) -> array, one value per picture with an object."""
    present, masks, boxes = _objects(batch)
    found = {"present": present}
    if not present.any():
        return found
    for name, heatmaps in maps.items():
        heatmaps = heatmaps[present]
        found["pointing", name] = focus.pointing_game(heatmaps, masks)
        found["energy", name] = focus.energy_share(heatmaps, masks)
        found["enrichment", name] = focus.energy_enrichment(heatmaps, masks)
        found["overlaps", name] = focus.box_overlaps(heatmaps, boxes)
        if "mask" in batch:  # a box is no segmentation
            found["counts", name] = focus.segmentation_counts(heatmaps, masks)
            found["precision", name] = focus.average_precision(heatmaps, masks)
            found["object_precision", name] = focus.average_precision(heatmaps, masks, object_only=True)
    return found


def _answers(batch, classes, logits, predict, colour):
    """Ranks of the true classes; for pictures with an object, whether they are classified correctly when masked."""
    if classes.max() >= logits.shape[1]:
        raise ValueError(
            "Expected labels below the model's number of classes. "
            f"Received: label {classes.max()} for {logits.shape[1]} classes"
        )
    order = np.argsort(-logits, axis=1, kind="stable")
    answers = {"label": batch["label"], "rank": (order == classes[:, None]).argmax(1)}
    present, masks, boxes = _objects(batch)
    if present.any():
        around = regions.box_masks(regions.grow_boxes(boxes, _BOX_MARGIN), *masks.shape[1:])
        for name, covered in (("background_masked", ~masks), ("object_masked", around)):
            pictures = regions.paint(batch["image"][present], covered, colour)
            answers[name] = predict(pictures).argmax(1) == classes[present]
    return answers


def _exchanges(batch, maps, targets, sample, predict, colour):
    """Deletion and insertion scores of the sampled pictures: (record, map) -> array."""
    areas = {}
    if not sample.size:
        return areas
    for name, heatmaps in maps.items():
        given = predict, batch["image"][sample], heatmaps[sample], targets[sample]
        areas["deletion", name] = faithfulness.deletion(*given, colour, steps=_STEPS)
        areas["insertion", name] = faithfulness.insertion(*given, steps=_STEPS)
    return areas


def _summary(records, class_names):
    summary = {}
    if "rank" in records:
        right, labels = records["rank"] == 0, records["label"]
        summary["accuracy"] = {"top1": float(right.mean())}
        if len(class_names) > 5:
            summary["accuracy"]["top5"] = float((records["rank"] < 5).mean())
        summary["accuracy"]["per_class"] = {
            name: float(right[labels == label].mean()) for label, name in enumerate(class_names) if (labels == label).any()
        }
    if "object_masked" in records:
        present = records["present"]
        summary["masked"] = {
            "clean": float(right[present].mean()),
            "background_masked": float(records["background_masked"].mean()),
            "object_masked": float(records["object_masked"].mean()),
            "chance": float(np.bincount(labels[present]).max() / present.sum()),
        }
    found = {
        metric: {name: float(sum_up(records[record, name])) for name in _MAPS}
        for metric, (_, record, sum_up) in _FOCUS.items()
        if (record, _MAPS[0]) in records
    }
    return summary | ({"focus": found} if found else {})
