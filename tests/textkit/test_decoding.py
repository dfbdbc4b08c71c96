"""Decoding against searches written as loops over Python lists, exhaustive ones among them, and against keras-nlp."""

import functools
import itertools

import keras
import numpy as np
import pytest
from keras import ops

from tests.backends import tensorflow_only
from tests.checks import assert_close, check_compiled, numpy
from textkit.decoding import decode, gnmt_penalty

BATCH, VOCABULARY, WIDTH, SOURCE, LENGTH, DRAWS = 3, 5, 11, 7, 13, 40009
START, END = 1, 3
NEVER = -1  # an end token that does not occur

normal = np.random.RandomState(25).normal  # greedily of 6, 4 and 3 tokens
EMBEDDING, RECURRENT = normal(size=(VOCABULARY, WIDTH)), normal(size=(WIDTH, WIDTH)) / WIDTH**0.5
OUTPUT, MEMORY = normal(size=(WIDTH, VOCABULARY)) * 0.8, normal(size=(BATCH, SOURCE, WIDTH))
BIAS = normal(size=(LENGTH, 1))
STARTS = np.full((BATCH,), START, "int32")
# What follows each token, in a chain without memory.
CHAIN = np.log(np.random.RandomState(1).dirichlet(np.full(VOCABULARY, 0.7), size=VOCABULARY)).astype("float32")


def recurrent_step(tokens, index, state, memory):
    """A small decoder with attention: what it predicts depends on all tokens so far, on the step and on the memory."""
    embedding, recurrent, output, bias = (ops.cast(x, "float32") for x in (EMBEDDING, RECURRENT, OUTPUT, BIAS))
    hidden = ops.tanh(ops.matmul(state["hidden"], recurrent) + ops.take(embedding, tokens, axis=0) + bias[index])
    alignment = ops.softmax(ops.einsum("bd,bsd->bs", hidden, memory))
    context = ops.einsum("bs,bsd->bd", alignment, memory)
    return ops.matmul(hidden + context, output), alignment, {"hidden": hidden}


def recurrent(start_tokens=STARTS, memory=MEMORY, max_length=LENGTH, end_token=END, step=recurrent_step, **options):
    memory = ops.cast(memory, "float32")
    state = {"hidden": ops.zeros((ops.shape(start_tokens)[0], WIDTH))}
    source_length = ops.shape(memory)[1]
    return decode(step, state, start_tokens, max_length, end_token, memory=memory, source_length=source_length, **options)


def recurrent_by_hand(item, tokens):
    """The log-probabilities (i + 1, v) and alignments (i + 1, s) of all steps up to that after the i given tokens."""
    hidden, rows = np.zeros(WIDTH), []
    for index, token in enumerate([START, *tokens]):
        hidden = np.tanh(hidden @ RECURRENT + EMBEDDING[token] + BIAS[index])
        weights = np.exp(MEMORY[item] @ hidden)
        weights /= weights.sum()
        logits = (hidden + weights @ MEMORY[item]) @ OUTPUT
        rows.append((logits - np.log(np.exp(logits).sum()), weights))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def score_by_hand(item, tokens):
    log_probabilities, _ = recurrent_by_hand(item, tokens[:-1])
    return sum(log_probabilities[range(len(tokens)), tokens])


def penalty_by_hand(length, alpha):
    return (5 + length) ** alpha / (5 + 1) ** alpha


def beam_by_hand(item, width, alpha, max_length):
    """Hypotheses as (tokens, score), best first, all steps taken."""
    beam = [((), 0.0)]
    for _ in range(max_length):
        grown = []
        for tokens, score in beam:
            if END in tokens:
                grown.append((tokens, score))
            else:
                following = recurrent_by_hand(item, tokens)[0][-1]
                grown += [((*tokens, token), score + following[token]) for token in range(VOCABULARY)]
        beam = sorted(grown, key=lambda each: -each[1] / penalty_by_hand(len(each[0]), alpha))[:width]
    return beam


def all_sequences(max_length):
    """Every sequence that ends at the end token, or is cut at the largest length without one."""
    others = [token for token in range(VOCABULARY) if token != END]
    for length in range(1, max_length + 1):
        for tokens in itertools.product(others, repeat=length - 1):
            yield (*tokens, END)
    yield from itertools.product(others, repeat=max_length)


