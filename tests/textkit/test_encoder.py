"""TextEncoder: against KerasHub's backbones, its options and scores, and what it refuses."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from shared_layers import gelu_approximate
from tests.backends import tensorflow_only
from tests.checks import ROOT, assert_close, check_model, numpy
from tests.textkit.encoders import KINDS, TINY, make_ids, spread
from textkit.encoder import TextEncoder


def make(kind="bert", **options):
    return spread(TextEncoder(**{**TINY, **KINDS[kind], **options}))


@pytest.mark.parametrize("kind", ["bert", "albert", "modern"])  # which have every part that there is
def test_contracts(kind):
    check_model(TextEncoder, {**TINY, **KINDS[kind], "num_layers": 1}, make_ids(), make(kind, num_layers=1))


def backbone(kind):
    import keras_hub

    sizes = {name: value for name, value in TINY.items() if name != "vocabulary_size"}
    models, vocabulary = keras_hub.models, {"vocabulary_size": 23}
    if kind == "bert":
        return models.BertBackbone(**vocabulary, **sizes, num_segments=2)
    if kind == "electra":
        return models.ElectraBackbone(vocab_size=23, **sizes, embedding_dim=5, num_segments=2)
    if kind == "albert":
        return models.AlbertBackbone(**vocabulary, **sizes, embedding_dim=5, num_segments=2)
    if kind == "distilbert":
        return models.DistilBertBackbone(**vocabulary, **sizes)
    return models.RobertaBackbone(**vocabulary, **sizes)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bert", {"activation": "gelu_approximate"}),
        ("electra", {"activation": "gelu_approximate"}),
        ("albert", {"activation": "gelu_approximate"}),
        ("distilbert", {}),
        ("roberta", {"num_segments": 0, "use_pooler": False}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_equals_kerashub_s_backbone(kind, options):
    theirs = spread(backbone(kind))
    ours = TextEncoder(**{**TINY, **KINDS[kind], "pooler_activation": "tanh", **options})
    values = theirs.get_weights()
    if kind in ("bert", "electra", "albert"):  # they keep the positions before the kinds, we after
        values[1], values[2] = values[2], values[1]
    assert sorted(value.shape for value in values) == sorted(tuple(weight.shape) for weight in ours.weights)
    ours.set_weights(values)
    ids = make_ids(pad_id=ours.config["pad_id"])
    mask = ids["token_ids"] != ours.config["pad_id"]
    expected = theirs({name: value for name, value in {**ids, "padding_mask": mask}.items() if name in theirs.input})
    seen = ours(ids)
    if not isinstance(expected, dict):
        expected = {"sequence_output": expected}
    for name, value in expected.items():
        rows = mask if name == "sequence_output" else slice(None)
        assert_close(numpy(seen[name])[rows], numpy(value)[rows], 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_nothing(kind):
    encoder = make(kind)
    pad = encoder.config["pad_id"]
    ids = make_ids(pad_id=pad)
    seen = numpy(encoder(ids))
    real = ids["token_ids"] != pad
    # by hand, with anything in its place
    masked = {name: np.where(real, value, 1) for name, value in ids.items()} | {"padding_mask": real}
    other = numpy(encoder(masked))
    assert_close(other["sequence_output"][real], seen["sequence_output"][real])
    # and without it
    for row, length in enumerate((7, 4, 1)):
        alone = numpy(encoder({name: value[row : row + 1, :length] for name, value in ids.items()}))
        assert_close(alone["sequence_output"][0], seen["sequence_output"][row, :length])
    if encoder.config["use_pooler"]:
        assert_close(other["pooled_output"], seen["pooled_output"])
    assert (
        np.abs(
            numpy(encoder({**masked, "padding_mask": np.ones_like(real)}))["sequence_output"][1, :4]
            - seen["sequence_output"][1, :4]
        ).max()
        > 1e-3
    )


@pytest.mark.parametrize("kind", ["bert", "albert", "modern"])
def test_scores_of_any_layers(kind):
    encoder, ids = make(kind), make_ids()
    seen = numpy(encoder(ids, return_attention_scores=True))
    assert [scores.shape for scores in seen["attention_scores"]] == [(3, 2, 7, 7)] * 2
    real = ids["token_ids"] != 0
    for scores in seen["attention_scores"]:
        np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
        assert (scores[:, :, 0] > 0).sum() == 2 * real.sum()
    for asked, expected in [([1], [1]), ([-1, 0], [1, 0]), ((0, 1), [0, 1]), (range(1), [0])]:
        some = numpy(encoder(ids, return_attention_scores=asked))
        assert_close(some["attention_scores"], [seen["attention_scores"][depth] for depth in expected])
        assert_close(some["sequence_output"], seen["sequence_output"])
    assert "attention_scores" not in encoder(ids)
    assert "attention_scores" not in encoder(ids, return_attention_scores=[])
    rows = encoder(ids, return_attention_scores=[1], num_score_rows=1)["attention_scores"]
    assert_close(rows, [seen["attention_scores"][1][:, :, :1]])


def test_scores_are_float32_in_half_precision():
    encoder = TextEncoder(**TINY, dtype="mixed_bfloat16")
    scores = encoder(make_ids(), return_attention_scores=[0])["attention_scores"][0]
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"


@pytest.mark.parametrize("kind", ["bert", "electra", "modern"])
def test_hidden_states_and_embeddings(kind):
    encoder, ids = make(kind), make_ids()
    seen = encoder(ids, return_hidden_states=True)
    states = seen["hidden_states"]
    assert [tuple(state.shape) for state in states] == [(3, 7, 12)] * 3
    assert_close(states[0], encoder.embed(ids))
    last = encoder.final_norm(states[-1]) if kind == "modern" else states[-1]
    assert_close(seen["sequence_output"], last)
    assert_close(encoder.encode(states[0], ids["token_ids"] != 0)["sequence_output"], last)


@pytest.mark.parametrize("kind", KINDS)
def test_order_matters(kind):
    encoder, ids = make(kind), make_ids((7,))
    other = {**ids, "token_ids": ids["token_ids"][:, [0, 2, 1, 3, 4, 5, 6]]}
    assert np.abs(numpy(encoder(other)["sequence_output"] - encoder(ids)["sequence_output"]))[0, 3:].max() > 1e-3


def test_segments_matter_where_there_are_two():
    ids = make_ids((7,))
    zeros = {**ids, "segment_ids": np.zeros_like(ids["segment_ids"])}
    alone = {"token_ids": ids["token_ids"]}
    for kind, differs in [("bert", True), ("roberta", False), ("distilbert", False)]:
        encoder = make(kind)
        with_two, with_one = (numpy(encoder(x)["sequence_output"]) for x in (ids, zeros))
        assert (np.abs(with_two - with_one).max() > 1e-3) == differs
        assert_close(encoder(alone)["sequence_output"], with_one)


def test_shared_layers_are_one():
    shared, plain = make("albert"), make("electra")
    assert len([weight for weight in shared.weights if "encoder_layer" in weight.path]) == 16
    assert shared.count_params() + shared.encoder_layers[0].count_params() == plain.count_params()
    one = shared.override(num_layers=1)
    assert_close(one(make_ids())["sequence_output"], shared(make_ids(), return_hidden_states=True)["hidden_states"][1])


@tensorflow_only
@pytest.mark.parametrize("kind", ["bert", "albert", "distilbert", "modern"])
def test_the_cost_is_that_of_the_graph_s_products(kind):
    import tensorflow as tf

    encoder = make(kind)
    read = tf.function(lambda token_ids: encoder({"token_ids": token_ids}))
    graph = read.get_concrete_function(tf.TensorSpec((1, 7), "int32")).graph
    multiplied = 0
    for operation in graph.get_operations():
        if operation.type in ("MatMul", "BatchMatMulV2"):
            assert not operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
            multiplied += int(np.prod(operation.inputs[0].shape)) * operation.outputs[0].shape[-1]
    assert encoder.multiply_adds(7) == multiplied


def test_approximate_gelu_is_the_formula():
    x = np.linspace(-4, 4, 31, dtype="float32")
    assert_close(gelu_approximate(x), 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def test_overrides():
    encoder, ids = make(), make_ids((4, 2))
    shorter = encoder.override(max_sequence_length=4)
    assert_close(shorter(ids), encoder(ids))
    assert encoder.override(use_pooler=False).pooler is None
    bare = make(use_pooler=False)
    assert bare.override(use_pooler=True)(ids)["pooled_output"].shape == (2, 12)
    with pytest.raises(ValueError, match=r"weight position_embedding/embeddings to have shape \(8, 12\)"):
        encoder.override(max_sequence_length=8)


def test_a_preset_folder_holds_it(tmp_path):
    encoder, ids = make("albert"), make_ids()
    encoder.save_to_preset(tmp_path / "encoder")
    assert_close(TextEncoder.from_preset(tmp_path / "encoder")(ids), encoder(ids))


@pytest.mark.parametrize(
    "name",
    ["vocabulary_size", "num_layers", "num_heads", "hidden_dim", "intermediate_dim", "max_sequence_length", "embedding_dim"],
)
def test_refuses_sizes_that_are_no_positive_ints(name):
    with pytest.raises(ValueError, match=rf"`{name}` should be a positive int\. Received: {name}=0"):
        TextEncoder(**{**TINY, name: 0})


def test_what_else_it_refuses():
    with pytest.raises(ValueError, match=r"Unknown positions; did you mean 'rotary'\? Received: positions='rotatory'"):
        TextEncoder(**TINY, positions="rotatory")
    with pytest.raises(ValueError, match=r"`num_heads` should divide the width 12\. Received: num_heads=5"):
        TextEncoder(**{**TINY, "num_heads": 5})
    with pytest.raises(ValueError, match=r"at most sequence_length=7 tokens"):
        make()(make_ids((8,)))
    for asked in ([2], [0, -3]):
        with pytest.raises(ValueError, match=r"a bool or layer indices below 2\. Received: return_attention_scores="):
            make()(make_ids(), return_attention_scores=asked)


@tensorflow_only
def test_the_vocabulary_goes_with_it(tmp_path):
    from textkit.tokenizer import Tokenizer

    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "bird", "##s", "on"]))
    tokenizer = Tokenizer.from_folder(tmp_path)
    encoder = make(tokenizer=tokenizer)
    encoder.save_to_preset(tmp_path / "preset")
    found = TextEncoder.from_preset(tmp_path / "preset")
    ids = numpy(found.tokenizer.encode(["Birds on"]))
    assert ids["token_ids"].tolist() == [[2, 5, 6, 7, 3]]
    assert found.tokenizer is found.tokenizer
    assert_close(found(ids), encoder(tokenizer.encode(["birds on"])))
    assert make().tokenizer is None

    encoder.save(tmp_path / "encoder.keras")
    fresh = "import sys, keras, textkit; model = keras.saving.load_model(sys.argv[1])"
    fresh += "; print(model.tokenizer.encode(['Birds on'])['token_ids'].numpy().tolist())"
    command = [sys.executable, "-c", fresh, str(tmp_path / "encoder.keras")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[[2, 5, 6, 7, 3]]"
