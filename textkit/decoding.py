"""Decoding: greedy search, sampling and beam search with a step function, with the alignment of every step.

One loop with static shapes serves all methods, eagerly, in a `tf.function`, under XLA and on JAX, and ends as soon as no
further step can change the result. It depends only on a step function and nested tensors whose first axis is the batch.
Greedy search is beam search of width 1.

The samplers of keras-nlp are not used: they return no alignments and, except for one beam option, no scores; their beam
search has no length penalty and keeps adding log-probabilities after the end token. Tests compare this module with them
where both apply.

Further axes here: t steps, s source tokens, w hypotheses of one example (the beam), r = b * w rows, v vocabulary.
"""

import keras
import numpy as np
from keras import ops, tree

from shared_layers import soft
from shared_layers.runtime import unknown_name

METHODS = ("beam", "greedy", "sample")


def decode(
    step,
    state,
    start_tokens,
    max_length,
    end_token,
    method="greedy",
    *,
    memory=(),
    source_length=None,
    beam_width=4,
    length_penalty=0.6,
    num_best=None,
    temperature=1.0,
    top_k=None,
    top_p=None,
    seed=None,
):
    """Generates tokens after each start token until the end token, or up to `max_length` tokens.

    "greedy" takes the most probable token at each step. "sample" draws one. "beam" keeps the `beam_width` best hypotheses; a
    finished hypothesis is not extended, but stays in the beam with its score. It returns the best by log-probability divided
    by `gnmt_penalty(length, length_penalty)`, whether they end within `max_length` or are truncated there.

    Args:
        step: function of tokens (r,) int32, the last one of each row; index () int32, 0 at the first call; state; and
            memory. It returns the logits (r, v) of the next token; the alignment (r, s), or `None`; and the new state,
            of unchanged structure, shapes and dtypes. r is b, and b * `beam_width` for a beam.
        state: nested structure of tensors (b, ...) that steps change; `()` for none. Beam search reorders its rows.
        start_tokens: int tensor (b,).
        max_length: int, the maximum number of generated tokens, the end token included.
        end_token: int.
        method: "greedy", "sample" or "beam".
        memory: nested structure of tensors (b, ...) that steps only read, such as the encoded source. Beam search repeats
            it once and does not reorder it, unlike the state.
        source_length: int or int tensor (), s; `None` if the step has no alignment.
        beam_width: int, for "beam".
        length_penalty: float, alpha, for "beam": 0 ranks by log-probability and favours short sequences.
        num_best: int up to `beam_width`, for "beam": how many hypotheses to return, best first; `None` returns one,
            without this axis.
        temperature: float, for "sample": divides the logits. For other methods it must be 1, and the next two `None`.
        top_k: int or `None`, for "sample": draws from the k most probable tokens only.
        top_p: float or `None`, for "sample": draws from the smallest set of most probable tokens with at least this total
            probability, after `top_k`; without `top_k` the whole vocabulary is sorted at each step.
        seed: int, `keras.random.SeedGenerator`, or `None`, for "sample". TensorFlow draws different numbers with and without
            XLA.

    Returns:
        A dict, with shapes (b, num_best, ...) if `num_best` is given:
        "ids" (b, t) int32, t = `max_length`: the generated tokens, the end token included, then zeros;
        "lengths" (b,) int32: the number of tokens, the end token included;
        "scores" (b,) float32: the sum of the tokens' log-probabilities, without temperature, `top_k` or `top_p`; -inf, with
        length 0, if there are fewer than `num_best` sequences;
        "alignment" (b, t, s) float32, with `source_length` only: row i is the alignment of the step that predicted
        token i; zeros after the end.

    Raises:
        ValueError: an option out of its range, an unknown method, or only one of the step's alignment and
            `source_length`.

    Reference: Wu et al. 2016, "Google's Neural Machine Translation System", section 7 (length normalisation only: no
    coverage penalty and no pruning by distance); beam of 4 and alpha of 0.6: Vaswani et al. 2017, section 6.1. Holtzman
    et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1 (top-p).

    Example: a chain in which each token is followed by the next,

    >>> def step(tokens, index, state, memory):
    ...     return 9.0 * ops.one_hot(tokens + 1, 5), None, state
    >>> result = decode(step, (), ops.array([1, 2]), max_length=4, end_token=4)
    >>> ops.convert_to_numpy(result["ids"]).tolist(), ops.convert_to_numpy(result["lengths"]).tolist()
    ([[2, 3, 4, 0], [3, 4, 0, 0]], [3, 2])
    """
    _check_options(max_length, method, beam_width, length_penalty, num_best, temperature, top_k, top_p)
    batch = ops.shape(start_tokens)[0]
    width = beam_width if method == "beam" else 1
    num_rows = batch * width
    positions = ops.arange(max_length, dtype="int32")
    if method == "sample":
        # All random numbers are drawn at once: JAX cannot carry random state through the loop.
        uniform = keras.random.uniform((max_length, batch), dtype="float32", seed=seed)

    def choose(log_probabilities, found, index):
        if method == "sample":
            return _drawn(log_probabilities, found, uniform[index], temperature, top_k, top_p)
        return _best(log_probabilities, found, width, length_penalty)

    def body(index, tokens, state, found, alignments, done):
        logits, alignment, state = step(tokens, index, state, memory)
        if (alignment is None) != (source_length is None):
            raise ValueError(
                "source_length must be given if and only if step returns an alignment. "
                f"Received: source_length={source_length}, alignment={alignment}"
            )
        if source_length is not None:
            update = ops.cast(alignment, "float32")[None]
            alignments = ops.scatter_update(alignments, ops.reshape(index, (1, 1)), update)
        tokens, scores, rows = choose(ops.log_softmax(ops.cast(logits, "float32")), found, index)
        if width > 1:
            state, found = tree.map_structure(lambda leaf: ops.take(leaf, rows, axis=0), (state, found))
        now = positions == index  # (t,)
        found = {
            "ids": ops.where(now, tokens[:, None], found["ids"]),
            "rows": ops.where(now, rows[:, None], found["rows"]),
            "scores": scores,
            "lengths": found["lengths"] + ops.cast(ops.logical_not(found["finished"]), "int32"),
            "finished": ops.logical_or(found["finished"], tokens == end_token),
        }
        return index + 1, tokens, state, found, alignments, _decided(found, width, num_best or 1, length_penalty, max_length)

    def goes_on(index, tokens, state, found, alignments, done):
        return ops.logical_and(index < max_length, ops.logical_not(ops.all(done)))

    state, memory, tokens = tree.map_structure(
        lambda leaf: ops.repeat(leaf, width, axis=0), (state, memory, ops.cast(start_tokens, "int32"))
    )
    found = {
        "ids": ops.zeros((num_rows, max_length), "int32"),
        # The row that computed each step of a hypothesis. Alignments stay in these rows and are gathered once, at the end:
        # reordering them at every step would cost more than a step of a small model.
        "rows": ops.zeros((num_rows, max_length), "int32"),
        # At first all hypotheses of an example are equal: only one has a finite score.
        "scores": ops.where(ops.arange(num_rows) % width == 0, 0.0, -np.inf),
        "lengths": ops.zeros((num_rows,), "int32"),
        "finished": ops.zeros((num_rows,), "bool"),
    }
    alignments = () if source_length is None else ops.zeros((max_length, num_rows, source_length))
    loop_vars = (ops.zeros((), "int32"), tokens, state, found, alignments, ops.zeros((batch,), "bool"))
    _, _, _, found, alignments, _ = ops.while_loop(goes_on, body, loop_vars)

    kept = slice(0, num_best) if num_best else 0
    found = tree.map_structure(lambda leaf: _per_example(leaf, width)[:, kept], found)
    lengths = ops.where(found["scores"] > -np.inf, found["lengths"], 0)
    real = positions < lengths[..., None]  # (b, [num_best,] t)
    result = {"ids": ops.where(real, found["ids"], 0), "lengths": lengths, "scores": found["scores"]}
    if source_length is not None:
        flat = ops.reshape(alignments, (-1, source_length))  # (t * r, s)
        alignment = ops.take(flat, positions * num_rows + found["rows"], axis=0)
        result["alignment"] = ops.where(real[..., None], alignment, 0.0)
    return result