def chain_step(tokens, index, state, memory):
    return ops.take(ops.convert_to_tensor(CHAIN), tokens, axis=0), None, state


def sequences(result, item):
    """The sequences of one example as tuples, best first, and nothing but zeros after them."""
    found = []
    for ids, length in zip(numpy(result["ids"])[item], numpy(result["lengths"])[item], strict=True):
        assert not ids[length:].any()
        found.append(tuple(ids[:length].tolist()))
    return found


def assert_hypotheses(result, item, expected):
    """The result's hypotheses of an example are the expected (tokens, score), with the alignments of their own steps."""
    assert sequences(result, item) == [tokens for tokens, _ in expected]
    assert_close(result["scores"][item], np.array([score for _, score in expected]))
    for alignment, (tokens, _) in zip(numpy(result["alignment"])[item], expected, strict=True):
        assert_close(alignment[: len(tokens)], recurrent_by_hand(item, tokens[:-1])[1])
        assert not alignment[len(tokens) :].any()


def with_axis(result):
    """A result without an axis of hypotheses, with one."""
    return {name: value[:, None] for name, value in result.items()}


def test_shapes_and_dtypes():
    shapes = {"ids": (LENGTH,), "lengths": (), "scores": (), "alignment": (LENGTH, SOURCE)}
    for method in ("greedy", "sample", "beam"):
        result = recurrent(method=method, seed=0)
        assert {name: tuple(value.shape) for name, value in result.items()} == {n: (BATCH, *s) for n, s in shapes.items()}
    result = recurrent(method="beam", num_best=2)
    assert {name: tuple(value.shape) for name, value in result.items()} == {n: (BATCH, 2, *s) for n, s in shapes.items()}
    dtypes = {name: keras.backend.standardize_dtype(value.dtype) for name, value in result.items()}
    assert dtypes == {"ids": "int32", "lengths": "int32", "scores": "float32", "alignment": "float32"}


def test_greedy_takes_the_most_probable_token_at_each_step():
    result = with_axis(recurrent())
    for item in range(BATCH):
        tokens = ()
        while END not in tokens and len(tokens) < LENGTH:
            tokens = (*tokens, int(recurrent_by_hand(item, tokens)[0][-1].argmax()))
        assert_hypotheses(result, item, [(tokens, score_by_hand(item, tokens))])
    assert numpy(result["lengths"]).tolist() == [[6], [4], [3]]


@pytest.mark.parametrize("length_penalty", [0.0, 3.0])
def test_a_beam_of_one_is_greedy(length_penalty):
    assert_close(recurrent(method="beam", beam_width=1, length_penalty=length_penalty), recurrent())


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 3.0])
@pytest.mark.parametrize("num_best", [1, 2, 85])
def test_a_wide_beam_is_exhaustive_search(length_penalty, num_best):
    """85 sequences of up to 3 tokens: a beam of 89 holds them all."""
    result = recurrent(max_length=3, method="beam", beam_width=89, num_best=num_best, length_penalty=length_penalty)
    for item in range(BATCH):
        scored = [(tokens, score_by_hand(item, tokens)) for tokens in all_sequences(3)]
        scored.sort(key=lambda each: -each[1] / penalty_by_hand(len(each[0]), length_penalty))
        assert len(scored) == 85
        assert_hypotheses(result, item, scored[:num_best])


@pytest.mark.parametrize("beam_width", [2, 3, 5])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 3.0])
def test_a_narrow_beam_is_the_search_by_hand(beam_width, length_penalty):
    for num_best in (1, beam_width):  # with one the loop may end earlier
        options = {"beam_width": beam_width, "num_best": num_best, "length_penalty": length_penalty}
        result = recurrent(method="beam", **options)
        for item in range(BATCH):
            assert_hypotheses(result, item, beam_by_hand(item, beam_width, length_penalty, LENGTH)[:num_best])


def test_the_best_come_first():
    result = numpy(recurrent(method="beam", beam_width=5, num_best=5, length_penalty=0.6))
    assert len(set(result["lengths"].flat)) > 1
    assert (np.diff(result["scores"] / penalty_by_hand(result["lengths"], 0.6)) <= 0).all()
    assert (np.diff(result["scores"]) > 0).any()  # the order is not that of the scores without the penalty


def test_the_best_alone_needs_no_axis():
    assert_close(with_axis(recurrent(method="beam")), recurrent(method="beam", num_best=1))


