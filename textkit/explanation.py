"""Explanations: what a model says of a text, which words speak for it, and which word attends to which. TensorFlow only."""

import dataclasses

import numpy as np

from textkit.evidence import SIGNED


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a model said of a text, and why.

    Attributes:
        text: str.
        pair: str, the second text; or `None`.
        tokens: list of n str, special ones included.
        words: list of w str, those of the text and then those of the pair, as they are written there.
        offsets: list of w (begin, end), in characters of the text or of the pair.
        num_first: int, how many of the words are the text's.
        word_of_token: list of n int, the index of each token's word, -1 for special tokens.
        attention: float32 (l, h, n, n), of each layer and head, what each token attends to.
        relevance: float32 (w,), how relevant each word is, in the method's own unit.
        method: str, the method that found it.
        explained: str, what the words are relevant for.
        answer: str, what the model said; or `None`.
        word: int, the word asked about; or `None`.
        target: what was explained, as `explain` takes it; or `None`.
        logits: float32 (c,) or (n, c); or `None`.
        probabilities: float32, the shape of the logits; or `None`.
    """

    text: str
    pair: str | None
    tokens: list
    words: list
    offsets: list
    num_first: int
    word_of_token: list
    attention: np.ndarray
    relevance: np.ndarray
    method: str
    explained: str
    answer: str | None = None
    word: int | None = None
    target: object = None
    logits: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    @property
    def signed(self):
        """Whether words can also speak against what is explained."""
        return self.method in SIGNED

    @property
    def word_attention(self):
        """float32 (l, h, w, w): what each word's tokens attend to, on average, summed over the tokens of each word."""
        belongs = np.asarray(self.word_of_token)[:, None] == np.arange(len(self.words))  # (n, w)
        belongs = belongs.astype("float32")
        return (belongs / belongs.sum(0)).T @ self.attention @ belongs