def gnmt_penalty(lengths, alpha):
    """The length penalty of beam search, ((5 + length) / 6) ** alpha (Wu et al. 2016, equation 14).

    Args:
        lengths: int tensor of any shape, the numbers of tokens, the end token included.
        alpha: float, 0 for no normalisation.

    Returns:
        float32 tensor of that shape, 1 at length 1.

    Example:
        >>> ops.convert_to_numpy(gnmt_penalty(ops.array([1, 7, 19]), 2)).tolist()
        [1.0, 4.0, 16.0]
    """
    return ((5.0 + ops.cast(lengths, "float32")) / 6.0) ** alpha


def _best(log_probabilities, found, width, length_penalty):
    """The w best continuations of each example's w hypotheses: their tokens, scores, and the rows they continue."""
    # The best of all are among the best of each hypothesis.
    gained, tokens = ops.top_k(log_probabilities, min(width, log_probabilities.shape[-1]))  # (r, n)
    n = tokens.shape[-1]
    # A finished hypothesis has a single continuation, with unchanged score.
    standing_still = ops.where(ops.arange(n) == 0, 0.0, -np.inf)
    scores = found["scores"][:, None] + ops.where(found["finished"][:, None], standing_still, gained)
    lengths = found["lengths"] + ops.cast(ops.logical_not(found["finished"]), "int32")
    ranked = scores / gnmt_penalty(lengths, length_penalty)[:, None]
    _, best = ops.top_k(ops.reshape(ranked, (-1, width * n)), width)  # (b, w), best first
    first = width * n * ops.arange(ops.shape(best)[0], dtype="int32")[:, None]
    best = ops.reshape(first + best, (-1,))  # among all (r, n)
    return ops.take(tokens, best), ops.take(scores, best), best // n