def test_a_longer_sequence_wins_with_a_larger_penalty():
    lengths = [numpy(recurrent(method="beam", length_penalty=alpha)["lengths"]).sum() for alpha in (0.0, 5.0)]
    assert lengths[0] < lengths[1]


def test_fewer_sequences_than_asked_for():
    result = numpy(recurrent(max_length=1, method="beam", beam_width=7, num_best=7))
    assert np.isfinite(result["scores"][:, :VOCABULARY]).all()
    assert (result["scores"][:, VOCABULARY:] == -np.inf).all()
    for name in ("ids", "lengths", "alignment"):
        assert not result[name][:, VOCABULARY:].any()


@pytest.mark.parametrize("options", [{}, {"method": "beam", "beam_width": 3, "num_best": 3}], ids=["greedy", "beam"])
def test_a_batch_is_its_items_one_by_one(options):
    together = recurrent(**options)
    for item in range(BATCH):
        alone = recurrent(STARTS[item : item + 1], MEMORY[item : item + 1], **options)
        assert_close({name: value[item] for name, value in together.items()}, {n: value[0] for n, value in alone.items()})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "beam", "beam_width": 3, "num_best": 2},
        {"method": "sample"},
        {"method": "sample", "top_k": 4, "top_p": 0.8, "temperature": 1.3},
    ],
    ids=["greedy", "beam", "sample", "sample from the top"],
)
def test_compiled_is_eager(options, monkeypatch):
    numbers = np.random.RandomState(5).rand(LENGTH, BATCH)  # XLA on TensorFlow has another generator than eager execution
    monkeypatch.setattr(keras.random, "uniform", lambda shape, dtype, seed: ops.convert_to_tensor(numbers, dtype))
    call = functools.partial(recurrent, **options)
    arrays = {"start_tokens": STARTS, "memory": MEMORY.astype("float32")}
    check_compiled(call, arrays, numpy(call(**arrays)))


@tensorflow_only
@pytest.mark.parametrize("options", [{}, {"method": "beam", "num_best": 2}, {"method": "sample", "seed": 5, "top_p": 0.8}])
def test_one_graph_serves_every_batch_and_source_length(options):
    import tensorflow as tf

    call = functools.partial(recurrent, **options)
    signature = [tf.TensorSpec((None,), "int32"), tf.TensorSpec((None, None, WIDTH), "float32")]
    graph = tf.function(call, input_signature=signature)
    for memory in (MEMORY, MEMORY[:2, :5]):
        arguments = STARTS[: len(memory)], memory.astype("float32")
        assert_close(graph(*map(tf.constant, arguments)), call(*arguments))


def test_logits_of_half_precision_are_scored_in_float32():
    def half_step(*arguments):
        logits, alignment, state = recurrent_step(*arguments)
        return ops.cast(logits, "float16"), ops.cast(alignment, "float16"), state

    half, full = recurrent(step=half_step), recurrent()
    assert keras.backend.standardize_dtype(half["scores"].dtype) == "float32"
    assert_close(half, full, 1e-2)


def count_calls(step, *arguments, **options):
    """How many steps the loop takes, checked to have the indices 0, 1, 2, ..."""
    indices = []

    def counted(tokens, index, state, memory):
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.py_function(lambda i: indices.append(int(i)), [index], [])
        else:
            import jax

            jax.debug.callback(lambda i: indices.append(int(i)), index, ordered=True)
        return step(tokens, index, state, memory)

    numpy(decode(counted, *arguments, **options))
    if keras.backend.backend() == "jax":
        import jax

        jax.effects_barrier()
    assert indices == list(range(len(indices)))
    return len(indices)


def countdown_step(tokens, index, state, memory):
    """Each token is followed by the one below it, almost surely."""
    return 30.0 * ops.one_hot(tokens - 1, 11), None, state


@pytest.mark.parametrize("method", ["greedy", "sample", "beam"])
def test_the_loop_ends_with_the_longest_sequence(method):
    def count(starts, end_token=2, max_length=LENGTH):
        return count_calls(countdown_step, (), np.array(starts), max_length, end_token, method=method, seed=0)

    assert count([4, 7, 3]) == 5
    assert count([3, 3]) == 1
    assert count([4, 7, 3], max_length=3) == 3
    assert count([10, 9], NEVER, max_length=7) == 7


