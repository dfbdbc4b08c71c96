"""Speed of the text side on this machine's CPU: cached decoding, beam search, KerasHub's BART, length buckets.

    python -m benchmarks.decoding [--rounds 7] [--rows cache beam kerashub buckets]

Every figure is a median over rounds in which all rivals take turns in random order; the rate of a matrix product is
measured in the same rounds. The decoders are of the size of the Transformer base, with random weights, and write as many
tokens for every source: none of them is the end token, of which the benchmark makes sure.
"""

import os
import random
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_nlp
import numpy as np
from keras import ops

import textkit
from benchmarks.timing import command, interleave, matrix_product, median_ratio
from shared_layers.runtime import FusedAdam
from textkit.datasets import batches, load
from textkit.presets import TRANSFORMERS
from textkit.seq2seq import TokenCrossEntropy

BATCH, SOURCE, STEPS = 8, 32, 64
BATCHES = (BATCH, 64)  # a step of few rows waits for the weights, one of many for what is done with them
BASE = TRANSFORMERS["transformer_base"]["config"]
WORDS, BATCH_TOKENS = 4000, 2048


class TeacherForced(textkit.TransformerSeq2Seq):
    """Decodes without a cache: each step calls the model on the source and all the places there are for tokens."""

    def encode(self, source_ids):
        """The source as it is."""
        return {"mask": ops.not_equal(source_ids, 0), "source_ids": source_ids}

    def start(self, memory, max_length):
        """No tokens yet (b, `max_length`)."""
        return ops.zeros((ops.shape(memory["mask"])[0], max_length), "int32")

    def step(self, tokens, index, state, memory):
        """Reads all tokens up to this one."""
        state = ops.slice_update(state, (0, index), tokens[:, None])
        seen = self.teacher_force(memory["source_ids"], state, return_attention_scores=True)
        return seen["logits"][:, index], seen["alignment"][:, index], state


class Uncached(TeacherForced):
    """As `TeacherForced`, but saves what can be saved: encodes the source once, makes logits of the last token alone."""

    encode = textkit.TransformerSeq2Seq.encode

    def step(self, tokens, index, state, memory):
        """Reads all tokens up to this one."""
        state = ops.slice_update(state, (0, index), tokens[:, None])
        x = self._embed(self.target_embedding, self.target_positions, state)
        for depth, layer in enumerate(self.decoder_layers):
            x, _, scores = layer(x, memory["tokens"], encoder_padding_mask=memory["mask"], return_attention_scores=True)
            if depth == self.alignment_layer:
                alignment = ops.mean(scores, axis=1)[:, index]
        return self._logits(ops.take(x, [index], axis=1))[:, 0], alignment, state


def sources(batch=BATCH):
    """Ids of sentences that fill their rows."""
    return np.random.default_rng(0).integers(4, BASE["source_vocabulary_size"], (batch, SOURCE)).astype("int32")


def writer(model, batch=BATCH, **options):
    """A callable that has a model of ours write `STEPS` tokens for every source."""
    source_ids = sources(batch)

    def write():
        lengths = model.generate(source_ids, max_length=STEPS, **options)["lengths"]
        if lengths.min() < STEPS:
            raise RuntimeError(f"Expected {STEPS} tokens of each. Received: lengths={lengths}")

    return write


def cache(rounds):
    """A Transformer base, by `generate`, against the same without a cache; few sources, and many."""
    for batch in BATCHES:
        keras.utils.clear_session()
        models = {"cached": textkit.TransformerSeq2Seq(**BASE), "decoder at every step": Uncached(**BASE)}
        if batch == BATCH:  # many take minutes
            models["model at every step"] = TeacherForced(**BASE)
        weights = models["cached"].get_weights()
        for model in models.values():
            model.set_weights(weights)
        rivals = {name: writer(model, batch) for name, model in models.items()}
        what = f"Transformer base, {batch} sources of {SOURCE}, {STEPS} steps, greedy"
        seconds = measure(what, rivals, rounds, batch * STEPS)
        for name in list(rivals)[1:]:
            print(f"  cached over {name}: {median_ratio(seconds[name], seconds['cached']):.1f}x (at least 8)")


