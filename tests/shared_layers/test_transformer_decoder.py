"""TransformerDecoder against KerasHub's from the same weights, in every mode; its scores and caches against each other."""

import keras
import numpy as np
import pytest
from keras import ops

from shared_layers import MultiHeadAttention, TransformerDecoder
from tests.checks import (
    arrays_of,
    as_model,
    assert_close,
    check_causal,
    check_compiled,
    check_config,
    check_fresh_process,
    check_layer,
    numpy,
)

BATCH, TARGETS, SOURCES, HEADS, WIDTH, SOURCE_WIDTH, HIDDEN = 3, 7, 5, 2, 22, 13, 17
HEAD_WIDTH = WIDTH // HEADS
OPTIONS = {
    "post-norm": {},
    "pre-norm": {"normalize_first": True, "activation": "gelu", "layer_norm_epsilon": 1e-3},
}


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


TARGET, SOURCE = draw(BATCH, TARGETS, WIDTH), draw(BATCH, SOURCES, SOURCE_WIDTH, seed=1)
TARGET_PADDING = np.arange(TARGETS) < np.array([[TARGETS], [4], [1]])
SOURCE_PADDING = np.arange(SOURCES) < np.array([[3], [SOURCES], [1]])
TARGET_MASK = (np.random.RandomState(2).rand(BATCH, TARGETS, TARGETS) > 0.4) | np.eye(TARGETS, dtype=bool)
TARGET_MASK[..., 0] = True  # every token sees one that is neither padded nor later
SOURCE_MASK = np.random.RandomState(3).rand(BATCH, TARGETS, SOURCES) > 0.4
SOURCE_MASK[..., 0] = True
MASKS = {
    "causal": {},
    "not causal": {"use_causal_mask": False},
    "padding": {"decoder_padding_mask": TARGET_PADDING},
    "attention mask": {"decoder_attention_mask": TARGET_MASK, "use_causal_mask": False},
    "all": {"decoder_padding_mask": TARGET_PADDING, "decoder_attention_mask": TARGET_MASK},
}
SOURCE_MASKS = {
    "none": {},
    "padding": {"encoder_padding_mask": SOURCE_PADDING},
    "attention mask": {"encoder_attention_mask": SOURCE_MASK},
    "both": {"encoder_padding_mask": SOURCE_PADDING, "encoder_attention_mask": SOURCE_MASK},
}
SEQUENCES = {"decoder only": [TARGET], "with cross-attention": [TARGET, SOURCE]}


def make(sequences, **options):
    layer = TransformerDecoder(HIDDEN, HEADS, bias_initializer="uniform", **options)
    layer.build(*(x.shape for x in sequences))
    return layer


def pair(sequences, **options):
    """Theirs and ours with the same weights."""
    keras_nlp = pytest.importorskip("keras_nlp", reason="the layer to compare with is KerasHub's")
    theirs = keras_nlp.layers.TransformerDecoder(HIDDEN, HEADS, bias_initializer="uniform", **options)
    theirs.build(*(x.shape for x in sequences))
    ours = make(sequences, **options)
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def caches(sequences, length=TARGETS):
    """Call arguments with empty caches."""
    call = {"self_attention_cache": ops.zeros((BATCH, 2, length, HEADS, HEAD_WIDTH))}
    if len(sequences) == 2:
        call["cross_attention_cache"] = ops.zeros((BATCH, 2, SOURCES, HEADS, HEAD_WIDTH))
    return call


def decode(layer, sequences, lengths, masks=None, rest=(), **options):
    """Feeds the target in parts of those lengths; returns what each part gave. `rest`: what follows the target."""
    target, *source = sequences
    masks = dict(masks or {})
    attention_masks = {name: masks.pop(name) for name in list(masks) if name.endswith("attention_mask")}
    call, start, parts = caches(sequences), 0, []
    for length in lengths:
        rows = slice(start, start + length)
        call["self_attention_cache_update_index"] = start
        if source:
            call["cross_attention_cache_update_index"] = 0 if start == 0 else None
        rows_of_masks = {name: mask[:, rows] for name, mask in attention_masks.items()}
        outputs = layer(target[:, rows], *source, **call, **masks, **rows_of_masks, **options)
        call["self_attention_cache"] = outputs[-2 if source else -1]
        if source:
            call["cross_attention_cache"] = outputs[-1]
            source = rest or source
        parts.append(outputs)
        start += length
    return parts


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_equals_kerashub_without_cross_attention(options, masks):
    theirs, ours = pair([TARGET], **options)
    expected = theirs(TARGET, **masks)
    assert_close(ours(TARGET, **masks), expected)
    output, scores = ours(TARGET, **masks, return_attention_scores=True)
    assert_close(output, expected)
    assert scores.shape == (BATCH, HEADS, TARGETS, TARGETS)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("masks", [MASKS["causal"], MASKS["all"]], ids=["causal", "all"])
