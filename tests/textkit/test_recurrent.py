"""RecurrentSeq2Seq: the whole model against a loop, what each option does, scheduled sampling, and what is refused."""

import keras
import numpy as np
import pytest

from tests.backends import tensorflow_only
from tests.checks import assert_close, numpy
from tests.textkit.models import RECURRENT, check_steps, make, make_ids
from textkit.recurrent import RecurrentSeq2Seq, ScheduledSampling
from textkit.seq2seq import TokenCrossEntropy


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, h, kernel, recurrent_kernel, bias):
    """One step of one row."""
    update, reset, candidate = np.split(x @ kernel + bias[0], 3)
    update_h, reset_h, candidate_h = np.split(h @ recurrent_kernel + bias[1], 3)
    update, reset = sigmoid(update + update_h), sigmoid(reset + reset_h)
    return update * h + (1 - update) * np.tanh(candidate + reset * candidate_h)


@pytest.mark.parametrize("attention", [None, "additive", "general"])
def test_the_whole_model_against_a_loop(attention):
    model, ids = make("fixed", attention=attention), make_ids()
    seen = numpy(model(ids, return_attention_scores=True))
    weights = {weight.path.removeprefix(f"{model.name}/"): numpy(weight) for weight in model.weights}

    def of(*names):
        """The weights whose paths hold the words of these names."""
        return [next(weights[path] for path in weights if set(name.split()) <= set(path.split("/"))) for name in names]

    source_table, target_table = of("source_embedding embeddings", "target_embedding embeddings")
    forward = of(*(f"forward_encoder_0 {name}" for name in ("kernel", "recurrent_kernel", "bias")))
    backward = of(*(f"backward_encoder_0 {name}" for name in ("kernel", "recurrent_kernel", "bias")))
    decoder = of(*(f"decoder_0 {name}" for name in ("kernel", "recurrent_kernel", "bias")))
    bridge, bridge_bias, readout, readout_bias, head, head_bias = of(
        "bridge kernel", "bridge bias", "readout kernel", "readout bias", "head kernel", "head bias"
    )
    for row, (s, t) in enumerate([(5, 7), (3, 4), (1, 2)]):
        outputs = []
        for kernels, order in ((forward, range(s)), (backward, reversed(range(s)))):
            h, states = np.zeros(10), {}
            for i in order:
                h = states[i] = gru(source_table[ids["source_ids"][row, i]], h, *kernels)
            outputs.append(([states[i] for i in range(s)], h))
        values = np.concatenate([outputs[0][0], outputs[1][0]], axis=1)  # (s, 20)
        last = np.concatenate([outputs[0][1], outputs[1][1]])
        h = np.tanh(last @ bridge[:, 0] + bridge_bias[0])
        fed = np.zeros(10) if attention else last
        for i in range(t):
            h = gru(np.concatenate([target_table[ids["target_ids"][row, i]], fed]), h, *decoder)
            if attention == "additive":
                query_kernel, key_kernel, vector = of("attention query_kernel", "attention key_kernel", "attention scale")
                scores = np.array([vector @ np.tanh(h @ query_kernel + value @ key_kernel) for value in values])
            elif attention == "general":
                scores = np.array([h @ of("attention kernel")[0] @ value for value in values])
            context = last
            if attention:
                probabilities = np.exp(scores) / np.exp(scores).sum()
                context = probabilities @ values
                assert_close(seen["alignment"][row, i, :s], probabilities.astype("float32"))
            r = np.tanh(np.concatenate([context, h]) @ readout + readout_bias)
            fed = r if attention else last
            assert_close(seen["logits"][row, i], (r @ head + head_bias).astype("float32"))


def test_a_fixed_context_has_no_alignment():
    assert not numpy(make("fixed")(make_ids(), return_attention_scores=True)["alignment"]).any()


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("attention", [None, "additive", "concat", "concat_linear", "dot", "general", "scaled_dot"])
def test_every_cell_and_score_steps_as_it_reads_all_at_once(cell, attention):
    check_steps(make("fixed", cell=cell, attention=attention, num_encoder_layers=2))


def test_hard_selections_take_that_many_tokens():
    ids = make_ids()
    alignment = numpy(make("hard", num_selected=2)(ids, return_attention_scores=True)["alignment"])
    assert set(np.unique(alignment)) == {0.0, 1.0}
    assert (alignment.sum(-1) == np.array([2, 2, 1])[:, None]).all()
    model = RecurrentSeq2Seq.from_config(make("hard", num_selected=2, renormalize=True).get_config())
    weighted = numpy(model(ids, return_attention_scores=True)["alignment"])
    assert ((weighted > 0).sum(-1) == np.array([2, 2, 1])[:, None]).all()
    assert_close(weighted.sum(-1), np.ones_like(weighted[..., 0]))


