"""Tokenizer files in the folders of checkpoints and of `textkit.Tokenizer.save`."""

import base64
import json
import pathlib

from shared_layers.runtime import refuse_to_replace_others, write_aside

_CONFIG, _SPECIAL, _JSON = "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"
_WORDPIECE, _BYTES = "vocab.txt", ("vocab.json", "merges.txt")
_SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model")
_PURPOSES = {"pad": "pad_token", "unknown": "unk_token", "start": "cls_token", "end": "sep_token", "mask": "mask_token"}


def read(folder):
    """Reads a tokenizer's constructor arguments.

    Args:
        folder: str or path-like, with spiece.model, sentencepiece.bpe.model, tokenizer.json, vocab.txt, or vocab.json and
            merges.txt; the first of these is used. tokenizer_config.json and special_tokens_map.json are optional, as in
            `transformers`.

    Returns:
        dict for `textkit.Tokenizer`.

    Raises:
        ValueError: none of these files, a broken file, or an unsupported tokenizer.
    """
    folder = pathlib.Path(folder)
    config = _load(folder / _CONFIG) | _load(folder / _SPECIAL)
    for name in _SENTENCEPIECE:
        if (folder / name).is_file():
            made = {"kind": "sentencepiece", "vocabulary": base64.b64encode((folder / name).read_bytes()).decode()}
            if name == _SENTENCEPIECE[0]:  # ALBERT's: by default lower case, no accents, and straight quotes
                made["lower_case"] = config.get("do_lower_case", True)
                made["strip_accents"] = not config.get("keep_accents", False)
                made["straight_quotes"] = config.get("straight_quotes", True)
            break
    else:
        if (folder / _JSON).is_file():
            made = _tokenizer_json(folder / _JSON)
        elif (folder / _WORDPIECE).is_file():
            made = {
                "kind": "wordpiece",
                "vocabulary": _lines(folder / _WORDPIECE),
                "lower_case": config.get("do_lower_case", True),
                "strip_accents": config.get("strip_accents"),
                "split_chinese": config.get("tokenize_chinese_chars", True),
            }
        elif all((folder / name).is_file() for name in _BYTES):
            merges = [line for line in _lines(folder / _BYTES[1]) if line and not line.startswith("#version")]
            made = {"kind": "bytes", "vocabulary": _in_order(_load(folder / _BYTES[0])), "merges": merges}
        else:
            names = ", ".join([*_SENTENCEPIECE, _JSON, _WORDPIECE, " and ".join(_BYTES)])
            raise ValueError(f"Expected a folder with one of {names}. Received: folder={str(folder)!r}")
    if config.get("add_prefix_space"):
        raise ValueError(f"Expected a tokenizer without a prefix space. Received: add_prefix_space=True in {str(folder)!r}")
    special = {purpose: config.get(key) for purpose, key in _PURPOSES.items()}
    special = {purpose: token.get("content") if isinstance(token, dict) else token for purpose, token in special.items()}
    for purpose, token in special.items():
        if not isinstance(token, str | None):
            raise ValueError(f"Expected {_PURPOSES[purpose]} to be a str. Received: {token!r} in {str(folder)!r}")
    made["special_tokens"] = {purpose: token for purpose, token in special.items() if token is not None}
    made["template"] = config.get("template")
    return made


def write(config, folder):
    """Writes a folder for `read`, with files that `transformers` can also read.

    Args:
        config: dict, as returned by `textkit.Tokenizer.get_config`.
        folder: str or path-like; complete or absent afterwards. An existing tokenizer is replaced.

    Raises:
        ValueError: the folder holds something else.
    """
    refuse_to_replace_others(folder, _CONFIG)
    said = {_PURPOSES[purpose]: token for purpose, token in config["special_tokens"].items()}
    said |= {"template": config["template"], "do_lower_case": config["lower_case"]}
    with write_aside(folder) as made:
        made.mkdir()
        vocabulary = config["vocabulary"]
        if config["kind"] == "wordpiece":
            said |= {"strip_accents": config["strip_accents"], "tokenize_chinese_chars": config["split_chinese"]}
            _write_lines(made / _WORDPIECE, vocabulary)
        elif config["kind"] == "bytes":
            ids = {token: index for index, token in enumerate(vocabulary)}
            (made / _BYTES[0]).write_text(json.dumps(ids, ensure_ascii=False), "utf-8")
            _write_lines(made / _BYTES[1], ["#version: 0.2", *config["merges"]])
        else:
            said |= {"keep_accents": not config["strip_accents"], "straight_quotes": config["straight_quotes"]}
            (made / _SENTENCEPIECE[0]).write_bytes(base64.b64decode(vocabulary))
        (made / _CONFIG).write_text(json.dumps(said, indent=2) + "\n", "utf-8")