@pytest.mark.parametrize("source_masks", SOURCE_MASKS.values(), ids=SOURCE_MASKS)
def test_equals_kerashub_with_cross_attention(options, masks, source_masks):
    theirs, ours = pair([TARGET, SOURCE], **options)
    expected = theirs(TARGET, SOURCE, **masks, **source_masks)
    assert_close(ours(TARGET, SOURCE, **masks, **source_masks), expected)
    assert_close(ours(TARGET, SOURCE, **masks, **source_masks, return_attention_scores=True)[0], expected)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("sequences", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("lengths", [[1] * TARGETS, [3, 1, 1, 2], [TARGETS]], ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "masks"])
def test_caches_equal_kerashub_and_no_cache(options, sequences, lengths, masked):
    theirs, ours = pair(sequences, **options)
    masks = {"decoder_padding_mask": TARGET_PADDING, "decoder_attention_mask": TARGET_MASK} if masked else {}
    if len(sequences) == 2 and masked:
        masks.update(SOURCE_MASKS["both"])
    for found, expected in zip(
        decode(ours, sequences, lengths, masks), decode(theirs, sequences, lengths, masks), strict=True
    ):
        assert_close(found, expected)  # the output and every cache
    with_scores = decode(ours, sequences, lengths, masks, return_attention_scores=True)
    joined = [ops.concatenate(parts, axis=1 + (i > 0)) for i, parts in enumerate(zip(*with_scores, strict=True))]
    whole = ours(*sequences, **masks, return_attention_scores=True)
    assert_close(joined[: len(whole)], whole)


def test_a_cache_that_is_only_read_equals_kerashubs():
    theirs, ours = pair([TARGET, SOURCE])
    call = {
        "self_attention_cache": draw(BATCH, 2, TARGETS, HEADS, HEAD_WIDTH, seed=4),
        "cross_attention_cache": draw(BATCH, 2, SOURCES, HEADS, HEAD_WIDTH, seed=5),
    }
    assert_close(ours(TARGET, SOURCE, **call), theirs(TARGET, SOURCE, **call))


@pytest.mark.parametrize("sequences", SEQUENCES.values(), ids=SEQUENCES)
def test_rotary_positions_go_on_with_the_cache(sequences):
    options = {"num_heads": 1, "rotary_max_wavelength": 100.0}
    layer = TransformerDecoder(HIDDEN, **options)
    whole, scores, *_ = layer(*sequences, return_attention_scores=True)
    attention = MultiHeadAttention(1, WIDTH, rotary_max_wavelength=100.0)
    attention.build(TARGET.shape, TARGET.shape)
    attention.set_weights(layer.self_attention.get_weights())
    assert_close(scores, attention(TARGET, TARGET, use_causal_mask=True, return_attention_scores=True)[1])
    call, outputs = {"self_attention_cache": ops.zeros((BATCH, 2, TARGETS, 1, WIDTH))}, []
    if len(sequences) == 2:
        call["cross_attention_cache"] = ops.zeros((BATCH, 2, SOURCES, 1, WIDTH))
    for index in range(TARGETS):
        output, cache, *_ = layer(
            TARGET[:, index : index + 1],
            *sequences[1:],
            self_attention_cache_update_index=index,
            cross_attention_cache_update_index=0 if len(sequences) == 2 else None,
            **call,
        )
        call["self_attention_cache"] = cache
        outputs.append(output)
    assert_close(ops.concatenate(outputs, axis=1), whole)


@pytest.mark.parametrize("asked", [{}, {"return_attention_scores": True}], ids=["output", "scores"])
def test_a_step_does_not_project_the_source_again(asked):
    layer = make([TARGET, SOURCE])
    expected = decode(layer, [TARGET, SOURCE], [1] * TARGETS, **asked)
    unreadable = np.full_like(SOURCE, np.nan)
    found = decode(layer, [TARGET, SOURCE], [1] * TARGETS, rest=[unreadable], **asked)
    assert_close(found, expected)


