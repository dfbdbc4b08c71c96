"""The likeliest answers among the tokens of a text, of the logits of a `SpanClassifier`. NumPy only."""

import numpy as np

MAX_ANSWER = 30  # tokens, as in BERT's own


def best_spans(starts, ends, allowed, count=1, max_answer=MAX_ANSWER):
    """Finds where the likeliest answers begin and end.

    Args:
        starts: float (n,), the logits of the first token of an answer.
        ends: float (n,), those of its last.
        allowed: bool (n,), the tokens that it may begin and end with.
        count: int, how many answers at most.
        max_answer: int, the most tokens of an answer.

    Returns:
        list of (first token, last token, sum of their logits), the best first; of those alike, the one that begins first.

    Raises:
        ValueError: answers of no token.

    Example:
        >>> best_spans(np.array([9.0, 1.0, 3.0]), np.array([9.0, 2.0, 0.5]), np.array([False, True, True]), count=2)
        [(2, 2, 3.5), (1, 1, 3.0)]
    """
    if max_answer < 1:
        raise ValueError(f"Expected at least 1. Received: max_answer={max_answer}")
    starts, ends = (np.where(allowed, logits, -np.inf).astype("float64") for logits in (starts, ends))
    ends = np.pad(ends, (0, max_answer - 1), constant_values=-np.inf)
    scores = starts[:, None] + np.lib.stride_tricks.sliding_window_view(ends, max_answer)  # first token, tokens after it
    scores = scores.ravel()
    count = min(count, np.isfinite(scores).sum())
    if not count:
        return []
    best = np.flatnonzero(scores >= np.partition(scores, -count)[-count])  # to sort few is faster
    best = best[np.argsort(-scores[best], kind="stable")[:count]]
    firsts, after = np.divmod(best, max_answer)
    return list(zip(firsts.tolist(), (firsts + after).tolist(), scores[best].tolist(), strict=True))
