"""Explanations: what a model says of a text, which words speak for it, and which word attends to which. TensorFlow only."""

import dataclasses
import inspect

import numpy as np
import tensorflow as tf

from shared_layers.runtime import require_tensorflow, unknown_name
from textkit.answers import Divided, read_labels, read_row, reader_of
from textkit.encoder import TextEncoder
from textkit.encoding import most_tokens
from textkit.evidence import CLASS_AGNOSTIC, METHODS, SIGNED, Question, encoder_of, logits_of

_MOST_TOKENS = 2048  # the attention of 12 layers of 12 heads is then 2.4 GB
_NAMED = 30


@dataclasses.dataclass(frozen=True)
class Explanation(Divided):
    """What a model said of a text, and why.

    Attributes:
        text, pair, tokens, words, offsets, num_first, word_of_token: as in `textkit.answers.Divided`.
        attention: float32 (l, h, n, n), of each layer and head, what each token attends to.
        relevance: float32 (w,), how relevant each word is, in the method's own unit.
        method: str, the method that found it.
        explained: str, what the relevance is: "relevance for positive", or "what 'it' attends to".
        answer: str, what the model said; or `None` of a model without a head.
        word: int, the word that was asked about; or `None`.
        target: what was explained, as `explain` takes it; or `None` where that was no answer.
        logits: float32 (c,), (n, c) of a model that answers token by token, (n, 2) of spans; or `None`.
        probabilities: float32, the shape of the logits; or `None`.
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
        """Whether words can also speak against what is explained."""
        return self.method in SIGNED

    @property
    def word_attention(self):
        """float32 (l, h, w, w): what each word's tokens attend to, on average, summed over the tokens of each word."""
        belongs = self.belongs
        return (belongs / belongs.sum(0)).T @ self.attention @ belongs


def explain(model, text, pair=None, method="auto", target=None, word=None, **options):
    """Finds which words of a text matter to a model, and which attend to which.

    The methods and their options; the functions of these names in `textkit.evidence` cite the papers:

    - `raw` (layer=None, head=None): attention, of a layer and a head or the mean of all.
    - `rollout` (fusion="mean", discard_ratio=0.0): attention through all layers.
    - `gradient_rollout`: attention weighed by its gradients, through all layers.
    - `legrad`: gradients with respect to the attention of each layer.
    - `integrated_gradients` (steps=32): gradients at the embeddings on the way from a text of blanks; signed.
    - `occlusion`: what is missed when a word is blank; signed.

    All but `raw` and `rollout` explain an answer, and need a head. A word that is blank is "[MASK]" to the model.

    Args:
        model: a `TextClassifier`, `TokenClassifier` or `SpanClassifier`; or a `TextEncoder` or another model on one, for the
            methods that know no answers. With its tokenizer.
        text: str.
        pair: str, the second text, such as the context of a question.
        method: str, one of the above, or "auto": `gradient_rollout`, or `raw` where there is no head, or a word is asked
            about that the model gives no class.
        target: what to explain. The class of a classifier or the label of a token classifier: its index or its name. The
            answer of a span classifier: its words, as they stand in the text or as (first, last). `None` explains what
            the model says.
        word: the word that is asked about: its index, or the word itself where it stands once. Of `raw` and `rollout` the
            one that attends; of a token classifier the one whose label is explained. `None`: all that the answer is read
            from.
        **options: the method's own.

    Returns:
        An `Explanation`, arrays of NumPy.

    Raises:
        ValueError: a text without a word or too long, a method, option, class or word that does not exist, a method that
            needs a head that the model does not have, or a model without a tokenizer.
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
        word: int, its index; or str, the word itself, or its index where no word reads so.

    Returns:
        int.

    Raises:
        ValueError: there is no such word, or several.

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
        if token.begin < token.end:  # of bytes, a space beside a space is a word of nothing
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
            "The method explains an answer, which takes a model with a head; a bare encoder is served by "
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
    """What is explained of the tokens that attend: "what 'it' attends to"."""
    words = {divided.word_of_token[place] for place in np.flatnonzero(row)}
    if len(words) > 1:
        return "what the words attend to, on average"
    [word] = words
    return f"what {divided.tokens[row.argmax()] if word < 0 else repr(divided.words[word])} attends to"