def test_a_beam_ends_as_soon_as_no_hypothesis_can_pass_the_best():
    """END at once has 0.6. Token 2 has 0.4 and goes on with 0.4 a step: 0.4, 0.16, 0.064 after 1, 2, 3 steps.

    Without a penalty 0.4 is less at once. With alpha = 2 and at most 7 tokens, a log-probability counts for at least a
    quarter: log(0.16) / 4 = -0.46 may still pass log(0.6) = -0.51, log(0.064) / 4 = -0.69 no longer.
    """
    table = np.full((VOCABULARY, VOCABULARY), -np.inf, "float32")
    table[START, [END, 2]] = table[2, [END, 2]] = np.log([0.6, 0.4])
    table[[0, END, 4], 0] = 0.0

    def step(tokens, index, state, memory):
        return ops.take(ops.convert_to_tensor(table), tokens, axis=0), None, state

    count = functools.partial(count_calls, step, (), STARTS, 7, END, method="beam", beam_width=5)
    assert count(length_penalty=0.0) == 1
    assert count(length_penalty=2.0) == 3
    assert count(length_penalty=0.0, num_best=2) == 2  # then 2, END has 0.24, which 2, 2 with 0.16 cannot pass


def test_a_search_that_never_ends_agrees_with_keras_nlp():
    import keras_nlp

    prompt = np.zeros((BATCH, 1 + LENGTH), "int32")
    prompt[:, 0] = START
    given = np.arange(1 + LENGTH)[None] < np.ones((BATCH, 1))

    def following(prompt, cache, index):
        memory, hidden = cache
        tokens = prompt[:, index - 1]
        logits, _, state = recurrent_step(tokens, index - 1, {"hidden": hidden}, memory)
        return logits, None, (memory, state["hidden"])

    def sampled(sampler):
        cache = (ops.cast(MEMORY, "float32"), ops.zeros((BATCH, WIDTH)))
        return sampler(next=following, prompt=ops.array(prompt), cache=cache, index=1, mask=ops.array(given))

    greedy = recurrent(end_token=NEVER)["ids"]
    np.testing.assert_array_equal(numpy(greedy), numpy(sampled(keras_nlp.samplers.GreedySampler()))[:, 1:])
    ids, scores = sampled(keras_nlp.samplers.BeamSampler(num_beams=3, return_all_beams=True))
    beam = recurrent(end_token=NEVER, method="beam", beam_width=3, num_best=3, length_penalty=0.0)
    np.testing.assert_array_equal(numpy(beam["ids"]), numpy(ids)[:, :, 1:])
    assert_close(beam["scores"], scores, 1e-4)


def draw(max_length=2, draws=DRAWS, end_token=NEVER, **options):
    starts = np.full((draws,), START, "int32")
    return numpy(decode(chain_step, (), starts, max_length, end_token, method="sample", **{"seed": 3, **options}))


def distribution_by_hand(logits, temperature=1.0, top_k=None, top_p=None):
    probabilities = np.exp(logits.astype("float64") / temperature)
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities)[:top_k]
    kept, reached = [], 0.0
    for token in order:
        if top_p is None or reached < top_p * probabilities[order].sum():
            kept.append(token)
            reached += probabilities[token]
    return np.where(np.isin(range(VOCABULARY), kept), probabilities, 0.0) / probabilities[kept].sum()


SAMPLING = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 2},
    {"top_p": 0.8},
    {"top_k": 3, "top_p": 0.6, "temperature": 1.5},
    {"top_k": 11},
    {"top_p": 1.0},
]


@pytest.mark.parametrize("options", SAMPLING, ids=str)
def test_draws_have_the_frequencies_of_the_softmax(options):
    """Of both tokens together: each step draws anew."""
    ids = draw(**options)["ids"]
    frequencies = np.zeros((VOCABULARY, VOCABULARY))
    np.add.at(frequencies, (ids[:, 0], ids[:, 1]), 1 / DRAWS)
    first = distribution_by_hand(CHAIN[START], **options)
    expected = first[:, None] * [distribution_by_hand(logits, **options) for logits in CHAIN]
    np.testing.assert_allclose(frequencies, expected, atol=5 * 0.5 / DRAWS**0.5)
    assert not frequencies[expected == 0.0].any()


