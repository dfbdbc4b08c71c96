"""Hugging Face folders: `config.json` and safetensors of BERT, RoBERTa, DistilBERT, ALBERT, ELECTRA and GPT-2.

`layout` maps tensors to weights; tensors that neither it nor `families.OTHERS` names raise an error.
"""

import re

from shared_layers.runtime import (
    linear_layout,
    norm_layout,
    read_class_names,
    read_json,
    read_tensors,
    reading_config,
    to_weights,
    unknown_name,
)
from textkit.checkpoints import families
from textkit.checkpoints.sentence_transformers import MODULES

_TOKENIZERS = ("vocab.txt", "tokenizer.json", "vocab.json", "spiece.model")


def import_hugging_face(cls, path, load_weights, overrides):
    """Makes a model from a Hugging Face folder.

    Args:
        cls: `TextEncoder`, a model with a head on it, or `CausalLM`.
        path: `pathlib.Path` of the folder.
        load_weights: bool, False for newly initialized weights.
        overrides: dict of constructor arguments that replace those of the folder.

    Returns:
        A model of this class. A head that the folder does not have is newly initialized; see
        `textkit.text_head.TextHead.new_head`.

    Raises:
        ValueError: see `read`; or the folder has no head, and `num_classes` is not given.
        OSError: a missing file.
    """
    config, weights, has_head = read(path, load_weights, cls)
    if not has_head:
        config |= cls.new_head(overrides, load_weights, stacklevel=4)
    model = cls(**config, **cls.checkpoint_arguments(path))
    for weight in model.weights:
        if weight.path in weights:
            weight.assign(weights[weight.path])
    return model.override(**overrides) if overrides else model


def class_of(path):
    """Finds the class for a Hugging Face folder.

    Args:
        path: `pathlib.Path` of the folder.

    Returns:
        The class with the folder's head; `CausalLM` for GPT-2; without a known head `SentenceEncoder` for a folder of
        sentence-transformers, else `TextEncoder`.

    Raises:
        ValueError: a broken `config.json`.
        OSError: no `config.json`.
    """
    from textkit import heads
    from textkit.causal_lm import CausalLM
    from textkit.encoder import TextEncoder

    with reading_config(path):
        theirs = read_json(path / "config.json")
        kind = theirs.get("model_type")
        if kind in CausalLM.checkpoint_families:
            return CausalLM
        known = (heads.MaskedLanguageModel, heads.SpanClassifier, heads.TextClassifier, heads.TokenClassifier)
        headless = heads.SentenceEncoder if (path / MODULES).is_file() else TextEncoder
        return next((cls for cls in known if _has_head(kind, cls.checkpoint_head, theirs)), headless)


def read(path, load_weights, cls):
    """Reads a Hugging Face folder, without making a model.

    Args:
        path: `pathlib.Path` of the folder.
        load_weights: bool, False for the configuration alone.
        cls: the class of the model.

    Returns:
        config: dict, constructor arguments, including those of the head if the folder has one for `cls`.
        weights: dict from a weight's path in the model to a float32 array; empty without `load_weights`.
        has_head: bool, whether the folder has a head for `cls`.

    Raises:
        ValueError: another family of models or an unknown activation; a broken file; a tensor that is missing, unexpected or
            of another shape.
        OSError: a missing file.
    """
    with reading_config(path):
        theirs = read_json(path / "config.json")
        kind = theirs.get("model_type")
        if kind not in cls.checkpoint_families:
            raise ValueError(
                f"Expected a checkpoint of {', '.join(cls.checkpoint_families)} for {cls.__name__}. "
                f"Received: model_type={kind!r}, path={str(path)!r}"
            )
        config = _model_config(kind, theirs)
        head = cls.checkpoint_head
        has_head = _has_head(kind, head, theirs)
        if head in families.HEAD_DROPOUT:
            key, default = families.HEAD_DROPOUT[head][kind]
            given = theirs.get(key, default)
            config["head_dropout"] = config["dropout"] if given is None else given
        config |= _head_config(head, theirs) if has_head else {}
    tensors = {}
    if load_weights:
        tensors = {_modern(name): tensor for name, tensor in read_tensors(path, families.PREFIX[kind]).items()}
        _split_gpt2(tensors) if kind == "gpt2" else _cut_positions(kind, config, tensors)
    pooler = None
    if kind != "gpt2":
        pooler = next((name for name in families.POOLERS[kind] if f"{name}.weight" in tensors), None)
        config["use_pooler"] = cls.reads_pooler and (pooler is not None or not load_weights)
    config["tokenizer"] = _tokenizer(path)
    if not load_weights:
        return config, {}, has_head
    entries = layout(kind, config, head if has_head else None, pooler)
    return config, to_weights(tensors, entries, families.OTHERS.match), has_head