def test_a_cache_may_be_longer_than_what_is_decoded():
    layer = make([TARGET])
    expected = layer(TARGET)
    call = caches([TARGET], length=TARGETS + 4)
    output, scores, cache = layer(TARGET, self_attention_cache_update_index=0, return_attention_scores=True, **call)
    assert_close(output, expected)
    assert scores.shape == (BATCH, HEADS, TARGETS, TARGETS + 4)
    np.testing.assert_array_equal(numpy(scores)[..., TARGETS:], 0)
    np.testing.assert_array_equal(numpy(cache)[:, :, TARGETS:], 0)


def test_scores_are_those_of_the_two_attentions():
    layer = make([TARGET, SOURCE])
    for weight in layer.cross_attention_norm.weights:
        weight.assign(weight + 0.5)
    _, scores, cross_scores = layer(TARGET, SOURCE, encoder_padding_mask=SOURCE_PADDING, return_attention_scores=True)
    attended, expected = layer.self_attention(TARGET, TARGET, use_causal_mask=True, return_attention_scores=True)
    assert_close(scores, expected)
    queries = layer.self_attention_norm(TARGET + attended)
    cross = MultiHeadAttention(HEADS, HEAD_WIDTH)
    cross.build(TARGET.shape, SOURCE.shape)
    cross.set_weights(layer.cross_attention.get_weights())
    _, expected = cross(queries, SOURCE, value_mask=SOURCE_PADDING, return_attention_scores=True)
    assert_close(cross_scores, expected)
    shown = np.where(SOURCE_PADDING, 1, 0).sum(-1)
    np.testing.assert_array_equal((numpy(cross_scores) > 0).sum(-1), np.broadcast_to(shown[:, None, None], (3, 2, 7)))


def test_takes_the_masks_that_keras_layers_leave():
    theirs, ours = pair([TARGET, SOURCE])
    target = keras.layers.Masking()(TARGET * TARGET_PADDING[..., None])
    source = keras.layers.Masking()(SOURCE * SOURCE_PADDING[..., None])
    # by hand, as KerasHub's layer warns of masks that its inner layers lose
    expected = theirs(TARGET, SOURCE, decoder_padding_mask=TARGET_PADDING, encoder_padding_mask=SOURCE_PADDING)
    output, _, cross_scores = ours(target, source, return_attention_scores=True)
    assert_close(numpy(output)[TARGET_PADDING], numpy(expected)[TARGET_PADDING])
    assert (numpy(cross_scores)[0, :, :, 3:] == 0).all()
    # those of the first tokens alone, in a cache for all
    start = keras.layers.Masking()((TARGET * TARGET_PADDING[..., None])[:, :3])
    cached = ours(start, source, self_attention_cache_update_index=0, cross_attention_cache_update_index=0, **caches([0, 0]))
    assert_close(numpy(cached[0])[TARGET_PADDING[:, :3]], numpy(output)[:, :3][TARGET_PADDING[:, :3]])


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("sequences", SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize("scores", [False, True], ids=["output", "scores"])
def test_nothing_leaks_from_the_future(options, sequences, scores):
    layer = make(sequences, **options)

    def outputs_of(decoder_sequence):
        outputs = layer(decoder_sequence, *sequences[1:], return_attention_scores=scores)
        return outputs[0] if scores else outputs

    check_causal(outputs_of, {"decoder_sequence": TARGET}, ("decoder_sequence",))


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({"dropout": 0.1}, {}),
        ({"normalize_first": True}, {"encoder_sequence": SOURCE}),
        ({}, {"encoder_sequence": SOURCE, "return_attention_scores": True}),
    ],
    ids=["decoder only", "pre-norm", "scores"],
)
def test_contracts(options, call):
    gives_one = "return_attention_scores" not in call
    check_layer(
        TransformerDecoder,
        {"intermediate_dim": HIDDEN, "num_heads": HEADS, **options},
        {"decoder_sequence": TARGET, "use_causal_mask": False, **call},
        tokens=("decoder_sequence",),
        padding_mask="decoder_padding_mask" if gives_one else None,
        attention_mask="decoder_attention_mask" if gives_one else None,
        causal={"use_causal_mask": True} if gives_one else None,
    )


