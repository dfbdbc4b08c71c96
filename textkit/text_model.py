"""TextModel: the base of models with a tokenizer."""

import functools
import json

from shared_layers.runtime import Model
from textkit.presets import CAUSAL, ENCODERS


class TextModel(Model):
    """Base of `TextEncoder`, of the models with a head on one, and of `CausalLM`: presets, checkpoints and the tokenizer.

    Attributes:
        checkpoint_families: tuple of str, the `model_type`s of Hugging Face that this class reads.
        checkpoint_head: str, the suffix of the architecture in Hugging Face, such as "ForMaskedLM"; or `None`.
        reads_pooler: bool, whether the pooled output is used or returned.
    """

    presets = {**ENCODERS, **CAUSAL}  # noqa: RUF012 -- a constant
    checkpoint_families = ()
    checkpoint_head = None
    reads_pooler = False

    @classmethod
    def import_checkpoint(cls, path, load_weights, overrides):
        """Reads a Hugging Face folder, see `textkit.checkpoints.hugging_face`; `TextModel` makes the folder's class."""
        from textkit.checkpoints.hugging_face import class_of, import_hugging_face

        return import_hugging_face(class_of(path) if cls is TextModel else cls, path, load_weights, overrides)

    @classmethod
    def checkpoint_arguments(cls, path):
        """Further constructor arguments from a checkpoint folder; here none."""
        return {}

    @classmethod
    def new_head(cls, overrides, load_weights, stacklevel):
        """Constructor arguments of a newly initialized head; here none."""
        return {}

    def adapt_weight(self, path, value, shape, model):
        """Truncates position embeddings to a shorter `max_sequence_length`; other shapes raise."""
        if value is not None and path.startswith("position_embedding/") and shape[0] < len(value):
            return value[: shape[0]]
        return super().adapt_weight(path, value, shape, model)

    @functools.cached_property
    def tokenizer(self):
        """The model's `textkit.Tokenizer`, or `None`."""
        config = self.get_config()["tokenizer"]
        if config is None:
            return None
        from textkit.tokenizer import shared_tokenizer

        return shared_tokenizer(json.dumps(config))


class EncoderModel(TextModel):
    """Base of `TextEncoder` and of the models with a head on one, which can be made from each other's encoders."""

    presets = ENCODERS
    checkpoint_families = ("albert", "bert", "distilbert", "electra", "roberta")

    def adapt_weight(self, path, value, shape, model):
        """As `TextModel`; a pooler without weights is newly initialized."""
        if value is None and path.startswith("pooler/"):
            return None
        return super().adapt_weight(path, value, shape, model)


EncoderModel.relatives = (EncoderModel,)
