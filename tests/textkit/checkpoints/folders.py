"""Folders as Hugging Face writes them, of small random models; names and shapes as its implementation has them."""

import json

import numpy as np
from safetensors.numpy import save_file

VOCABULARY, D, INNER, E, LAYERS, POSITIONS = 23, 12, 11, 5, 2, 9
STANDARD = {
    "vocab_size": VOCABULARY,
    "hidden_size": D,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": INNER,
    "max_position_embeddings": POSITIONS,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
}
CONFIGS = {
    "bert": STANDARD,
    "roberta": {**STANDARD, "type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5},
    "electra": {**STANDARD, "embedding_size": E},
    "albert": {**STANDARD, "embedding_size": E, "hidden_act": "gelu_new", "num_hidden_groups": 1, "inner_group_num": 1},
    "distilbert": {
        "vocab_size": VOCABULARY,
        "dim": D,
        "n_layers": LAYERS,
        "n_heads": 2,
        "hidden_dim": INNER,
        "max_position_embeddings": POSITIONS,
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "activation": "gelu",
    },
    "gpt2": {
        "vocab_size": VOCABULARY,
        "n_embd": D,
        "n_layer": LAYERS,
        "n_head": 2,
        "n_inner": 4 * D,  # KerasHub reads no other
        "n_positions": POSITIONS,
        "resid_pdrop": 0.1,
        "eos_token_id": 1,
    },
}
HEADS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM")
NAMES = {"bert": "Bert", "roberta": "Roberta", "electra": "Electra", "albert": "Albert", "distilbert": "DistilBert"}


def shapes_of(kind, head="Model", classes=5):
    """Name -> shape, with the prefix of a model that has a head."""
    linear, norm, shapes = {}, {}, {}
    base = {}
    if kind == "gpt2":
        base |= {"wte.weight": (VOCABULARY, D), "wpe.weight": (POSITIONS, D)}
        norm["ln_f"] = D
        for layer in (f"h.{index}" for index in range(LAYERS)):
            norm |= {f"{layer}.ln_1": D, f"{layer}.ln_2": D}
            for name, size_in, size_out in (
                ("attn.c_attn", D, 3 * D),
                ("attn.c_proj", D, D),
                ("mlp.c_fc", D, 4 * D),
                ("mlp.c_proj", 4 * D, D),
            ):
                base |= {f"{layer}.{name}.weight": (size_in, size_out), f"{layer}.{name}.bias": (size_out,)}
    else:
        width = E if kind in ("albert", "electra") else D
        base["embeddings.word_embeddings.weight"] = (VOCABULARY, width)
        base["embeddings.position_embeddings.weight"] = (POSITIONS, width)
        if kind != "distilbert":
            base["embeddings.token_type_embeddings.weight"] = (1 if kind == "roberta" else 2, width)
        norm["embeddings.LayerNorm"] = width
    if kind == "electra":
        linear["embeddings_project"] = (D, E)
    if kind in ("bert", "roberta", "electra"):
        for layer in (f"encoder.layer.{index}" for index in range(LAYERS)):
            linear |= {f"{layer}.attention.self.{name}": (D, D) for name in ("query", "key", "value")}
            linear |= {
                f"{layer}.attention.output.dense": (D, D),
                f"{layer}.intermediate.dense": (INNER, D),
                f"{layer}.output.dense": (D, INNER),
            }
            norm |= {f"{layer}.attention.output.LayerNorm": D, f"{layer}.output.LayerNorm": D}
    if kind == "albert":
        linear["encoder.embedding_hidden_mapping_in"] = (D, E)
        layer = "encoder.albert_layer_groups.0.albert_layers.0"
        linear |= {f"{layer}.attention.{name}": (D, D) for name in ("query", "key", "value", "dense")}
        linear |= {f"{layer}.ffn": (INNER, D), f"{layer}.ffn_output": (D, INNER)}
        norm |= {f"{layer}.attention.LayerNorm": D, f"{layer}.full_layer_layer_norm": D}
    if kind == "distilbert":
        for layer in (f"transformer.layer.{index}" for index in range(LAYERS)):
            linear |= {f"{layer}.attention.{name}": (D, D) for name in ("q_lin", "k_lin", "v_lin", "out_lin")}
            linear |= {f"{layer}.ffn.lin1": (INNER, D), f"{layer}.ffn.lin2": (D, INNER)}
            norm |= {f"{layer}.sa_layer_norm": D, f"{layer}.output_layer_norm": D}
    if (kind in ("bert", "albert") and head in ("Model", "ForSequenceClassification")) or (kind, head) == (
        "roberta",
        "Model",
    ):
        linear["pooler" if kind == "albert" else "pooler.dense"] = (D, D)
    shapes |= with_parts(linear, norm) | base
    prefix = {"gpt2": "transformer."}.get(kind, f"{kind}.")
    return {f"{prefix}{name}": shape for name, shape in shapes.items()} | head_shapes(kind, head, classes)


def head_shapes(kind, head, classes):
    """Name -> shape of a head."""
    if head == "ForQuestionAnswering":
        return with_parts({"qa_outputs": (2, D)})
    if head == "ForTokenClassification":
        return with_parts({"classifier": (classes, D)})
    if head == "ForSequenceClassification":
        two = {"roberta": ("classifier.dense", "classifier.out_proj"), "distilbert": ("pre_classifier", "classifier")}
        two["electra"] = two["roberta"]
        first, last = two.get(kind, (None, "classifier"))
        return with_parts({**({first: (D, D)} if first else {}), last: (classes, D)})
    if head == "ForMaskedLM":
        width = E if kind in ("albert", "electra") else D
        dense, norm, bias = {
            "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
            "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
            "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
            "albert": ("predictions.dense", "predictions.LayerNorm", "predictions.bias"),
            "electra": ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
        }[kind]
        return with_parts({dense: (width, D)}, {norm: width}) | {bias: (VOCABULARY,)}
    return {}


def with_parts(linear, norm=()):
    """The tensors of linear maps, name -> (out, in), and of norms, name -> width."""
    shapes = {}
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, width in dict(norm).items():
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return shapes


def tensors_of(kind, head="Model", classes=5):
    random = np.random.RandomState(7)
    return {name: random.normal(0, 0.5, shape).astype("float32") for name, shape in shapes_of(kind, head, classes).items()}


def write(folder, kind="bert", head="Model", tensors=None, **config):
    """Writes a folder; returns it."""
    named = {"architectures": [f"{NAMES.get(kind, 'GPT2')}{head}"], "num_labels": 5} | config
    (folder / "config.json").write_text(json.dumps({"model_type": kind, **CONFIGS.get(kind, {}), **named}))
    save_file(tensors_of(kind, head) if tensors is None else tensors, folder / "model.safetensors")
    return folder
