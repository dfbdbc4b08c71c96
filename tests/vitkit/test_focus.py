import numpy as np
import pytest

from vitkit import focus, regions

PER_PICTURE = [focus.pointing_game, focus.energy_share, focus.energy_enrichment, focus.average_precision]


def bird_at(height, width, box):
    """One mask (1, H, W), True in rows ymin .. ymax, columns xmin .. xmax."""
    mask = np.zeros((1, height, width), bool)
    ymin, xmin, ymax, xmax = box
    mask[:, ymin:ymax, xmin:xmax] = True
    return mask


def naive_average_precision(scores, truths):
    """Sum over the distinct thresholds, from high to low, of precision times gain of recall."""
    total, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        kept = [truth for score, truth in zip(scores, truths, strict=True) if score >= threshold]
        gained = sum(kept) / sum(truths) - recall
        recall += gained
        total += gained * sum(kept) / len(kept)
    return total


def test_pointing_game_hits_misses_and_counts_ties_by_share():
    masks = np.repeat(bird_at(3, 5, (0, 0, 1, 2)), 4, axis=0)  # the first two pixels of the first row
    heatmaps = np.zeros((4, 3, 5))
    heatmaps[0, 0, 1] = 1  # hit
    heatmaps[1, 2, 4] = 1  # miss
    heatmaps[2, 0, 1] = heatmaps[2, 1, 1] = heatmaps[2, 2, 4] = 0.7  # one of three maxima
    np.testing.assert_allclose(focus.pointing_game(heatmaps, masks), [1, 0, 1 / 3, 2 / 15])


def test_pointing_game_tolerance_is_a_circle():
    mask = bird_at(7, 7, (0, 0, 1, 1))
    heatmap = np.zeros((1, 7, 7))
    heatmap[0, 3, 4] = 1  # 5 pixels away
    assert focus.pointing_game(heatmap, mask, tolerance=4.9) == 0
    assert focus.pointing_game(heatmap, mask, tolerance=5) == 1


def test_energy_share_and_enrichment_by_hand():
    mask = bird_at(2, 5, (0, 0, 1, 2))  # a fifth of the picture
    heatmap = np.array([[[0.5, 1.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.5]]])
    np.testing.assert_allclose(focus.energy_share(heatmap, mask), [0.6])
    np.testing.assert_allclose(focus.energy_enrichment(heatmap, mask), [3.0])


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_constant_map_is_a_blind_guess(value):
    mask = bird_at(2, 5, (0, 0, 1, 2))
    heatmap = np.full((1, 2, 5), value, "float32")
    np.testing.assert_allclose(focus.pointing_game(heatmap, mask), [0.2])
    np.testing.assert_allclose(focus.energy_share(heatmap, mask), [0.2], rtol=1e-6)
    np.testing.assert_allclose(focus.energy_enrichment(heatmap, mask), [1.0], rtol=1e-6)
    np.testing.assert_allclose(focus.average_precision(heatmap, mask, object_only=True), [0.2])
    # All pixels score 0 as object and 1 as background: 10 right of 8 + 2 hits at the two thresholds.
    np.testing.assert_allclose(focus.average_precision(heatmap, mask), [0.8 * 8 / 10 + 0.2 * 10 / 20])
    np.testing.assert_array_equal(focus.segmentation_counts(heatmap, mask), [[[8, 0], [2, 0]]])


def test_segmentation_at_the_mean_by_hand():
    mask = bird_at(2, 3, (0, 0, 2, 1))
    heatmap = np.array([[[0.9, 0.6, 0.1], [0.2, 0.3, 0.3]]])  # mean 0.4
    counts = focus.segmentation_counts(heatmap, mask)
    np.testing.assert_array_equal(counts, [[[3, 1], [1, 1]]])
    assert focus.pixel_accuracy(counts) == pytest.approx(4 / 6)
    assert focus.mean_iou(counts) == pytest.approx((3 / 5 + 1 / 3) / 2)


def test_segmentation_sums_pixels_over_pictures_before_dividing():
    counts = np.array([[[3, 1], [1, 1]], [[0, 5], [0, 1]]])
    assert focus.pixel_accuracy(counts) == pytest.approx(5 / 12)
    assert focus.mean_iou(counts) == pytest.approx((3 / 10 + 2 / 9) / 2)


def test_a_pixel_at_the_mean_is_background():
    counts = focus.segmentation_counts(np.array([[[0.0, 0.5, 1.0]]]), np.array([[[True, True, True]]]))
    np.testing.assert_array_equal(counts, [[[0, 0], [2, 1]]])


