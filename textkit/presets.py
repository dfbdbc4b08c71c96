"""Presets: the sizes of published models, and small models for grapheme-to-phoneme conversion.

A preset is {"config": constructor arguments} and, if weights are published, "hf": the repository on the Hugging Face Hub.
The sequence-to-sequence models have no published weights: use `from_preset(name, load_weights=False)`. Their vocabulary
sizes are those of the papers plus the four special ids of textkit; pass `source_vocabulary_size=` and
`target_vocabulary_size=` for others.
"""

SPECIAL = 4  # padding, unknown, start, end

# Bahdanau et al. 2015, section 4: 30 000 words a language, 1000 units, embeddings of 620 (appendix A.2.3). "50" is the
# maximum length of training sentences.
_BAHDANAU = {
    "source_vocabulary_size": 30000 + SPECIAL,
    "target_vocabulary_size": 30000 + SPECIAL,
    "cell": "gru",
    "hidden_dim": 1000,
    "embedding_dim": 620,
}
# 26 letters and the apostrophe; 39 phonemes without stress (CMUdict).
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


def _published(repository, **config):
    return {"config": config, "hf": repository}


# name: layers, heads, width, width of the feed-forward network.
_BERT = {
    "tiny": (2, 2, 128, 512),  # Turc et al. 2019, "Well-Read Students Learn Better", table 1
    "mini": (4, 4, 256, 1024),
    "small": (4, 8, 512, 2048),
    "medium": (8, 8, 512, 2048),
    "base": (12, 12, 768, 3072),  # Devlin et al. 2019, section 3
    "large": (24, 16, 1024, 4096),
}
_ALBERT = {  # Lan et al. 2020, table 1
    "base": (12, 12, 768, 3072),
    "large": (24, 16, 1024, 4096),
    "xlarge": (24, 16, 2048, 8192),
    "xxlarge": (12, 64, 4096, 16384),
}
_GPT2 = {  # Radford et al. 2019, table 2
    "base": (12, 12, 768, 3072),
    "medium": (24, 16, 1024, 4096),
    "large": (36, 20, 1280, 5120),
    "xl": (48, 25, 1600, 6400),
}


def _sized(sizes, vocabulary_size, dropout=0.1, **options):
    return {"vocabulary_size": vocabulary_size, **_transformer(*sizes, dropout), **options}


# Liu et al. 2019, section 3: byte-level BPE; a single segment embedding.
_ROBERTA = {"num_segments": 1, "pad_id": 1, "layer_norm_epsilon": 1e-5}
_DISTILBERT = {"num_segments": 0, "pooler_activation": "relu"}
# Version 2 was trained without dropout.
_ALBERT_OPTIONS = {"embedding_dim": 128, "share_layers": True, "activation": "gelu_approximate"}
_MINILM = (384, 1536, 0.1)  # width, width of the feed-forward network, dropout
_UNCASED, _CASED = 30522, 28996  # pieces of BERT's vocabularies

ENCODERS = {
    **{
        f"bert_{size}_uncased": _published(f"google/bert_uncased_L-{s[0]}_H-{s[2]}_A-{s[1]}", **_sized(s, _UNCASED))
        for size, s in _BERT.items()
        if size not in ("base", "large")
    },
    "bert_base_uncased": _published("google-bert/bert-base-uncased", **_sized(_BERT["base"], _UNCASED)),
    "bert_base_cased": _published("google-bert/bert-base-cased", **_sized(_BERT["base"], _CASED)),
    "bert_base_chinese": _published("google-bert/bert-base-chinese", **_sized(_BERT["base"], 21128)),
    "bert_base_multilingual_cased": _published("google-bert/bert-base-multilingual-cased", **_sized(_BERT["base"], 119547)),
    "bert_large_uncased": _published("google-bert/bert-large-uncased", **_sized(_BERT["large"], _UNCASED)),
    "bert_large_cased": _published("google-bert/bert-large-cased", **_sized(_BERT["large"], _CASED)),
    "roberta_base": _published("FacebookAI/roberta-base", **_sized(_BERT["base"], 50265, **_ROBERTA)),
    "roberta_large": _published("FacebookAI/roberta-large", **_sized(_BERT["large"], 50265, **_ROBERTA)),
    # Sanh et al. 2019, section 3: every second layer of BERT base, no segment embeddings, no pooler
    "distilbert_base_uncased": _published(
        "distilbert/distilbert-base-uncased", **_sized((6, 12, 768, 3072), _UNCASED, **_DISTILBERT)
    ),
    "distilbert_base_cased": _published(
        "distilbert/distilbert-base-cased", **_sized((6, 12, 768, 3072), _CASED, **_DISTILBERT)
    ),
    **{
        f"albert_{size}_v2": _published(f"albert/albert-{size}-v2", **_sized(s, 30000, 0.0, **_ALBERT_OPTIONS))
        for size, s in _ALBERT.items()
    },
    # Clark et al. 2020, appendix A, table 6: the discriminators, which are fine-tuned
    "electra_small": _published(
        "google/electra-small-discriminator",
        **_sized((12, 4, 256, 1024), _UNCASED, embedding_dim=128, pooler_activation="gelu"),
    ),
    "electra_base": _published(
        "google/electra-base-discriminator", **_sized(_BERT["base"], _UNCASED, pooler_activation="gelu")
    ),
    "electra_large": _published(
        "google/electra-large-discriminator", **_sized(_BERT["large"], _UNCASED, pooler_activation="gelu")
    ),
    # Wang et al. 2020, "MiniLM"; these checkpoints were further trained on sentence pairs
    "minilm_l6": _published("sentence-transformers/all-MiniLM-L6-v2", **_sized((6, 12, *_MINILM[:2]), _UNCASED)),
    "minilm_l12": _published("sentence-transformers/all-MiniLM-L12-v2", **_sized((12, 12, *_MINILM[:2]), _UNCASED)),
    # For pretraining from scratch: with rotary positions (Su et al. 2021) heads learn to attend to neighbours in hundreds
    # of steps, with learned positions in thousands.
    "rotary_mini": {"config": _sized(_BERT["mini"], _UNCASED, positions="rotary", normalize_first=True)},
}

CAUSAL = {
    f"gpt2_{size}": _published(f"openai-community/gpt2{'' if size == 'base' else '-' + size}", **_sized(s, 50257))
    for size, s in _GPT2.items()
}
