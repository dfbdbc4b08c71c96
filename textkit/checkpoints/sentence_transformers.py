"""sentence-transformers folders: the pooling of a Hugging Face model."""

from shared_layers.runtime import read_json, reading_config

MODULES = "modules.json"
_KINDS = ("Transformer", "Pooling", "Normalize")
_POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "token"}


def read_pooling(path):
    """Reads the modules after the Transformer.

    Args:
        path: `pathlib.Path` of the folder.

    Returns:
        dict of arguments of `SentenceEncoder`; empty for a folder without modules.

    Raises:
        ValueError: an unsupported pooling or module.
    """
    if not (path / MODULES).is_file():
        return {}
    with reading_config(path):
        kinds = [module["type"].rpartition(".")[2] for module in read_json(path / MODULES)]
        if unknown := set(kinds) - set(_KINDS):
            raise ValueError(f"Expected modules of {_KINDS}. Received: {', '.join(sorted(unknown))} in {str(path)!r}")
        theirs = read_json(path / "1_Pooling" / "config.json")
        modes = [name for name, is_on in theirs.items() if name.startswith("pooling_mode_") and is_on is True]
        if len(modes) != 1 or modes[0] not in _POOLINGS:
            raise ValueError(f"Expected one of {tuple(_POOLINGS)}. Received: {', '.join(modes) or 'none'} in {str(path)!r}")
    return {"pooling": _POOLINGS[modes[0]], "normalize": "Normalize" in kinds}
