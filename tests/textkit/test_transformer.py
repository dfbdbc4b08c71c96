"""TransformerSeq2Seq: against KerasHub's layers, its scores and options, and what it refuses."""

import keras
import numpy as np
import pytest

from tests.checks import assert_close, numpy
from tests.textkit.models import TRANSFORMER, check_steps, make, make_ids
from textkit.transformer import TransformerSeq2Seq


def test_against_layers_of_keras_hub():
    import keras_hub

    model, ids = make("post_norm"), make_ids()
    layers = keras_hub.layers
    mask = ids["source_ids"] != 0
    options = {"intermediate_dim": 11, "num_heads": 2, "layer_norm_epsilon": 1e-6}

    def embed(table, tokens):
        x = numpy(table.embeddings)[tokens] * np.float32(10**0.5)
        return x + numpy(layers.SinePositionEncoding()(x))

    source = embed(model.source_embedding, ids["source_ids"])
    for layer in model.encoder_layers:
        theirs = layers.TransformerEncoder(**options)
        theirs.build(source.shape)
        theirs.set_weights(layer.get_weights())
        source = theirs(source, padding_mask=mask)
    target = embed(model.target_embedding, ids["target_ids"])
    for layer in model.decoder_layers:
        theirs = layers.TransformerDecoder(**options)
        theirs.build(target.shape, source.shape)
        theirs.set_weights(layer.get_weights())
        target = theirs(target, source, encoder_padding_mask=mask)
    expected = numpy(target) @ numpy(model.target_embedding.embeddings).T
    assert_close(model(ids), expected, 1e-4)


def test_scores_of_every_attention():
    model, ids = make("post_norm"), make_ids()
    seen = numpy(model(ids, return_attention_scores=True))
    assert_close(seen["logits"], numpy(model(ids)))
    for kind, shape in {"encoder": (3, 2, 5, 5), "decoder": (3, 2, 7, 7), "cross": (3, 2, 7, 5)}.items():
        scores = seen[f"{kind}_attention_scores"]
        assert [layer.shape for layer in scores] == [shape] * 2
        assert_close(np.stack(scores).sum(-1), np.ones((2, *shape[:-1])))
    assert_close(seen["alignment"], seen["cross_attention_scores"][0].mean(1))


@pytest.mark.parametrize(
    ("num_layers", "alignment_layer", "expected"), [(1, None, 0), (2, None, 0), (3, None, 1), (3, 2, 2)]
)
def test_the_alignment_is_that_of_one_layer(num_layers, alignment_layer, expected):
    model, ids = make("post_norm", num_layers=num_layers, alignment_layer=alignment_layer), make_ids()
    seen = numpy(model(ids, return_attention_scores=True))
    assert_close(seen["alignment"], seen["cross_attention_scores"][expected].mean(1))


@pytest.mark.parametrize("share_embeddings", [False, True])
@pytest.mark.parametrize("tie_output", [False, True])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@pytest.mark.parametrize("normalize_first", [False, True])
def test_every_option_steps_as_it_reads_all_at_once(share_embeddings, tie_output, positions, normalize_first):
    options = {
        "num_layers": 1,
        "source_vocabulary_size": 19,
        "share_embeddings": share_embeddings,
        "tie_output": tie_output,
        "positions": positions,
        "normalize_first": normalize_first,
    }
    model = make("post_norm", **options)
    paths = [weight.path for weight in model.weights]
    assert sum(path.endswith("embedding/embeddings") for path in paths) == (1 if share_embeddings else 2)
    assert any("head" in path for path in paths) != tie_output
    assert sum("positions" in path for path in paths) == (2 if positions == "learned" else 0)
    assert sum("er_norm" in path for path in paths) == (4 if normalize_first else 0)
    check_steps(model)


def test_a_shared_table_is_read_and_written_by_both_sides():
    model, ids = make("post_norm", source_vocabulary_size=19, share_embeddings=True, tie_output=False), make_ids((5,), (7,))
    before, memory = numpy(model(ids)), numpy(model.encode(ids["source_ids"]))["tokens"]
    table = numpy(model.target_embedding.embeddings)
    table[ids["source_ids"][0, 0]] += 1.0
    model.target_embedding.embeddings.assign(table)
    assert np.abs(numpy(model.encode(ids["source_ids"]))["tokens"] - memory).max() > 1e-2
    table[2] += 1.0  # the start token
    model.source_embedding.embeddings.assign(table)
    assert np.abs(numpy(model(ids)) - before).max() > 1e-2


def test_order_matters():
    for name in ("post_norm", "pre_norm"):
        model, ids = make(name), make_ids((5,), (7,))
        other = {**ids, "source_ids": ids["source_ids"][:, [1, 0, 2, 3, 4]]}
        assert np.abs(numpy(model(other)) - numpy(model(ids))).max() > 1e-3


def test_fresh_logits_have_a_variance_near_one():
    model = TransformerSeq2Seq(97, 101, num_layers=2, num_heads=4, hidden_dim=64, intermediate_dim=128)
    random = np.random.RandomState(0)
    ids = {"source_ids": random.randint(4, 97, (7, 11)), "target_ids": random.randint(4, 101, (7, 13))}
    assert 0.7 < numpy(model(ids)).std() < 1.4


def test_what_it_refuses():
    def refuses(match, **options):
        with pytest.raises(ValueError, match=match):
            TransformerSeq2Seq(**{**TRANSFORMER, **options})

    refuses("Unknown positions; expected one of 'learned', 'sinusoidal'.*Received: positions='rotary'", positions="rotary")
    refuses("needs vocabularies of the same size.*Received: source_vocabulary_size=17", share_embeddings=True)
    refuses("`alignment_layer` should be from 0 to 1. Received: alignment_layer=2", alignment_layer=2)
    refuses("`num_layers` should be a positive int. Received: num_layers=0", num_layers=0)
    refuses("`num_heads` should divide the width 10. Received: num_heads=3", num_heads=3)
    model = make("pre_norm")
    with pytest.raises(ValueError, match=r"`max_length` should be at most max_target_length=8. Received: max_length=9"):
        model.generate(make_ids()["source_ids"], max_length=9)
    with pytest.raises(ValueError, match="at most sequence_length=7 tokens"):
        model(make_ids((8,), (2,)))


def test_one_preset_folder_holds_it(tmp_path):
    model, ids = make("pre_norm"), make_ids()
    model.save_to_preset(tmp_path / "model")
    loaded = TransformerSeq2Seq.from_preset(tmp_path / "model")
    assert_close(loaded(ids), numpy(model(ids)))
    assert isinstance(loaded, keras.Model)