def test_contracts_with_caches():
    """Those that hold without a gradient: TensorFlow has none of a cache's update."""
    layer = make([TARGET, SOURCE])
    call = {
        "decoder_sequence": TARGET[:, :1],
        "encoder_sequence": SOURCE,
        "self_attention_cache": draw(BATCH, 2, TARGETS, HEADS, HEAD_WIDTH, seed=4),
        "self_attention_cache_update_index": 2,
        "cross_attention_cache": draw(BATCH, 2, SOURCES, HEADS, HEAD_WIDTH, seed=5),
        "return_attention_scores": True,
    }
    expected = numpy(layer(**call))
    check_config(layer, call, expected)
    check_compiled(layer, call, expected)
    check_fresh_process(as_model(layer, call), arrays_of(call), expected, TransformerDecoder.__module__)


def test_a_functional_model_of_any_length_gives_all_that_is_asked_for():
    layer, inputs = make([TARGET, SOURCE]), [keras.Input((None, WIDTH)), keras.Input((None, SOURCE_WIDTH))]
    outputs = layer(*inputs, return_attention_scores=True)
    assert [x.shape for x in outputs] == [(None, None, WIDTH), *[(None, HEADS, None, None)] * 2]
    expected = layer(TARGET, SOURCE, return_attention_scores=True)
    assert_close(keras.Model(inputs, outputs)([TARGET, SOURCE]), expected)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_source_of_padding_alone_gives_finite_numbers(dtype):
    layer = make([TARGET, SOURCE], dtype=dtype)
    padding = SOURCE_PADDING & (np.arange(BATCH) != 1)[:, None]
    output, _, scores = layer(100 * TARGET, SOURCE, encoder_padding_mask=padding, return_attention_scores=True)
    assert np.isfinite(numpy(output)).all()
    assert (numpy(scores)[1] == 0).all()


@pytest.mark.parametrize("name", ["intermediate_dim", "num_heads"])
def test_refuses_sizes_that_are_no_positive_ints(name):
    with pytest.raises(ValueError, match=rf"`{name}` should be a positive int\. Received: {name}=0"):
        TransformerDecoder(**{"intermediate_dim": 11, "num_heads": 2, name: 0})


def test_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match=r"`num_heads` should divide the width 22\. Received: num_heads=3"):
        TransformerDecoder(HIDDEN, 3).build(TARGET.shape)


@pytest.mark.parametrize("built", [True, False])
def test_refuses_another_number_of_sequences_than_it_was_built_with(built):
    built_on, given = SEQUENCES.values() if not built else reversed(SEQUENCES.values())
    with pytest.raises(
        ValueError,
        match=rf"`encoder_sequence` should be given in every call .*Received: built with it: {built}, given: {not built}",
    ):
        make(built_on)(*given)


@pytest.mark.parametrize("missing", ["self_attention_cache", "cross_attention_cache"])
def test_refuses_one_cache_of_two(missing):
    call = caches([TARGET, SOURCE])
    del call[missing]
    with pytest.raises(ValueError, match=rf"should both be given or both be None\. Received: .*{missing} given: False"):
        make([TARGET, SOURCE])(TARGET, SOURCE, **call)


def test_refuses_masks_of_another_shape():
    with pytest.raises(ValueError, match=r"`decoder_padding_mask` should have shape \(3, 7\)\. Received: .*\(3, 7, 7\)"):
        make([TARGET])(TARGET, decoder_padding_mask=TARGET_MASK)
    layer, call = make([TARGET]), {"self_attention_cache_update_index": 0, **caches([TARGET])}
    with pytest.raises(ValueError, match=r"`decoder_padding_mask` should have shape \(3, 1\) or \(3, 7\)\. .*\(3, 5\)"):
        layer(TARGET[:, :1], decoder_padding_mask=SOURCE_PADDING, **call)
    layer = make([TARGET, SOURCE])
    with pytest.raises(ValueError, match=r"`encoder_padding_mask` should have shape \(3, 5\)\. Received: .*\(3, 1\)"):
        layer(TARGET, SOURCE, encoder_padding_mask=SOURCE_PADDING[:, :1])
    with pytest.raises(ValueError, match=r"`attention_mask` should have shape \(3, 7, 5\) or .* Received: .*\(3, 5\)"):
        layer(TARGET, SOURCE, encoder_attention_mask=SOURCE_PADDING)
