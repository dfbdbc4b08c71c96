"""Speed and memory of text encoders on this machine's CPU: long sequences, and sentences of many lengths.

    python -m benchmarks.text [--rounds 7] [--rows long_sequence sentences]

Times are medians over rounds in which all rivals take turns in random order; the rate of a matrix product is measured in
the same rounds. Memory is the most that a process of its own holds beyond what it held before its first call (Linux).
"""

import multiprocessing
import os
import pathlib
import re
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_nlp
import numpy as np
import tensorflow as tf

import textkit
from benchmarks.timing import command, interleave, matrix_product, median_ratio
from shared_layers import TransformerEncoder
from textkit.prediction import Predictor
from textkit.presets import ENCODERS

LENGTH, WIDTH, HEADS = 4096, 768, 12  # a layer of BERT base
SENTENCES, SHORTEST, LONGEST = 64, 8, 128
MINILM = ENCODERS["minilm_l6"]["config"]


def long_layer(with_scores):
    """A callable that runs one layer, built and traced; asked for its scores, it makes them of all queries at once."""
    layer = TransformerEncoder(4 * WIDTH, HEADS, activation="gelu")
    tokens = tf.random.normal((1, LENGTH, WIDTH))
    layer.build(tokens.shape)
    options = {"return_attention_scores": True} if with_scores else {}
    run = tf.function(lambda tokens: layer(tokens, **options), autograph=False).get_concrete_function(tokens)
    return lambda: tf.nest.flatten(run(tokens))[0].numpy()


def peak_memory(with_scores):
    """Bytes that the first call of `long_layer` takes at most, beyond what there was before."""
    call = long_layer(with_scores)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of before
    before = _resident("VmRSS")
    call()
    return _resident("VmHWM") - before


def long_sequence(rounds):
    """One layer of BERT base's size on one sequence of 4096 tokens, in chunks of queries and all at once."""
    kinds = {"in chunks": False, "all scores": True}
    # each in a new process, which holds nothing of another
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = {
            name: statistics.median(pool.map(peak_memory, [with_scores] * min(rounds, 5), chunksize=1))
            for name, with_scores in kinds.items()
        }
    rivals = {name: long_layer(with_scores) for name, with_scores in kinds.items()}
    seconds = interleave(rivals, rounds)
    print(f"\nOne layer of BERT base, {LENGTH} tokens, medians of {rounds}")
    for name in kinds:
        print(f"  {name:<16}{statistics.median(seconds[name]):>8.3f} s  {memory[name] / 1e9:>6.3f} GB over the weights")
    print(f"  in chunks: {memory['in chunks'] / 1e9:.3f} GB (at most 0.15)")
    print(f"  time over that of all scores: {median_ratio(seconds['in chunks'], seconds['all scores']):.2f}")


def sentences(rounds):
    """64 sentences of 8 to 128 tokens through MiniLM: ours by `Predictor`, KerasHub's by `predict`, both from ids."""
    random = np.random.default_rng(0)
    lengths = random.integers(SHORTEST, LONGEST + 1, SENTENCES)
    mask = np.arange(LONGEST) < lengths[:, None]
    ids = np.where(mask, random.integers(1000, MINILM["vocabulary_size"], mask.shape), 0)
    inputs = {"token_ids": ids, "segment_ids": np.zeros_like(ids), "padding_mask": mask}
    encoder = Predictor(textkit.TextEncoder(**MINILM))
    rivals = {"textkit": lambda: encoder(inputs)}
    sizes = {name: MINILM[name] for name in ("vocabulary_size", "num_layers", "num_heads", "hidden_dim", "intermediate_dim")}
    for name, xla in {"KerasHub": False, "KerasHub, XLA": True}.items():
        theirs = keras_nlp.models.BertBackbone(**sizes, max_sequence_length=512)
        theirs.compile(jit_compile=xla)
        rivals[name] = lambda theirs=theirs: theirs.predict(inputs, batch_size=32, verbose=0)
    multiply, operations = matrix_product()
    seconds = interleave({**rivals, "matrix product": multiply}, rounds)
    print(f"\nMiniLM, {SENTENCES} sentences of {SHORTEST} to {LONGEST} tokens, {lengths.sum()} in all, medians of {rounds}")
    for name in rivals:
        median = statistics.median(seconds[name])
        print(f"  {name:<16}{median:>8.3f} s  {SENTENCES / median:>6.1f} sentences/s")
    print(f"  matrix product  {operations / statistics.median(seconds['matrix product']) / 1e9:>8.0f} GFLOP/s")
    best = min(("KerasHub", "KerasHub, XLA"), key=lambda name: statistics.median(seconds[name]))
    print(f"  throughput over {best}: {median_ratio(seconds[best], seconds['textkit']):.2f}x (at least 1.7)")


def _resident(what):
    """Bytes of this process: VmRSS, now, or VmHWM, at most so far."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{what}:\s+(\d+) kB", status, re.M)[1])


if __name__ == "__main__":
    command(__doc__, (long_sequence, sentences))
