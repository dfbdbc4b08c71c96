"""Presets: sizes of published sequence-to-sequence models, and small ones for spelling to pronunciation.

A preset is {"config": constructor arguments}; no weights are published for these, so they are made with
`from_preset(name, load_weights=False)`. Vocabularies are those of the papers with the four special ids of this kit; another
is given with `source_vocabulary_size=` and `target_vocabulary_size=`.
"""

SPECIAL = 4  # padding, unknown, start, end

# Bahdanau et al. 2015, section 4: 30 000 words of each language, 1000 units, embeddings of 620 (appendix A.2.3). "50" is the
# longest sentence they were trained on.
_BAHDANAU = {
    "source_vocabulary_size": 30000 + SPECIAL,
    "target_vocabulary_size": 30000 + SPECIAL,
    "cell": "gru",
    "hidden_dim": 1000,
    "embedding_dim": 620,
}
# 26 letters and the apostrophe; 39 sounds without stress (CMUdict).
_G2P = {"source_vocabulary_size": 27 + SPECIAL, "target_vocabulary_size": 39 + SPECIAL}
_G2P_GRU = {**_G2P, "cell": "gru", "hidden_dim": 256, "embedding_dim": 128, "dropout": 0.2}

RECURRENT = {
    "rnnsearch_50": {"config": {**_BAHDANAU, "bidirectional": True, "attention": "additive", "attention_dim": 1000}},
    "rnnencdec_50": {"config": {**_BAHDANAU, "bidirectional": False, "attention": None}},
    "g2p_gru": {"config": {**_G2P_GRU, "attention": None}},
    "g2p_gru_additive": {"config": {**_G2P_GRU, "attention": "additive"}},
}

# Vaswani et al. 2017, table 3; one vocabulary of about 37 000 pieces for both languages (section 5.1).
# name: layers, heads, width, width of the feed-forward network, dropout.
_SIZES = {"base": (6, 8, 512, 2048, 0.1), "big": (6, 16, 1024, 4096, 0.3)}


def _transformer(num_layers, num_heads, hidden_dim, intermediate_dim, dropout, **options):
    return {
        "num_layers": num_layers,
        "num_heads": num_heads,
        "hidden_dim": hidden_dim,
        "intermediate_dim": intermediate_dim,
        "dropout": dropout,
        **options,
    }


_SHARED = {"source_vocabulary_size": 37000, "target_vocabulary_size": 37000, "share_embeddings": True}

TRANSFORMERS = {
    **{f"transformer_{size}": {"config": _transformer(*sizes, **_SHARED)} for size, sizes in _SIZES.items()},
    "g2p_transformer": {"config": _transformer(3, 4, 128, 512, 0.05, normalize_first=True, **_G2P)},
}