def _tokenizer_json(path):
    """The constructor arguments in tokenizer.json, a file of the `tokenizers` library."""
    content = _load(path)
    try:
        model, normalizers = content["model"], _flat(content["normalizer"], "normalizers")
        splitters = _flat(content["pre_tokenizer"], "pretokenizers")
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        read = {"WordPiece": _wordpiece, "BPE": _byte_pairs, "Unigram": _unigram}.get(model["type"])
        return read(model, normalizers, splitters, added)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"Expected a tokenizer like that of BERT, GPT-2 or ALBERT. Received: path={str(path)!r}") from error


def _wordpiece(model, normalizers, splitters, added):
    _check_types("pre-tokenizer", splitters, {"BertPreTokenizer"})
    _check_types("normalizer", normalizers, {"BertNormalizer"})
    return {
        "kind": "wordpiece",
        "vocabulary": _in_order(added | model["vocab"]),
        "lower_case": normalizers[0]["lowercase"],
        "strip_accents": normalizers[0]["strip_accents"],
        "split_chinese": normalizers[0]["handle_chinese_chars"],
    }


def _byte_pairs(model, normalizers, splitters, added):
    _check_types("pre-tokenizer", splitters, {"ByteLevel"})
    _check_types("normalizer", normalizers, set())
    if splitters[0]["add_prefix_space"]:
        raise ValueError("Expected a tokenizer without a prefix space. Received: add_prefix_space=True")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    return {"kind": "bytes", "vocabulary": _in_order(added | model["vocab"]), "merges": merges}


def _unigram(model, normalizers, splitters, added):
    from sentencepiece import sentencepiece_model_pb2 as schema

    _check_types("pre-tokenizer", splitters, {"Metaspace", "WhitespaceSplit"})
    types = _check_types("normalizer", normalizers, {"Precompiled", "Replace", "NFKD", "StripAccents", "Lowercase"})
    proto = schema.ModelProto()
    kinds = schema.ModelProto.SentencePiece
    for index, (piece, score) in enumerate(model["vocab"]):
        special = kinds.UNKNOWN if index == model["unk_id"] else kinds.CONTROL if piece in added else kinds.NORMAL
        proto.pieces.add(piece=piece, score=score, type=special)
    names = {"unk": ("<unk>", "[UNK]"), "pad": ("<pad>", "[PAD]"), "bos": ("<s>", "[CLS]"), "eos": ("</s>", "[SEP]")}
    pieces = {piece for piece, _ in model["vocab"]}
    for purpose, known in names.items():
        for piece in pieces.intersection(known):
            setattr(proto.trainer_spec, f"{purpose}_piece", piece)
    maps = [base64.b64decode(each["precompiled_charsmap"]) for each in normalizers if each["type"] == "Precompiled"]
    proto.normalizer_spec.precompiled_charsmap = b"".join(maps)
    return {
        "kind": "sentencepiece",
        "vocabulary": base64.b64encode(proto.SerializeToString()).decode(),
        "lower_case": "Lowercase" in types,
        "strip_accents": "StripAccents" in types,
        "straight_quotes": _replacements(normalizers),
    }


def _replacements(normalizers):
    """Whether quotes are replaced as in ALBERT; repeated spaces are handled by the sentencepiece model."""
    pairs = [(each["pattern"], each["content"]) for each in normalizers if each["type"] == "Replace"]
    quotes = [({"String": "``"}, '"'), ({"String": "''"}, '"')]
    others = [pair for pair in pairs if pair not in quotes and pair[0] != {"Regex": " {2,}"}]
    straight = [pair in pairs for pair in quotes]
    if others or len(set(straight)) > 1:
        raise ValueError(f"Expected replacements of `` and '' by \", or of repeated spaces only. Received: {pairs}")
    return straight[0]


def _flat(part, members):
    """The steps of a normalizer or pre-tokenizer."""
    if part is None:
        return []
    return part[members] if part["type"] == "Sequence" else [part]


def _check_types(what, steps, known):
    types = {step["type"] for step in steps}
    if types - known:
        expected = " or ".join(sorted(known)) or "none"
        raise ValueError(f"Expected {expected} as {what}. Received: {', '.join(sorted(types - known))}")
    return types


def _in_order(ids):
    """The tokens of a dict {token: id}, in the order of their ids, which must be 0, 1, ..."""
    tokens = sorted(ids, key=ids.get)
    if [ids[token] for token in tokens] != list(range(len(tokens))):
        raise ValueError(f"Expected ids from 0 on, each once. Received: {len(tokens)} ids up to {ids[tokens[-1]]}")
    return tokens


def _load(path):
    """The dict in a JSON file; empty if the file does not exist."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"Expected JSON. Received: path={str(path)!r}") from error
    if not isinstance(content, dict):
        raise ValueError(f"Expected a JSON object. Received: path={str(path)!r}")
    return content


def _lines(path):
    try:
        lines = path.read_bytes().decode().split("\n")  # not `splitlines`: tokens may contain other line ends
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected UTF-8. Received: path={str(path)!r}") from error
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def _write_lines(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")