def test_average_precision_of_the_object_by_hand():
    # Order: 0.9 hit, 0.8 miss, 0.7 hit: (1 + 2/3) / 2.
    heatmap = np.array([[[0.8, 0.9, 0.7, 0.1]]])
    mask = np.array([[[False, True, True, False]]])
    np.testing.assert_allclose(focus.average_precision(heatmap, mask, object_only=True), [5 / 6])


def test_average_precision_ties_pass_together():
    heatmap = np.array([[[1.0, 0.5, 0.5, 0.0]], [[1.0, 0.5, 0.5, 0.0]]])
    masks = np.array([[[False, True, False, True]], [[False, False, True, True]]])
    # The hit among the two ties: precision 1/3; the last: 2/4; wherever the hit stands within the tie.
    np.testing.assert_allclose(focus.average_precision(heatmap, masks, object_only=True), [5 / 12, 5 / 12])


def test_average_precision_counts_both_classes_by_the_published_protocol():
    # Scaled: 1, 0.4, 0. As object: 1 hit, 0.4 miss, 0 miss; as background: 0 miss, 0.6 hit, 1 hit.
    heatmap, mask = np.array([[[0.7, 0.4, 0.2]]]), np.array([[[True, False, False]]])
    # Thresholds 1: 2 of 2; 0.6: 3 of 3; then nothing is gained.
    np.testing.assert_allclose(focus.average_precision(heatmap, mask), [1.0])
    # The middle pixel is the bird: 1: 1 of 2 (gain 1/3); 0.6: 1 of 3; 0.4: 2 of 4 (1/3); 0: 3 of 6 (1/3).
    mask = np.array([[[False, True, False]]])
    np.testing.assert_allclose(focus.average_precision(heatmap, mask), [1 / 6 + 1 / 6 + 1 / 6])


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_average_precision_agrees_with_the_naive_sum(levels):
    rng = np.random.default_rng(7)
    heatmaps = rng.integers(0, levels, (5, 7, 11)).astype("float32")
    heatmaps[:, 0, 0], heatmaps[:, 0, 1] = 0, levels - 1
    masks = rng.random((5, 7, 11)) < 0.3
    scaled = heatmaps / np.float32(levels - 1)
    of_object = focus.average_precision(heatmaps, masks, object_only=True)
    of_both = focus.average_precision(heatmaps, masks)
    for index in range(5):
        scores, truths = scaled[index].ravel().tolist(), masks[index].ravel().tolist()
        np.testing.assert_allclose(of_object[index], naive_average_precision(scores, truths))
        scores += (1 - scaled[index]).ravel().tolist()
        truths += [not truth for truth in truths]
        np.testing.assert_allclose(of_both[index], naive_average_precision(scores, truths))


def test_box_overlaps_by_hand():
    # Two blobs: 1.0 in rows 0-1, columns 0-1 of 4 x 8; 0.5 in rows 1-3, columns 4-7.
    heatmap = np.zeros((1, 4, 8))
    heatmap[0, 0:2, 0:2] = 1
    heatmap[0, 1:4, 4:8] = 0.5
    blob = [[1 / 4, 4 / 8, 1, 1]]
    # Thresholds 0, 1/4, 1/2, 3/4: everything; both blobs; both blobs; the hot blob alone.
    np.testing.assert_allclose(focus.box_overlaps(heatmap, blob, 4), [[12 / 32, 1, 1, 0]])
    # A true box of 2 x 4 pixels that shares 2 x 2 with the hot blob, 4 of 8.
    np.testing.assert_allclose(focus.box_overlaps(heatmap, [[0, 0, 0.5, 0.5]], 4), [[8 / 32, 0.5, 0.5, 0.5]])


def test_box_overlaps_takes_the_best_component_not_the_largest():
    heatmap = np.zeros((1, 5, 7))
    heatmap[0, 0:4, 0:4] = 1
    heatmap[0, 4, 6] = 1
    np.testing.assert_allclose(focus.box_overlaps(heatmap, [[4 / 5, 6 / 7, 1, 1]], 2)[0, 1], 1)


def test_box_overlaps_does_not_mind_the_scale_of_the_map_and_takes_each_picture_alone():
    rng = np.random.default_rng(11)
    heatmaps, boxes = rng.random((3, 5, 7)), np.array([[0.1, 0.2, 0.7, 0.9]] * 3)
    together = focus.box_overlaps(heatmaps, boxes, 13)
    assert together.shape == (3, 13)
    for index in range(3):
        alone = focus.box_overlaps(heatmaps[index : index + 1] * 0.25 + 0.5, boxes[:1], 13)
        np.testing.assert_allclose(together[index], alone[0])


