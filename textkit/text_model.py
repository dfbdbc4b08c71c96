"""TextModel: what the models that read text with a tokenizer of their own have in common."""

import functools

from shared_layers.runtime import Model
from textkit.presets import ENCODERS


class TextModel(Model):
    """Base of `TextEncoder`, of the models with a head on one, and of `CausalLM`: where weights and tokenizer come from.

    Attributes:
        checkpoint_families: tuple of str, which of Hugging Face's families of models this class reads.
        checkpoint_head: str, what Hugging Face calls the head, such as "ForMaskedLM"; `None` for none.
        reads_pooler: bool, whether the pooled output is used or returned.
    """

    presets = ENCODERS
    checkpoint_families = ("albert", "bert", "distilbert", "electra", "roberta")
    checkpoint_head = None
    reads_pooler = True

    @classmethod
    def import_checkpoint(cls, path, load_weights, overrides):
        """Reads a Hugging Face folder, see `textkit.checkpoints.hugging_face`; as `TextModel`, whatever it holds."""
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
        """Drops positions beyond a shorter `max_sequence_length`; a pooler asked for starts anew; the rest is refused."""
        if value is None and path.startswith("pooler/"):
            return None
        if value is not None and path.startswith("position_embedding/") and shape[0] < len(value):
            return value[: shape[0]]
        return super().adapt_weight(path, value, shape, model)

    @functools.cached_property
    def tokenizer(self):
        """The `textkit.Tokenizer` that makes this model's ids, or `None`."""
        config = self.get_config()["tokenizer"]
        if config is None:
            return None
        from textkit.tokenizer import Tokenizer

        return Tokenizer.from_config(config)
