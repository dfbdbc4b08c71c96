"""Explanations: the prediction for a text, the relevance of its words, and their attention; TensorFlow only."""

import dataclasses
import inspect

import numpy as np
import tensorflow as tf

from shared_layers.runtime import require_tensorflow, unknown_name
from textkit.answers import Divided, read_labels, read_row, reader_of
from textkit.encoder import TextEncoder
from textkit.encoding import most_tokens
from textkit.evidence import CLASS_AGNOSTIC, METHODS, SIGNED, Question, encoder_of, logits_of

_MOST_TOKENS = 2048  # the attention scores of 12 layers with 12 heads then take 2.4 GB
_NAMED = 30


@dataclasses.dataclass(frozen=True)
class Explanation(Divided):
    """The prediction of a model for a text, with the relevance of each word.

    Attributes:
        text, pair, tokens, words, offsets, num_first, word_of_token: as in `textkit.answers.Divided`.
        attention: float32 (l, h, n, n), the attention scores of each layer and head.
        relevance: float32 (w,), the relevance of each word, in the unit of the method.
        method: str, the attribution method.
        explained: str, a description of the relevance: "relevance for positive", or "what 'it' attends to".
        answer: str, the prediction; `None` for a model without a head.
        word: int, the index of the `word` passed to `explain`; or `None`.
        target: the explained target, see `explain`; or `None` if there is none.
        logits: float32 (c,), (n, c) for a `TokenClassifier`, (n, 2) for a `SpanClassifier`; or `None`.
        probabilities: float32, of the shape of the logits; or `None`.
    """

    attention: np.ndarray
    relevance: np.ndarray
    method: str
    explained: str
    answer: str | None = None
    word: int | None = None
    target: int | tuple | None = None
    logits: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    @property
    def signed(self):
        """Whether the relevance can be negative: evidence against the explained target."""
        return self.method in SIGNED

    @property
    def word_attention(self):
        """float32 (l, h, w, w), attention between words: the mean over a word's query tokens, the sum over key tokens."""
        belongs = self.belongs
        return (belongs / belongs.sum(0)).T @ self.attention @ belongs


def explain(model, text, pair=None, method="auto", target=None, word=None, **options):
    """Computes the relevance of the words of a text for a model's prediction, and the attention between words.

    The methods and their options; the functions of these names in `textkit.evidence` cite the papers:

    - `raw` (layer=None, head=None): attention of one layer and head, or the mean of all.
    - `rollout` (fusion="mean", discard_ratio=0.0): attention through all layers.
    - `gradient_rollout`: attention weighted by its gradients, through all layers.
    - `legrad`: gradients with respect to the attention of each layer.
    - `integrated_gradients` (steps=32): integrated gradients at the embeddings; the baseline is blanked-out text; signed.
    - `occlusion`: the change of the score if a word is blanked out; signed.

    All except `raw` and `rollout` explain a prediction, and need a head. A blanked-out word is "[MASK]" for the model.

    Args:
        model: a `TextClassifier`, `TokenClassifier` or `SpanClassifier` with a tokenizer; for `raw` and `rollout` also a
            `TextEncoder` or another model on one.
        text: str.
        pair: str, the second text, such as the context of a question; or `None`.
        method: str, one of the above, or "auto": `gradient_rollout`, or `raw` without a head or with a `word` that the model
            does not label.
        target: what to explain. For classifiers the index or the name of a class or label. For a span classifier an answer:
            its text, or (first, last) word indices. `None` for the prediction.
        word: the index of a word, or the word itself if it occurs once. For `raw` and `rollout` the word whose attention is
            shown; for a token classifier the word whose label is explained. `None` for all words or tokens that the
            prediction is read from.
        **options: options of the method.

    Returns:
        An `Explanation` with NumPy arrays.

    Raises:
        ValueError: a text without words or too long, an unknown method, option, class or word, a method that needs a head
            for a model without one, or a model without a tokenizer.
    """
    require_tensorflow("explain")
    read = reader_of(model)
    method = _resolve_method(method, options, read, word)
    if read is None and target is not None:
        raise ValueError(f"Expected a model with a head for a target. Received: target={target!r}")
    encoder = encoder_of(model)
    if not isinstance(encoder, TextEncoder):
        raise ValueError(f"Expected a TextEncoder, or a model on one. Received: model={type(model).__name__}")
    divided = _divide(encoder, text, pair)
    asked = None if word is None else find_word(divided.words, word)

    inputs = encoder.tokenizer.encode([text], None if pair is None else [pair])
    seen = encoder(inputs, training=False, return_attention_scores=True)
    found, chosen, row = {}, None, read_row(model, divided)
    if read is not None:
        logits = np.asarray(logits_of(model, seen, inputs), "float32")[0]
        answer = read(model, logits, divided, target, asked)
        chosen, row = tf.constant(answer.chosen, tf.float32)[None], answer.row
        found = {"logits": logits, "answer": answer.answer, "probabilities": answer.probabilities}
    if method in CLASS_AGNOSTIC:
        row = row if asked is None else divided.belongs[:, asked]
        found |= {"explained": _attending(divided, row)}
    else:
        found |= {"explained": answer.explained, "target": answer.target}

    question = Question(
        row=tf.constant(row / row.sum(), tf.float32)[None],
        chosen=chosen,
        words=tf.constant(divided.word_of_token, tf.int32)[None],
        blank_id=encoder.tokenizer.blank_id,
    )
    evidence = METHODS[method](model, inputs, question, **options)
    return Explanation(
        **vars(divided),
        attention=np.concatenate([np.asarray(scores) for scores in seen["attention_scores"]]),
        relevance=np.asarray(evidence, "float32")[0] @ divided.belongs,
        method=method,
        word=asked,
        **found,
    )