@tensorflow_only
def test_drawn_selections_train():
    model, ids = make("hard", selection="hard_sample"), make_ids()
    one, two = (numpy(model(ids, training=True, return_attention_scores=True)["alignment"]) for _ in range(2))
    assert (one != two).any()
    assert_close(numpy(model(ids)), numpy(model(ids)))
    model.compile("sgd", TokenCrossEntropy(), jit_compile=False)
    before = numpy(model.attention.query_kernel)
    assert np.isfinite(model.train_on_batch(ids, ids["target_ids"]))
    assert (numpy(model.attention.query_kernel) != before).any()


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="what JAX alone refuses")
def test_drawn_selections_are_refused_by_jax_in_training_alone():
    model, ids = make("hard", selection="hard_sample"), make_ids()
    assert_close(numpy(model(ids)), numpy(make("hard")(ids)))
    message = r"Training with selection='hard_sample' needs Keras's TensorFlow backend\. Received: KERAS_BACKEND=jax"
    with pytest.raises(ValueError, match=message):
        model(ids, training=True)
    model.compile("sgd", TokenCrossEntropy())
    with pytest.raises(ValueError, match=message):
        model.fit(ids, ids["target_ids"], verbose=0)


def test_dropout_acts_in_training_alone():
    model, ids = make("deep", dropout=0.3), make_ids()
    assert_close(numpy(model(ids)), numpy(make("deep")(ids)))
    one, two = (numpy(model(ids, training=True)) for _ in range(2))
    assert np.abs(one - two).max() > 1e-2


def test_scheduled_sampling_reads_the_models_own_tokens():
    model, ids = make("additive", scheduled_sampling=True), make_ids((5, 5), (7, 7))
    given = numpy(model(ids))
    assert_close(numpy(model(ids, training=True)), given)
    model.sampling_probability.assign(1.0)
    assert_close(numpy(model(ids)), given)
    own = numpy(model(ids, training=True))
    tokens = np.concatenate([ids["target_ids"][:, :1], own[:, :-1].argmax(-1)], axis=1).astype("int32")
    assert (tokens != ids["target_ids"]).any()
    assert_close(numpy(model({**ids, "target_ids": tokens})), own)


def test_scheduled_sampling_grows_by_epoch_and_trains():
    model, ids = make("additive", scheduled_sampling=True, dropout=0.1), make_ids()
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(float(numpy(self.model.sampling_probability)))

    model.compile("sgd", TokenCrossEntropy(), jit_compile=False)
    history = model.fit(ids, ids["target_ids"], epochs=4, verbose=0, callbacks=[ScheduledSampling(0.5, 2), Watch()])
    assert_close(np.float32(seen), np.float32([0.0, 0.25, 0.5, 0.5]))
    assert np.isfinite(history.history["loss"]).all()


def test_what_it_refuses():
    def refuses(match, **options):
        with pytest.raises(ValueError, match=match):
            RecurrentSeq2Seq(**{**RECURRENT, **options})

    refuses("cell.*gru", cell="gro")
    refuses("attention.*additive", attention="aditive")
    refuses("selection.*soft", attention="dot", selection="sofd")
    refuses("are options of an attention. Received: attention=None, selection='sofd'", selection="sofd")
    refuses("are options of an attention. Received: attention=None, .*num_selected=3", num_selected=3)
    refuses("`num_selected` is an option of .*Received: num_selected=3, .*'soft'", attention="dot", num_selected=3)
    refuses("`num_encoder_layers` should be a positive int. Received: num_encoder_layers=0", num_encoder_layers=0)
    refuses("`hidden_dim` should be a positive int. Received: hidden_dim=-1", hidden_dim=-1)
    with pytest.raises(ValueError, match=r"`probability` should be in \[0, 1\]. Received: probability=2"):
        ScheduledSampling(2, 1)
    model = make("fixed")
    model.compile("sgd", TokenCrossEntropy(), jit_compile=False)
    ids = make_ids()
    with pytest.raises(ValueError, match="should be made with scheduled_sampling=True"):
        model.fit(ids, ids["target_ids"], verbose=0, callbacks=[ScheduledSampling(0.5, 1)])