def test_filters_and_temperature_do_what_the_cases_above_need():
    """Each set of options gives another distribution, but for the two that filter nothing."""
    distributions = [distribution_by_hand(CHAIN[START], **options).round(3).tolist() for options in SAMPLING]
    assert len({tuple(each) for each in distributions}) == len(SAMPLING) - 2


def test_scores_of_draws_are_those_of_the_plain_model():
    result = draw(draws=17, max_length=LENGTH, end_token=END, temperature=2.0, top_k=4)
    for ids, length, score in zip(result["ids"], result["lengths"], result["scores"], strict=True):
        tokens = ids[:length]
        assert_close(score, sum(CHAIN[before, token] for before, token in zip([START, *tokens], tokens)))  # noqa: B905
        assert END not in tokens[:-1]
        assert length == LENGTH or tokens[-1] == END


def test_what_has_no_probability_is_never_drawn():
    possible = np.random.RandomState(2).rand(8009) < 0.01
    logits = np.where(possible, 0.0, -np.inf).astype("float32")

    def step(tokens, index, state, memory):
        return ops.broadcast_to(logits, (503, 8009)), None, state

    for options in ({}, {"top_p": 0.99}):
        result = decode(step, (), np.zeros((503,), "int32"), 7, NEVER, method="sample", seed=1, **options)
        assert possible[numpy(result["ids"])].all()
        assert np.isfinite(numpy(result["scores"])).all()


def test_seeds():
    assert_close(draw(draws=101), draw(draws=101))
    assert (draw(draws=101)["ids"] != draw(draws=101, seed=4)["ids"]).any()
    generator = keras.random.SeedGenerator(3)
    assert (draw(draws=101, seed=generator)["ids"] != draw(draws=101, seed=generator)["ids"]).any()


def test_one_of_the_most_probable_is_greedy():
    for options in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        assert_close(recurrent(method="sample", seed=0, **options), recurrent())


def test_the_penalty_is_that_of_the_paper():
    assert_close(gnmt_penalty(ops.array([1, 7, 19]), 0.5), np.array([1.0, 2.0**0.5, 2.0]))
    assert_close(gnmt_penalty(ops.array([1, 7, 19]), 0.0), np.ones(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "beem"}, r"Unknown method; did you mean 'beam'\? Received: method='beem'"),
        ({"method": "mcmc"}, "Unknown method; expected one of 'beam', 'greedy', 'sample'. Received: method='mcmc'"),
        ({"max_length": 0}, "max_length must be at least 1. Received: max_length=0"),
        ({"method": "beam", "beam_width": 0}, "beam_width must be at least 1. Received: beam_width=0"),
        ({"length_penalty": -0.1}, "length_penalty must be at least 0. Received: length_penalty=-0.1"),
        ({"num_best": 2}, "num_best needs method='beam'. Received: num_best=2, method='greedy'"),
        (
            {"method": "beam", "beam_width": 3, "num_best": 4},
            "num_best must be from 1 to beam_width. Received: num_best=4, beam_width=3",
        ),
        ({"method": "beam", "num_best": 0}, "num_best must be from 1 to beam_width. Received: num_best=0, beam_width=4"),
        ({"temperature": 0.0}, "temperature must be greater than 0. Received: temperature=0.0"),
        ({"top_k": 0}, "top_k must be at least 1. Received: top_k=0"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]. Received: top_p=0.0"),
        ({"top_p": 1.5}, r"top_p must be in \(0, 1\]. Received: top_p=1.5"),
        ({"temperature": 0.5}, "temperature needs method='sample'. Received: temperature=0.5, method='greedy'"),
        ({"method": "beam", "top_k": 3}, "top_k needs method='sample'. Received: top_k=3, method='beam'"),
        ({"method": "beam", "top_p": 0.5}, "top_p needs method='sample'. Received: top_p=0.5, method='beam'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        recurrent(**options)


def test_alignments_are_never_dropped_silently():
    message = "source_length must be given if and only if step returns an alignment. Received: source_length="
    with pytest.raises(ValueError, match=f"{message}None, alignment="):
        decode(recurrent_step, {"hidden": ops.zeros((BATCH, WIDTH))}, STARTS, 2, END, memory=ops.cast(MEMORY, "float32"))
    with pytest.raises(ValueError, match=f"{message}7, alignment=None"):
        decode(chain_step, (), STARTS, 2, END, source_length=7)
