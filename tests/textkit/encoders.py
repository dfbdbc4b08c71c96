"""Small encoders of every kind, and ids to give them."""

import numpy as np

TINY = {
    "vocabulary_size": 23,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 12,
    "intermediate_dim": 11,
    "max_sequence_length": 7,
}
KINDS = {
    "bert": {},
    "roberta": {"num_segments": 1, "pad_id": 1, "layer_norm_epsilon": 1e-5},
    "distilbert": {"num_segments": 0, "use_pooler": False, "attention_dropout": 0.0},
    "albert": {"embedding_dim": 5, "share_layers": True, "activation": "gelu_approximate"},
    "electra": {"embedding_dim": 5, "pooler_activation": "gelu"},
    "modern": {"positions": "rotary", "normalize_first": True, "feed_forward": "swiglu", "use_pooler": False},
    "sinusoidal": {"positions": "sinusoidal"},
}


def make_ids(lengths=(7, 4, 1), pad_id=0, seed=0):
    """Rows of ids from 2 on, of these lengths, then padding; two kinds of tokens."""
    random = np.random.RandomState(seed)
    real = np.arange(max(lengths)) < np.array(lengths)[:, None]
    token_ids = np.where(real, random.randint(2, 23, real.shape), pad_id)
    segment_ids = np.where(real, np.arange(real.shape[1]) > 2, 0)
    return {name: ids.astype("int32") for name, ids in {"token_ids": token_ids, "segment_ids": segment_ids}.items()}


def spread(model, seed=3):
    """The model, with weights large enough that every part shows in its outputs."""
    random = np.random.RandomState(seed)
    for weight in model.trainable_weights:
        weight.assign(random.normal(1.0 if weight.name == "gamma" else 0.0, 0.4, weight.shape))
    return model
