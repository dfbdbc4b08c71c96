"""Text encoders with heads, and sequence-to-sequence models, with their attention.

Heavy modules are imported on first use: `import textkit` imports neither tensorflow-datasets nor keras-nlp.
"""

import importlib

import shared_layers  # noqa: F401 -- first: it silences TensorFlow's log
from textkit.causal_lm import CausalLM
from textkit.encoder import TextEncoder
from textkit.heads import MaskedLanguageModel, SentenceEncoder, SpanClassifier, TextClassifier, TokenClassifier
from textkit.recurrent import RecurrentSeq2Seq
from textkit.transformer import TransformerSeq2Seq

_HOME = {
    "Predictor": "textkit.prediction",
    "Tokenizer": "textkit.tokenizer",
    "Translator": "textkit.translator",
    "Vocabulary": "textkit.vocabulary",
    "evaluate": "textkit.evaluation",
    "evaluate_labels": "textkit.label_evaluation",
    "explain": "textkit.explanation",
    "export": "textkit.saved_model",
    "find_answers": "textkit.tasks.spans",
    "fine_tune": "textkit.fine_tuning",
    "pretrain": "textkit.pretraining",
    "train": "textkit.training",
}
__all__ = [
    "CausalLM",
    "MaskedLanguageModel",
    "Predictor",
    "RecurrentSeq2Seq",
    "SentenceEncoder",
    "SpanClassifier",
    "TextClassifier",
    "TextEncoder",
    "TokenClassifier",
    "Tokenizer",
    "TransformerSeq2Seq",
    "Translator",
    "Vocabulary",
    "evaluate",
    "evaluate_labels",
    "explain",
    "export",
    "find_answers",
    "fine_tune",
    "pretrain",
    "train",
]


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'textkit' has no attribute {name!r}")