def _drawn(log_probabilities, found, uniform, temperature, top_k, top_p):
    """One continuation of each hypothesis: its token, score, and the row it continues, which is its own."""
    logits = log_probabilities / temperature
    if top_k is None and top_p is None:
        tokens = _quantile(soft(logits), uniform)[:, None]
    else:
        vocabulary = logits.shape[-1]
        logits, candidates = ops.top_k(logits, min(top_k or vocabulary, vocabulary))  # largest first
        probabilities = soft(logits)
        if top_p is not None:
            before = ops.cumsum(probabilities, axis=-1) - probabilities
            probabilities = ops.where(before < top_p, probabilities, 0.0)
        tokens = ops.take_along_axis(candidates, _quantile(probabilities, uniform)[:, None], axis=1)
    gained = ops.take_along_axis(log_probabilities, tokens, axis=1)[:, 0]
    scores = found["scores"] + ops.where(found["finished"], 0.0, gained)
    return tokens[:, 0], scores, ops.arange(ops.shape(uniform)[0], dtype="int32")


def _quantile(probabilities, uniform):
    """Inverse transform sampling: the index where cumulative probabilities (r, v), of any sum, pass `uniform` (r,)."""
    # Zero probabilities are excluded, so that rounding of the sum never selects them.
    reached = ops.where(probabilities > 0.0, ops.cumsum(probabilities, axis=-1), 0.0)
    passed = reached > uniform[:, None] * ops.max(reached, axis=-1, keepdims=True)
    indices = ops.arange(probabilities.shape[-1], dtype="int32")
    return ops.min(ops.where(passed, indices, probabilities.shape[-1] - 1), axis=-1)


def _decided(found, width, num_best, length_penalty, max_length):
    """Whether the first `num_best` hypotheses are finished and no other can become better: bool (b,).

    Scores only decrease, and the length penalty is largest at `max_length`.
    """
    scores, lengths, finished = (_per_example(found[name], width) for name in ("scores", "lengths", "finished"))
    attainable = ops.where(finished, -np.inf, scores) / gnmt_penalty(max_length, length_penalty)
    last = num_best - 1
    to_pass = scores[:, last] / gnmt_penalty(lengths[:, last], length_penalty)
    ended = ops.all(finished[:, :num_best], axis=1)
    return ops.logical_and(ended, ops.max(attainable, axis=1) <= to_pass)


def _per_example(leaf, width):
    """(r, ...) -> (b, w, ...)."""
    return ops.reshape(leaf, (-1, width, *leaf.shape[1:]))


def _check_options(max_length, method, beam_width, length_penalty, num_best, temperature, top_k, top_p):
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1. Received: max_length={max_length}")
    if beam_width < 1:
        raise ValueError(f"beam_width must be at least 1. Received: beam_width={beam_width}")
    if length_penalty < 0:
        raise ValueError(f"length_penalty must be at least 0. Received: length_penalty={length_penalty}")
    if num_best is not None and method != "beam":
        raise ValueError(f"num_best needs method='beam'. Received: num_best={num_best}, method={method!r}")
    if num_best is not None and not 1 <= num_best <= beam_width:
        raise ValueError(f"num_best must be from 1 to beam_width. Received: num_best={num_best}, beam_width={beam_width}")
    if not temperature > 0:  # nor NaN
        raise ValueError(f"temperature must be greater than 0. Received: temperature={temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1. Received: top_k={top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1]. Received: top_p={top_p}")
    drawing = {"temperature": None if temperature == 1 else temperature, "top_k": top_k, "top_p": top_p}
    for name, value in drawing.items():
        if value is not None and method != "sample":
            raise ValueError(f"{name} needs method='sample'. Received: {name}={value}, method={method!r}")
