"""How the benchmarks measure: rivals in turn, in random order, beside the rate of a matrix product at that moment."""

import argparse
import random
import statistics
import time

import keras
import tensorflow as tf

_MATRIX = 2048


def interleave(rivals, rounds=7, seed=0):
    """Times callables side by side, so that a slow minute of the machine falls on all of them.

    Args:
        rivals: dict {name: callable without arguments}, each of which ends when its result is there.
        rounds: int, how often each is called, in an order drawn anew each round; one round before them is not counted.
        seed: int, of the order.

    Returns:
        dict {name: list of seconds, one a round}.
    """
    order, draw = list(rivals), random.Random(seed)
    seconds = {name: [] for name in rivals}
    for name in order:
        rivals[name]()
    for _ in range(rounds):
        draw.shuffle(order)
        for name in order:
            seconds[name].append(stopwatch(rivals[name]))
    return seconds


def stopwatch(function):
    """Seconds that one call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def median_ratio(seconds, over):
    """The median over rounds of one rival's time over another's in the same round."""
    return statistics.median(first / second for first, second in zip(seconds, over, strict=True))


def matrix_product():
    """A callable that multiplies two square float32 matrices, and how many floating-point operations that is."""
    matrix = tf.random.normal((_MATRIX, _MATRIX))
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))
    return lambda: multiply().numpy(), 2 * _MATRIX**3


def command(description, rows):
    """The command line of a benchmark: measures those of its rows that are asked for.

    Args:
        description: str, for `--help`.
        rows: functions of the number of rounds, each of which measures one thing and prints it.
    """
    named = {row.__name__: row for row in rows}
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", nargs="+", choices=named, default=list(named))
    arguments = parser.parse_args()
    for row in arguments.rows:
        keras.utils.clear_session()
        named[row](arguments.rounds)