def find_word(words, word):
    """Finds a word in a list.

    Args:
        words: list of str.
        word: int, an index; or str, a word of the list, or else an index in digits.

    Returns:
        int, the index.

    Raises:
        ValueError: the word does not occur, or several times.

    Example:
        >>> find_word(["it", "was", "it"], "was")
        1
    """
    places = [place for place, each in enumerate(words) if each == word]
    if not places and str(word).isdecimal() and int(word) < len(words):
        return int(word)
    if len(places) != 1:
        which = f"one of the words {', '.join(map(str, places))}, by its number" if places else "a word of the text"
        known = ", ".join(f"{place} {each}" for place, each in enumerate(words[:_NAMED])) + ", ..." * (len(words) > _NAMED)
        raise ValueError(f"Expected {which}. Received: word={word!r} among {known}")
    return places[0]


def _divide(encoder, text, pair):
    most = min(most_tokens(encoder) or _MOST_TOKENS, _MOST_TOKENS)
    tokens = encoder.tokenizer.tokens(text, pair)
    if len(tokens) > most:
        raise ValueError(f"Expected a text of at most {most} tokens. Received: {len(tokens)} tokens")
    spans = {}  # (part, word) -> [begin, end]
    for token in tokens:
        if token.begin < token.end:  # byte pairs can give empty words for repeated spaces
            spans.setdefault((token.part, token.word), [token.begin, token.end])[1] = token.end
    if not spans:
        raise ValueError(f"Expected a text with a word in it. Received: text={text!r}")
    index = {key: place for place, key in enumerate(spans)}
    return Divided(
        text=text,
        pair=pair,
        tokens=[token.text for token in tokens],
        words=[(text, pair)[part][begin:end] for (part, _), (begin, end) in spans.items()],
        offsets=[tuple(span) for span in spans.values()],
        num_first=sum(part == 0 for part, _ in spans),
        word_of_token=[index.get((token.part, token.word), -1) for token in tokens],
    )


def _resolve_method(method, options, read, word):
    if method == "auto":
        method = "raw" if read is None or (word is not None and read is not read_labels) else "gradient_rollout"
    if method not in METHODS:
        raise unknown_name("method", method, ("auto", *METHODS))
    if read is None and method not in CLASS_AGNOSTIC:
        raise ValueError(
            "Expected a model with a head for this method; an encoder without one has only "
            f"{' and '.join(map(repr, CLASS_AGNOSTIC))}. Received: method={method!r}"
        )
    if word is not None and method not in CLASS_AGNOSTIC and read is not read_labels:
        raise ValueError(
            f"Expected {' or '.join(map(repr, CLASS_AGNOSTIC))}, or a token classifier, for a word. "
            f"Received: method={method!r}, word={word!r}"
        )
    known = list(inspect.signature(METHODS[method]).parameters)[3:]
    for name in options:
        if name not in known:
            raise unknown_name("option", name, known)
    return method


def _attending(divided, row):
    """The description of an attention map: "what 'it' attends to"."""
    words = {divided.word_of_token[place] for place in np.flatnonzero(row)}
    if len(words) > 1:
        return "what the words attend to, on average"
    [word] = words
    return f"what {divided.tokens[row.argmax()] if word < 0 else repr(divided.words[word])} attends to"
