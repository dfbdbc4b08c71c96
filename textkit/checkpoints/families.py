"""The names of arguments and tensors in Hugging Face checkpoints, for each family of text models."""

import re

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_fast": "gelu_approximate",
    "gelu_new": "gelu_approximate",
    "gelu_pytorch_tanh": "gelu_approximate",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
PROBLEMS = {
    "regression": "regression",
    "single_label_classification": "single",
    "multi_label_classification": "multi",
}
# Options of config.json that are supported with this value only.
EXPECTED = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
}

# For each argument its key in config.json, and its default.
_BERT = {
    "vocabulary_size": ("vocab_size", 30522),
    "num_layers": ("num_hidden_layers", 12),
    "num_heads": ("num_attention_heads", 12),
    "hidden_dim": ("hidden_size", 768),
    "intermediate_dim": ("intermediate_size", 3072),
    "dropout": ("hidden_dropout_prob", 0.1),
    "attention_dropout": ("attention_probs_dropout_prob", 0.1),
    "activation": ("hidden_act", "gelu"),
    "layer_norm_epsilon": ("layer_norm_eps", 1e-12),
    "max_sequence_length": ("max_position_embeddings", 512),
    "num_segments": ("type_vocab_size", 2),
    "pad_id": ("pad_token_id", 0),
}
_DISTILBERT = {
    "vocabulary_size": ("vocab_size", 30522),
    "num_layers": ("n_layers", 6),
    "num_heads": ("n_heads", 12),
    "hidden_dim": ("dim", 768),
    "intermediate_dim": ("hidden_dim", 3072),
    "dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.1),
    "activation": ("activation", "gelu"),
    "max_sequence_length": ("max_position_embeddings", 512),
    "pad_id": ("pad_token_id", 0),
}
_GPT2 = {
    "vocabulary_size": ("vocab_size", 50257),
    "num_layers": ("n_layer", 12),
    "num_heads": ("n_head", 12),
    "hidden_dim": ("n_embd", 768),
    "intermediate_dim": ("n_inner", None),
    "dropout": ("resid_pdrop", 0.1),
    "activation": ("activation_function", "gelu_new"),
    "layer_norm_epsilon": ("layer_norm_epsilon", 1e-5),
    "max_sequence_length": ("n_positions", 1024),
    "end_id": ("eos_token_id", 50256),
}
KEYS = {
    "bert": _BERT,
    "roberta": {**_BERT, "vocabulary_size": ("vocab_size", 50265), "pad_id": ("pad_token_id", 1)},
    "distilbert": _DISTILBERT,
    "albert": {
        **_BERT,
        "vocabulary_size": ("vocab_size", 30000),
        "num_heads": ("num_attention_heads", 64),
        "hidden_dim": ("hidden_size", 4096),
        "intermediate_dim": ("intermediate_size", 16384),
        "dropout": ("hidden_dropout_prob", 0.0),
        "attention_dropout": ("attention_probs_dropout_prob", 0.0),
        "activation": ("hidden_act", "gelu_new"),
        "embedding_dim": ("embedding_size", 128),
    },
    "electra": {
        **_BERT,
        "num_heads": ("num_attention_heads", 4),
        "hidden_dim": ("hidden_size", 256),
        "intermediate_dim": ("intermediate_size", 1024),
        "embedding_dim": ("embedding_size", 128),
    },
    "gpt2": _GPT2,
}
FIXED = {
    "distilbert": {"num_segments": 0, "layer_norm_epsilon": 1e-12, "pooler_activation": "relu"},
    "albert": {"share_layers": True},
    "electra": {"pooler_activation": "gelu"},
}

PREFIX = {kind: f"{kind}." for kind in KEYS} | {"gpt2": "transformer."}
# The names of a layer, and of its parts by the paths of our weights.
LAYER = {
    "bert": "encoder.layer.{}",
    "roberta": "encoder.layer.{}",
    "electra": "encoder.layer.{}",
    "distilbert": "transformer.layer.{}",
    "albert": "encoder.albert_layer_groups.0.albert_layers.{}",
    "gpt2": "h.{}",
}
_BERT_PARTS = {
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward/intermediate_dense": "intermediate.dense",
    "feed_forward/output_dense": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
PARTS = {
    "bert": _BERT_PARTS,
    "roberta": _BERT_PARTS,
    "electra": _BERT_PARTS,
    "distilbert": {
        "attention/query": "attention.q_lin",
        "attention/key": "attention.k_lin",
        "attention/value": "attention.v_lin",
        "attention/attention_output": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "feed_forward/intermediate_dense": "ffn.lin1",
        "feed_forward/output_dense": "ffn.lin2",
        "feed_forward_norm": "output_layer_norm",
    },
    "albert": {
        "attention/query": "attention.query",
        "attention/key": "attention.key",
        "attention/value": "attention.value",
        "attention/attention_output": "attention.dense",
        "attention_norm": "attention.LayerNorm",
        "feed_forward/intermediate_dense": "ffn",
        "feed_forward/output_dense": "ffn_output",
        "feed_forward_norm": "full_layer_layer_norm",
    },
    "gpt2": {
        "self_attention/query": "attn.query",  # these three are split off by the importer
        "self_attention/key": "attn.key",
        "self_attention/value": "attn.value",
        "self_attention/attention_output": "attn.c_proj",
        "self_attention_norm": "ln_1",
        "feed_forward/intermediate_dense": "mlp.c_fc",
        "feed_forward/output_dense": "mlp.c_proj",
        "feed_forward_norm": "ln_2",
    },
}
PROJECTION = {"albert": "encoder.embedding_hidden_mapping_in", "electra": "embeddings_project"}
# The pooler: that of the encoder, or the first dense layer of a classification head.
POOLERS = {
    "bert": ("pooler.dense",),
    "roberta": ("classifier.dense", "pooler.dense"),
    "distilbert": ("pre_classifier",),
    "albert": ("pooler",),
    "electra": ("classifier.dense",),
}

MASKED = {  # transform, norm, bias
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    "albert": ("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
    "electra": ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
}
LINEAR_HEADS = {
    "ForSequenceClassification": {"roberta": "classifier.out_proj", "electra": "classifier.out_proj"},
    "ForTokenClassification": {},
    "ForQuestionAnswering": dict.fromkeys(KEYS, "qa_outputs"),
}
# The key of the dropout of a classification head, and its default; `None` for the dropout of the encoder.
_CLASSIFIER_DROPOUT = {
    **dict.fromkeys(("bert", "roberta", "electra"), ("classifier_dropout", None)),
    "albert": ("classifier_dropout_prob", 0.1),
}
HEAD_DROPOUT = {
    "ForSequenceClassification": {**_CLASSIFIER_DROPOUT, "distilbert": ("seq_classif_dropout", 0.2)},
    "ForTokenClassification": {**_CLASSIFIER_DROPOUT, "distilbert": ("dropout", 0.1)},
}
# Ignored tensors: other heads, copies of tied weights, unused poolers, and PyTorch buffers.
OTHERS = re.compile(
    r"(cls|lm_head|predictions|generator_\w+|discriminator_predictions|vocab_\w+|sop_classifier|(pre_)?classifier|qa_outputs"
    r"|pooler)\.|embeddings\.(position_ids|token_type_ids)$|h\.\d+\.attn\.(masked_)?bias$"
)
