"""What needs no trained model: the variance of a dot product, positions, and what attention costs."""

import statistics

import numpy as np
import tensorflow as tf

from benchmarks.timing import interleave
from scripts.attention_page.drawing import BLUE, RED, draw
from shared_layers import MultiHeadAttention, SinePositionEncoding, dot, scaled_dot, soft

_SCORES = {"dot": (dot, "q · k", RED), "scaled_dot": (scaled_dot, "q · k / √d", BLUE)}
_KEYS = 16
_POSITIONS, _WIDTH = 64, 64  # of the positions that are drawn
_HEADS = 8


def scores_by_width(widths, queries=2000, seed=0):
    """Scores random queries against 16 keys each, all of independent numbers of variance 1, and looks at the softmax.

    Args:
        widths: list of int, d.
        queries: int, how many.
        seed: int.

    Returns:
        dict {"dot" or "scaled_dot": dict of lists by width}: "variance" of the scores, "entropy" of the softmax in bits, at
        most 4, and "gradient", the trace of the softmax's Jacobian, 1 - sum p^2: both means over the queries.
    """
    random = np.random.default_rng(seed)
    measured = {name: {"variance": [], "entropy": [], "gradient": []} for name in _SCORES}
    for width in widths:
        query, keys = (random.normal(size=(queries, count, width)).astype("float32") for count in (1, _KEYS))
        for name, (score, _, _) in _SCORES.items():
            scores = np.asarray(score(query, keys))
            weights = np.asarray(soft(scores), "float64")
            logarithms = np.log2(np.maximum(weights, np.finfo("float64").tiny))
            measured[name]["variance"].append(float(scores.var()))
            measured[name]["entropy"].append(float(-(weights * logarithms).sum(-1).mean()))
            measured[name]["gradient"].append(float(1 - (weights**2).sum(-1).mean()))
    return measured


def draw_scores(path, widths, measured):
    """Draws what `scores_by_width` returned, in three panels."""
    titles = {
        "variance": "variance of the scores",
        "entropy": "entropy of their softmax, bits",
        "gradient": "trace of its Jacobian",
    }

    def fill(panels):
        for axes, (key, title) in zip(panels, titles.items(), strict=True):
            for name, (_, label, colour) in _SCORES.items():
                axes.plot(widths, measured[name][key], color=colour, label=label)
            axes.set_xscale("log", base=4)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.set_xlabel("d, width of query and key")
            axes.set_title(title)
            if key == "variance":
                axes.set_yscale("log", base=4)
                axes.yaxis.set_major_formatter("{x:g}")
                axes.legend(frameon=False)
            else:
                axes.set_ylim(bottom=0)

    draw(path, 3, 2.4, fill)


def draw_positions(path):
    """Draws the sinusoidal encoding, and how alike two of its positions are, by their distance.

    Returns:
        dict {distance: cosine of the angle between two encodings so far apart}.
    """
    encoding = np.asarray(SinePositionEncoding()(np.zeros((1, _POSITIONS, _WIDTH), "float32")))[0]
    products = encoding @ encoding.T / (_WIDTH / 2)  # each sine and cosine of one frequency have length 1 together
    alike = {distance: float(products.diagonal(distance).mean()) for distance in range(_POSITIONS)}

    def fill(panels):
        panels[0].imshow(encoding.T, cmap="RdBu", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
        panels[0].set_xlabel("position")
        panels[0].set_title(f"encoding: {_WIDTH} channels, down")
        panels[1].plot(list(alike), list(alike.values()), color=BLUE)
        panels[1].set_xlabel("distance of two positions")
        panels[1].set_title("cosine of their encodings")

    draw(path, 2, 2.4, fill)
    return alike


def costs(lengths, width=512, rounds=5):
    """Counts, and times, what one self-attention layer of 8 heads costs.

    Args:
        lengths: list of int, n.
        width: int, d.
        rounds: int.

    Returns:
        list of dict: "length"; "projections", 8 n d^2 floating-point operations of the four linear maps; "attention",
        4 n^2 d of scores and weighted sums; "bytes", 4 h n^2 of the weights; "seconds" of the whole layer, median.
    """
    layer = MultiHeadAttention(_HEADS, width // _HEADS)
    attend = tf.function(lambda tokens: layer(tokens, tokens), reduce_retracing=True)
    inputs = {length: tf.random.normal((1, length, width)) for length in lengths}
    seconds = interleave({n: lambda n=n: attend(inputs[n]).numpy() for n in lengths}, rounds)
    return [
        {
            "length": n,
            "projections": 8 * n * width**2,
            "attention": 4 * n**2 * width,
            "bytes": 4 * _HEADS * n**2,
            "seconds": statistics.median(seconds[n]),
        }
        for n in lengths
    ]