def test_max_box_accuracy_takes_a_threshold_for_the_whole_set_at_each_level():
    overlaps = np.array([[0.8, 0.4], [0.2, 0.6], [0.2, 0.3]])
    # 0.3: 1/3 and 3/3; 0.5: 1/3 and 1/3; 0.7: 1/3 and 0.
    assert focus.max_box_accuracy(overlaps) == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert focus.max_box_accuracy(overlaps, levels=(0.3,)) == 1


def test_the_perfect_map_reaches_the_top_of_every_metric():
    mask = bird_at(11, 13, (2, 5, 7, 12))
    heatmap = mask.astype("float32")
    assert focus.pointing_game(heatmap, mask) == 1
    assert focus.energy_share(heatmap, mask) == 1
    np.testing.assert_allclose(focus.energy_enrichment(heatmap, mask), [11 * 13 / (5 * 7)])
    np.testing.assert_allclose(focus.average_precision(heatmap, mask), [1])
    counts = focus.segmentation_counts(heatmap, mask)
    assert focus.pixel_accuracy(counts) == focus.mean_iou(counts) == 1
    assert focus.max_box_accuracy(focus.box_overlaps(heatmap, regions.mask_boxes(mask))) == 1


@pytest.mark.parametrize("metric", [*PER_PICTURE, focus.segmentation_counts])
def test_wrong_shapes_and_empty_masks_are_refused(metric):
    with pytest.raises(ValueError, match=r"heatmaps.shape=\(2, 3, 5\), masks.shape=\(2, 5, 3\)"):
        metric(np.ones((2, 3, 5)), np.ones((2, 5, 3), bool))
    with pytest.raises(ValueError, match="heatmaps and masks of the same shape"):
        metric(np.ones((3, 5)), np.ones((3, 5), bool))
    with pytest.raises(ValueError, match=r"none in masks\[0\]"):
        metric(np.ones((2, 3, 5)), np.zeros((2, 3, 5), bool))


def test_centre_gaussian_peaks_in_the_middle_and_follows_its_sigma():
    peak = focus.centre_gaussian(7, 11, sigma=0.25)
    assert peak.dtype == "float32"
    assert (peak.min(), peak.max(), peak[3, 5]) == (0, 1, 1)
    np.testing.assert_allclose(peak, peak[::-1, ::-1], atol=1e-6)
    # Before it is scaled the map is exp(-d^2 / 2 sigma^2): check one pixel, 2 of 7 rows up.
    low = np.exp(-0.5 * ((3 / 7) ** 2 + (5 / 11) ** 2) / 0.25**2)
    up = np.exp(-0.5 * (2 / 7) ** 2 / 0.25**2)
    np.testing.assert_allclose(peak[1, 5], (up - low) / (1 - low), rtol=1e-5)


def test_random_maps_repeat_with_the_seed_and_are_constant_in_each_cell():
    maps = focus.random_maps(3, 6, 10, grid=(3, 5), seed=2)
    assert maps.shape == (3, 6, 10)
    assert maps.dtype == "float32"
    np.testing.assert_array_equal(maps, focus.random_maps(3, 6, 10, grid=(3, 5), seed=2))
    assert not np.array_equal(maps, focus.random_maps(3, 6, 10, grid=(3, 5), seed=3))
    blocks = maps.reshape(3, 3, 2, 5, 2)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    assert len(np.unique(maps)) == 3 * 3 * 5
    assert len(np.unique(focus.random_maps(1, 6, 10))) == 60


def test_random_maps_go_on_with_a_generator():
    rng = np.random.default_rng(5)
    parts = [focus.random_maps(2, 3, 5, seed=rng), focus.random_maps(1, 3, 5, seed=rng)]
    np.testing.assert_array_equal(np.concatenate(parts), focus.random_maps(3, 3, 5, seed=5))


def test_a_random_map_scores_about_a_blind_guess():
    masks = np.repeat(bird_at(10, 10, (1, 1, 6, 6)), 2000, axis=0)
    maps = focus.random_maps(2000, 10, 10, seed=1)
    assert focus.pointing_game(maps, masks).mean() == pytest.approx(0.25, abs=0.04)
    assert focus.energy_enrichment(maps, masks).mean() == pytest.approx(1, abs=0.02)
    assert focus.average_precision(maps, masks).mean() == pytest.approx(0.5, abs=0.03)


def test_scale_to_unit_keeps_a_constant_map_finite():
    scaled = focus.scale_to_unit(np.stack([np.full((2, 3), 7.0), np.arange(6.0).reshape(2, 3)]))
    np.testing.assert_array_equal(scaled[0], np.zeros((2, 3)))
    np.testing.assert_allclose(scaled[1], np.arange(6).reshape(2, 3) / 5, rtol=1e-6)
