"""Small models of every kind, ids to give them, and what all of them must keep."""

import numpy as np
from keras import ops, tree

from tests.checks import assert_close, check_model, numpy
from textkit.recurrent import RecurrentSeq2Seq
from textkit.transformer import TransformerSeq2Seq

SIZES = {"source_vocabulary_size": 17, "target_vocabulary_size": 19}
RECURRENT = {**SIZES, "hidden_dim": 10, "embedding_dim": 7}
TRANSFORMER = {**SIZES, "num_layers": 2, "num_heads": 2, "hidden_dim": 10, "intermediate_dim": 11, "dropout": 0.0}
MODELS = {
    "fixed": (RecurrentSeq2Seq, RECURRENT),
    "additive": (RecurrentSeq2Seq, {**RECURRENT, "attention": "additive", "attention_dim": 13}),
    "dot": (RecurrentSeq2Seq, {**RECURRENT, "attention": "dot"}),
    "deep": (
        RecurrentSeq2Seq,
        {
            **RECURRENT,
            "cell": "lstm",
            "num_encoder_layers": 2,
            "num_decoder_layers": 3,
            "bidirectional": False,
            "attention": "general",
        },
    ),
    "hard": (RecurrentSeq2Seq, {**RECURRENT, "cell": "lstm", "attention": "concat", "selection": "hard_topk"}),
    "post_norm": (TransformerSeq2Seq, TRANSFORMER),
    "pre_norm": (
        TransformerSeq2Seq,
        {
            **TRANSFORMER,
            "positions": "learned",
            "max_source_length": 7,
            "max_target_length": 8,
            "tie_output": False,
            "normalize_first": True,
            "alignment_layer": 0,
        },
    ),
}


def make(name, **options):
    """A model, always with the same weights, large enough that every part shows in its outputs."""
    model_class, config = MODELS[name]
    model = model_class(**{**config, **options})
    random = np.random.RandomState(3)
    for weight in model.trainable_weights:
        weight.assign(random.normal(1.0 if weight.name == "gamma" else 0.0, 0.3, weight.shape))
    return model


def make_ids(source_lengths=(5, 3, 1), target_lengths=(7, 4, 2), seed=0):
    """Sources ending with 3 and targets beginning with 2, padded with 0."""
    random = np.random.RandomState(seed)
    source = random.randint(4, 17, (len(source_lengths), max(source_lengths)))
    target = random.randint(4, 19, (len(target_lengths), max(target_lengths)))
    for row, (s, t) in enumerate(zip(source_lengths, target_lengths, strict=True)):
        source[row, s - 1], source[row, s:] = 3, 0
        target[row, 0], target[row, t:] = 2, 0
    return {"source_ids": source.astype("int32"), "target_ids": target.astype("int32")}


def check_seq2seq(name, **options):
    """Holds a model against the contracts of `tests.checks`."""
    model_class, config = MODELS[name]
    check_model(model_class, {**config, **options}, make_ids(), make(name, **options))


def check_steps(model):
    """Written token by token, from the memory and the state alone, a target gets what it gets all at once."""
    ids = make_ids()
    source_ids, target_ids = (ops.convert_to_tensor(array) for array in ids.values())
    expected = numpy(model(ids, return_attention_scores=True))
    memory = model.encode(source_ids)
    state = model.start(memory, max_length=8)
    for index in range(target_ids.shape[1]):
        before = tree.map_structure(lambda x: (tuple(x.shape), x.dtype), state)
        logits, alignment, state = model.step(target_ids[:, index], ops.convert_to_tensor(index, "int32"), state, memory)
        assert tree.map_structure(lambda x: (tuple(x.shape), x.dtype), state) == before
        assert_close(logits, expected["logits"][:, index])
        assert_close(alignment, expected["alignment"][:, index])