def beam(rounds):
    """A Transformer base: beam of 4 against greedy, both by `generate`, of as many steps."""
    model = textkit.TransformerSeq2Seq(**BASE)
    rivals = {"greedy": writer(model), "beam of 4": writer(model, method="beam", beam_width=4)}
    seconds = measure(f"Transformer base, {BATCH} sources of {SOURCE}, {STEPS} steps", rivals, rounds, BATCH * STEPS)
    print(f"  beam of 4: {median_ratio(seconds['beam of 4'], seconds['greedy']):.2f}x the time of greedy (at most 3)")


def kerashub(rounds):
    """A Transformer in the shape of BART, against KerasHub's, both greedy; few sources, and many."""
    for batch in BATCHES:
        keras.utils.clear_session()
        _kerashub(rounds, batch)


def _kerashub(rounds, batch):
    ours = textkit.TransformerSeq2Seq(**{**BASE, "positions": "learned", "activation": "gelu"})
    rivals = {"textkit": writer(ours, batch), "textkit, XLA": writer(ours, batch, jit_compile=True)}
    sizes = {name: BASE[name] for name in ("num_layers", "num_heads", "hidden_dim", "intermediate_dim")}
    tokens = np.zeros((batch, 1 + STEPS), "int32")
    inputs = {
        "encoder_token_ids": sources(batch),
        "encoder_padding_mask": np.ones((batch, SOURCE), bool),
        "decoder_token_ids": tokens,
        "decoder_padding_mask": np.arange(1 + STEPS) == np.zeros_like(tokens),  # a start token, then what is to be written
    }
    for name, xla in {"KerasHub": False, "KerasHub, XLA": True}.items():
        backbone = keras_nlp.models.BartBackbone(BASE["source_vocabulary_size"], **sizes, max_sequence_length=512)
        theirs = keras_nlp.models.BartSeq2SeqLM(backbone)
        theirs.compile(sampler="greedy", jit_compile=xla)
        rivals[name] = lambda theirs=theirs: theirs.generate(inputs, stop_token_ids=None)
    seconds = measure(f"BART of the base's size, {batch} sources of {SOURCE}, {STEPS} steps", rivals, rounds, batch * STEPS)
    mine, best = (
        min((name for name in rivals if name.startswith(kit)), key=lambda name: statistics.median(seconds[name]))
        for kit in ("textkit", "KerasHub")
    )
    print(f"  throughput of {mine} over {best}: {median_ratio(seconds[best], seconds[mine]):.2f}x (at least 1.3)")


def buckets(rounds):
    """An epoch of the g2p Transformer over some words of CMUdict, batches of as many tokens, by `fit`."""
    pairs = random.Random(0).sample(load("g2p").train, WORDS)
    vocabularies = (
        textkit.Vocabulary.learn((word for word, _ in pairs), "characters"),
        textkit.Vocabulary.learn((sounds for _, every in pairs for sounds in every), "words"),
    )
    rivals = {}
    for name, count in {"length buckets": 8, "padded to the longest": 1}.items():
        model = textkit.TransformerSeq2Seq.from_preset(
            "g2p_transformer",
            load_weights=False,
            source_vocabulary_size=vocabularies[0].size,
            target_vocabulary_size=vocabularies[1].size,
        )
        model.compile(FusedAdam(1e-4), TokenCrossEntropy(), jit_compile=False)
        data = batches(pairs, *vocabularies, batch_tokens=BATCH_TOKENS, buckets=count, training=True)
        rivals[name] = lambda model=model, data=data: model.fit(data, shuffle=False, verbose=0)
    examples = sum(len(every) for _, every in pairs)
    title = f"g2p Transformer, an epoch of {WORDS} words, batches of {BATCH_TOKENS} tokens"
    seconds = measure(title, rivals, rounds, examples, "pairs")
    ratio = median_ratio(seconds["padded to the longest"], seconds["length buckets"])
    print(f"  length buckets: {ratio:.2f}x the throughput (at least 1.5)")


def measure(title, rivals, rounds, count, unit="tokens"):
    """Prints how long each rival takes, and how many units it makes a second; returns the seconds."""
    multiply, operations = matrix_product()
    seconds = interleave({**rivals, "matrix product": multiply}, rounds)
    print(f"\n{title}, medians of {rounds}")
    for name in rivals:
        median = statistics.median(seconds[name])
        print(f"  {name:<24}{median:>8.3f} s  {count / median:>6.0f} {unit}/s")
    print(f"  matrix product          {operations / statistics.median(seconds['matrix product']) / 1e9:>8.0f} GFLOP/s")
    return seconds


if __name__ == "__main__":
    command(__doc__, (cache, beam, kerashub, buckets))
