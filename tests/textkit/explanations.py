"""Explanations made by hand, of random attention, for the tests of what shows them."""

import re

import numpy as np

from textkit.explanation import Explanation

LAYERS, HEADS = 2, 3


def make(text, pair=None, method="integrated_gradients", seed=0, layers=LAYERS, heads=HEADS, **answers):
    """An explanation of a text whose words of more than five letters have two tokens."""
    random = np.random.RandomState(seed)
    words, offsets, tokens, word_of_token, num_first = [], [], ["[CLS]"], [-1], 0
    for part in (text, pair):
        for match in re.finditer(r"[\u3400-\u9fff]|\w+|[^\w\s]", part or ""):
            pieces = [match[0][:5], "##" + match[0][5:]] if len(match[0]) > 5 else [match[0]]
            tokens += pieces
            word_of_token += [len(words)] * len(pieces)
            words.append(match[0])
            offsets.append(match.span())
        tokens.append("[SEP]")
        word_of_token.append(-1)
        num_first = num_first or len(words)
    scores = np.exp(2 * random.normal(size=(layers, heads, len(tokens), len(tokens))))
    return Explanation(
        text=text,
        pair=pair,
        tokens=tokens,
        words=words,
        offsets=offsets,
        num_first=num_first,
        word_of_token=word_of_token,
        attention=(scores / scores.sum(-1, keepdims=True)).astype("float32"),
        relevance=random.normal(size=len(words)).astype("float32") ** (1 if method == "integrated_gradients" else 2),
        method=method,
        **{"explained": "relevance for positive", "answer": None, **answers},
    )
