"""The best spans for the logits of a `SpanClassifier`. NumPy only."""

import numpy as np

MAX_ANSWER = 30  # tokens, as in BERT's code


def best_spans(starts, ends, allowed, count=1, max_answer=MAX_ANSWER):
    """Finds the spans with the highest scores.

    Args:
        starts: float (n,), the start logits.
        ends: float (n,), the end logits.
        allowed: bool (n,), the tokens that a span may start and end with.
        count: int, the maximum number of spans.
        max_answer: int, the maximum number of tokens of a span.

    Returns:
        list of (first token, last token, sum of their logits), the best first; ties are in the order of the first token.

    Raises:
        ValueError: `max_answer` below 1.

    Example:
        >>> best_spans(np.array([9.0, 1.0, 3.0]), np.array([9.0, 2.0, 0.5]), np.array([False, True, True]), count=2)
        [(2, 2, 3.5), (1, 1, 3.0)]
    """
    if max_answer < 1:
        raise ValueError(f"Expected at least 1. Received: max_answer={max_answer}")
    starts, ends = (np.where(allowed, logits, -np.inf).astype("float64") for logits in (starts, ends))
    ends = np.pad(ends, (0, max_answer - 1), constant_values=-np.inf)
    scores = starts[:, None] + np.lib.stride_tricks.sliding_window_view(ends, max_answer)  # first, tokens after it
    scores = scores.ravel()
    count = min(count, np.isfinite(scores).sum())
    if not count:
        return []
    best = np.flatnonzero(scores >= np.partition(scores, -count)[-count])  # sort only these
    best = best[np.argsort(-scores[best], kind="stable")[:count]]
    firsts, after = np.divmod(best, max_answer)
    return list(zip(firsts.tolist(), (firsts + after).tolist(), scores[best].tolist(), strict=True))