def layout(kind, config, head=None, pooler=None):
    """Maps the tensors of a Hugging Face model to weights.

    Args:
        kind: str, Hugging Face's `model_type`.
        config: dict, constructor arguments as returned by `read`.
        head: str, the suffix of the architecture, such as "ForMaskedLM"; `None` for no head.
        pooler: str, the name of the pooler's tensors; or `None`.

    Yields:
        Entries of `shared_layers.runtime.to_weights`.
    """
    v, d, m, n = (config[name] for name in ("vocabulary_size", "hidden_dim", "intermediate_dim", "max_sequence_length"))
    heads = (config["num_heads"], d // config["num_heads"])
    layer = "decoder_layer_{}" if kind == "gpt2" else "encoder_layer_{}"
    e = config.get("embedding_dim") or d
    if kind == "gpt2":
        yield "wte.weight", (v, d), "token_embedding/embeddings", (v, d)
        yield "wpe.weight", (n, d), "position_embedding/embeddings", (n, d)
        yield from norm_layout("ln_f", "final_norm", d)
    else:
        yield "embeddings.word_embeddings.weight", (v, e), "token_embedding/embeddings", (v, e)
        yield "embeddings.position_embeddings.weight", (n, e), "position_embedding/embeddings", (n, e)
        if s := config["num_segments"]:
            yield "embeddings.token_type_embeddings.weight", (s, e), "segment_embedding/embeddings", (s, e)
        yield from norm_layout("embeddings.LayerNorm", "embedding_norm", e)
    if "embedding_dim" in config:
        yield from linear_layout(families.PROJECTION[kind], "embedding_projection", (e,), (d,))

    sizes = {
        "query": ((d,), heads),
        "key": ((d,), heads),
        "value": ((d,), heads),
        "attention_output": (heads, (d,)),
        "intermediate_dense": ((d,), (m,)),
        "output_dense": ((m,), (d,)),
    }
    for index in range(1 if config.get("share_layers") else config["num_layers"]):
        for part, name in families.PARTS[kind].items():
            theirs, ours = f"{families.LAYER[kind].format(index)}.{name}", f"{layer.format(index)}/{part}"
            if part.endswith("norm"):
                yield from norm_layout(theirs, ours, d)
            else:
                yield from linear_layout(theirs, ours, *sizes[part.rpartition("/")[2]])
    if config.get("use_pooler"):
        yield from linear_layout(pooler, "pooler", (d,), (d,))
    if head == "ForMaskedLM":
        transform, norm, bias = families.MASKED[kind]
        yield from linear_layout(transform, "head/transform", (d,), (e,))
        yield from norm_layout(norm, "head/norm", e)
        yield bias, (v,), "head/bias", (v,)
    elif head in families.LINEAR_HEADS:
        yield from linear_layout(
            families.LINEAR_HEADS[head].get(kind, "classifier"), "head", (d,), (config.get("num_classes", 2),)
        )


def _model_config(kind, theirs):
    for key, expected in families.EXPECTED.items():
        if theirs.get(key, expected) != expected:
            raise ValueError(f"Expected {key}={expected!r} in config.json. Received: {key}={theirs[key]!r}")
    config = {name: theirs.get(key, default) for name, (key, default) in families.KEYS[kind].items()} | families.FIXED.get(
        kind, {}
    )
    if config["activation"] not in families.ACTIVATIONS:
        raise unknown_name("activation", config["activation"], families.ACTIVATIONS)
    config["activation"] = families.ACTIVATIONS[config["activation"]]
    if kind == "roberta":
        config["max_sequence_length"] -= config["pad_id"] + 1
    if kind == "electra" and config["embedding_dim"] == config["hidden_dim"]:
        del config["embedding_dim"]  # then there is no projection
    if kind == "gpt2" and config["intermediate_dim"] is None:
        config["intermediate_dim"] = 4 * config["hidden_dim"]
    return config


def _has_head(kind, head, theirs):
    architectures = theirs.get("architectures") or ()
    endings = (head,)
    if head == "ForMaskedLM" and kind in ("bert", "albert"):
        endings += ("ForPreTraining",)  # has the masked language model head, and another
    found = head is not None and any(name.endswith(endings) for name in architectures)
    if found and head in ("ForMaskedLM", "LMHeadModel") and not theirs.get("tie_word_embeddings", True):
        raise ValueError("Expected tie_word_embeddings=True in config.json. Received: tie_word_embeddings=False")
    return found


def _head_config(head, theirs):
    if head not in ("ForSequenceClassification", "ForTokenClassification"):
        return {}
    num_classes, class_names = read_class_names(theirs)
    config = {"num_classes": num_classes, "class_names": class_names}
    if head == "ForSequenceClassification":
        problem = theirs.get("problem_type") or ("regression" if num_classes == 1 else "single_label_classification")
        config["problem"] = families.PROBLEMS[problem]
    return config


def _modern(name):
    """A tensor's name, with the old TensorFlow names of layer norm parameters replaced."""
    return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))


def _cut_positions(kind, config, tensors):
    """Removes RoBERTa's first position embeddings, as it counts positions from `pad_id` + 1."""
    name = "embeddings.position_embeddings.weight"
    if kind == "roberta" and name in tensors:
        tensors[name] = tensors[name][config["pad_id"] + 1 :]


def _split_gpt2(tensors):
    """Converts GPT-2's tensors: splits the joint query, key and value projection, and transposes matrices to (out, in)."""
    for name in list(tensors):
        if re.fullmatch(r"h\.\d+\.(attn|mlp)\.c_\w+\.weight", name):
            tensors[name] = tensors[name].T
        if ".attn.c_attn." in name:
            parts = tensors.pop(name)
            for part, projection in enumerate(("query", "key", "value")):
                width = len(parts) // 3
                tensors[name.replace("c_attn", projection)] = parts[part * width : (part + 1) * width]


def _tokenizer(path):
    """The configuration of the folder's tokenizer, or `None`."""
    if not any((path / file).is_file() for file in _TOKENIZERS):
        return None
    from textkit.tokenizer import Tokenizer

    return Tokenizer.from_folder(path).get_config()
