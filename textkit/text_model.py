"""TextModel: what the models that read text with a tokenizer of their own have in common."""

import functools
import json

from shared_layers.runtime import Model
from textkit.presets import CAUSAL, ENCODERS


class TextModel(Model):
    """Base of `TextEncoder`, of the models with a head on one, and of `CausalLM`: where weights and tokenizer come from.

    Attributes:
        checkpoint_families: tuple of str, which of Hugging Face's families of models this class reads.
        checkpoint_head: str, what Hugging Face calls the head, such as "ForMaskedLM"; `None` for none.
        reads_pooler: bool, whether the pooled output is used or returned.
    """

    presets = {**ENCODERS, **CAUSAL}  # noqa: RUF012 -- a table that nobody changes
    checkpoint_families = ()
    checkpoint_head = None
    reads_pooler = False

    @classmethod
    def import_checkpoint(cls, path, load_weights, overrides):
        """Reads a Hugging Face folder, see `textkit.checkpoints.hugging_face`; `TextModel` makes what the folder says."""
        from textkit.checkpoints.hugging_face import class_of, import_hugging_face

        return import_hugging_face(class_of(path) if cls is TextModel else cls, path, load_weights, overrides)

    @classmethod
    def checkpoint_arguments(cls, path):
        """Constructor arguments that a folder has beside those of Hugging Face; none."""
        return {}

    @classmethod
    def new_head(cls, overrides, load_weights, stacklevel):
        """Arguments of a head that starts anew; there is none to have any."""
        return {}

    def adapt_weight(self, path, value, shape, model):
        """Drops positions beyond a shorter `max_sequence_length`; the rest is refused."""
        if value is not None and path.startswith("position_embedding/") and shape[0] < len(value):
            return value[: shape[0]]
        return super().adapt_weight(path, value, shape, model)

    @functools.cached_property
    def tokenizer(self):
        """The `textkit.Tokenizer` that makes this model's ids, or `None`."""
        config = self.get_config()["tokenizer"]
        if config is None:
            return None
        from textkit.tokenizer import shared_tokenizer

        return shared_tokenizer(json.dumps(config))


class EncoderModel(TextModel):
    """Base of `TextEncoder` and of the models with a head on one, which take over each other's encoders."""

    presets = ENCODERS
    checkpoint_families = ("albert", "bert", "distilbert", "electra", "roberta")

    def adapt_weight(self, path, value, shape, model):
        """As `TextModel`; a pooler asked for starts anew."""
        if value is None and path.startswith("pooler/"):
            return None
        return super().adapt_weight(path, value, shape, model)


EncoderModel.relatives = (EncoderModel,)
