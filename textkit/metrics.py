"""Metrics of generated text and of alignments, by their published definitions.

Error rates and exact match are between 0 and 1; BLEU and chrF, as usual, between 0 and 100. References are a list of correct
answers for each hypothesis.
"""

import re

import numpy as np

from shared_layers.runtime import unknown_name

_PAIRS_AT_ONCE = 4096
_ROUGE = ("rouge1", "rouge2", "rougeL")
# A word, or a single character of a script without spaces.
_ROUGE_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def edit_distances(hypotheses, references):
    """Levenshtein distances: the minimum number of insertions, deletions and substitutions between sequences.

    The computation is vectorized over pairs: 13 000 pronunciations take a tenth of a second.

    Args:
        hypotheses: list of sequences of symbols (a str is a sequence of characters, a list of str one of words).
        references: list of sequences, one for each hypothesis.

    Returns:
        int64 (n,).

    Raises:
        ValueError: different numbers of hypotheses and references.

    Reference:
        Wagner and Fischer, "The String-to-String Correction Problem", Journal of the ACM 1974.

    Example:
        >>> edit_distances(["kitten", ["a", "b"]], ["sitting", ["b"]])
        array([3, 1])
    """
    _check_as_many(hypotheses, references)
    lengths = np.array([max(map(len, pair)) for pair in zip(hypotheses, references, strict=True)], "int64")
    distances = np.zeros(len(hypotheses), "int64")
    order = np.argsort(lengths, kind="stable")  # compare pairs of similar length together
    for start in range(0, len(order), _PAIRS_AT_ONCE):
        rows = order[start : start + _PAIRS_AT_ONCE]
        distances[rows] = _distances([hypotheses[row] for row in rows], [references[row] for row in rows])
    return distances


def phoneme_error_rate(hypotheses, references):
    """PER: edit distance to the nearest reference, divided by the length of that reference, both summed over all words.

    Of equally near references the first counts.

    Args:
        hypotheses: list of sequences of symbols; a str is split at spaces: "K AE T".
        references: list of lists of such sequences, the correct answers for each hypothesis.

    Returns:
        float, at least 0; it can exceed 1.

    Raises:
        ValueError: see `word_error_rate`, or all references are empty.

    Reference:
        Yao and Zweig, "Sequence-to-Sequence Neural Net Models for Grapheme-to-Phoneme Conversion", Interspeech 2015.

    Example:
        >>> phoneme_error_rate(["T AH M AA"], [["T AH M EY T OW", "T AH M AA T OW"]])
        0.3333333333333333
    """
    distances, lengths = _nearest(hypotheses, references)
    if not lengths.sum():
        raise ValueError(f"Expected references with at least one symbol. Received: {len(lengths)} empty ones")
    return float(distances.sum() / lengths.sum())


def word_error_rate(hypotheses, references):
    """WER of pronunciations: the fraction of words whose pronunciation equals none of the references.

    (In speech recognition, WER is the edit distance in words.)

    Args:
        hypotheses: list of sequences of symbols; a str is split at spaces.
        references: list of lists of such sequences, the correct answers for each hypothesis.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: no hypotheses, different numbers of hypotheses and references, or a hypothesis without a reference.

    Reference:
        Yao and Zweig, Interspeech 2015.

    Example:
        >>> word_error_rate(["K AE T", "D AO"], [["K AE T", "K AA T"], ["D AO G"]])
        0.5
    """
    return float((_nearest(hypotheses, references)[0] > 0).mean())


def exact_match(hypotheses, references):
    """The fraction of hypotheses that equal one of their references.

    Args:
        hypotheses: list of str.
        references: list of lists of str.

    Returns:
        float in [0, 1].

    Raises:
        ValueError: see `word_error_rate`.

    Example:
        >>> exact_match(["2026-11-21", "2026-11-21"], [["2026-11-21"], ["2026-11-12"]])
        0.5
    """
    _check_references(hypotheses, references)
    return float(np.mean([hypothesis in right for hypothesis, right in zip(hypotheses, references, strict=True)]))


def bleu(hypotheses, references, tokenize="13a"):
    """Corpus BLEU as sacrebleu computes it: cased, of detokenised text, exponential smoothing.

    Args:
        hypotheses: list of str.
        references: list of lists of str; their number can differ between hypotheses.
        tokenize: str, one of sacrebleu's tokenizers: "13a" (the default of WMT), "intl", "zh" (Chinese), "char", "none".

    Returns:
        float in [0, 100].

    Raises:
        ValueError: an unknown tokenizer, or see `word_error_rate`.

    Reference:
        Papineni et al. 2002; Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018.

    Example:
        >>> round(bleu(["the cat sat on a mat"], [["the cat sat on the mat"]]), 1)
        53.7
    """
    from sacrebleu.metrics import BLEU

    if tokenize not in BLEU.TOKENIZERS:
        raise unknown_name("tokenize", tokenize, BLEU.TOKENIZERS)
    return _corpus_score(BLEU(tokenize=tokenize), hypotheses, references)


def chrf(hypotheses, references, word_order=0):
    """Corpus chrF as sacrebleu computes it: F2 of character n-grams up to 6; needs no tokenizer.

    Args:
        hypotheses: list of str.
        references: list of lists of str.
        word_order: int, the maximum order of additional word n-grams; 2 for chrF++.

    Returns:
        float in [0, 100].

    Raises:
        ValueError: see `word_error_rate`.

    Reference:
        Popovic, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015.

    Example:
        >>> chrf(["the cat"], [["a dog", "the cat"]])
        100.0
    """
    from sacrebleu.metrics import CHRF

    return _corpus_score(CHRF(word_order=word_order), hypotheses, references)


def rouge(hypotheses, references, variants=_ROUGE):
    """ROUGE F1, averaged over all summaries, as `keras_nlp` computes it; without stemming.

    `keras_nlp` keeps only the letters a-z and digits; here words of all scripts count, and each character of Chinese and
    Japanese. English scores are those of `keras_nlp`.

    Args:
        hypotheses: list of str.
        references: list of lists of str; the one with the highest score counts.
        variants: iterable of "rouge1", "rouge2" and "rougeL".

    Returns:
        dict {variant: float in [0, 1]}.

    Raises:
        ValueError: an unknown variant, or see `word_error_rate`.

    Reference:
        Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004.

    Example:
        >>> rouge(["the cat sat"], [["the cat ran"]], ["rouge1"])
        {'rouge1': 0.6666666865348816}
    """
    import keras_nlp

    for variant in set(variants) - set(_ROUGE):
        raise unknown_name("variant", variant, _ROUGE)
    _check_references(hypotheses, references)
    scores = {}
    for variant in variants:
        metric = keras_nlp.metrics.RougeL() if variant == "rougeL" else keras_nlp.metrics.RougeN(order=int(variant[-1]))
        best = []
        for hypothesis, right in zip(hypotheses, references, strict=True):
            found = []
            for reference in right:
                metric.reset_state()
                metric.update_state(*_numbered_words(reference, hypothesis))
                found.append(float(metric.result()["f1_score"]))
            best.append(max(found))
        scores[variant] = float(np.mean(best))
    return scores


def alignment_error_rate(links, sure, possible=None):
    """AER: 1 - (|A & S| + |A & P|) / (|A| + |S|), over the links of all sentences.

    Sure links must be found, possible links may be. Sure links are always possible.

    Args:
        links: list of iterables of (source index, target index), the predicted links A, one iterable for each sentence.
        sure: list of such iterables, the sure links S.
        possible: list of such iterables, the possible links P; `None` for the sure ones only.

    Returns:
        float in [0, 1], 0 is best.

    Raises:
        ValueError: different numbers of sentences, or no links in `links` and `sure`.

    Reference:
        Och and Ney, "A Systematic Comparison of Various Statistical Alignment Models", Computational Linguistics 2003,
        section 5.1.

    Example:
        >>> alignment_error_rate([[(0, 0), (1, 1)]], [[(0, 0)]], [[(2, 1)]])
        0.33333333333333337
    """
    possible = [()] * len(sure) if possible is None else possible
    for name, given in {"sure": sure, "possible": possible}.items():
        if len(given) != len(links):
            raise ValueError(f"Expected {name} links for {len(links)} sentences. Received: {len(given)} sentences")
    agreed = total = 0
    for found, certain, allowed in zip(links, sure, possible, strict=True):
        found, certain = set(map(tuple, found)), set(map(tuple, certain))
        allowed = certain.union(map(tuple, allowed))
        agreed += len(found & certain) + len(found & allowed)
        total += len(found) + len(certain)
    if not total:
        raise ValueError(f"Expected at least one link. Received: none in {len(links)} sentences")
    return 1 - agreed / total


def _distances(hypotheses, references):
    """`edit_distances` of pairs of similar length."""
    numbers = {}
    hypothesis_ids = _padded(hypotheses, numbers, -1)  # n p
    reference_ids = _padded(references, numbers, -2)  # n r
    hypothesis_lengths = np.array([len(sequence) for sequence in hypotheses])
    reference_lengths = np.array([len(sequence) for sequence in references])
    columns = np.arange(reference_ids.shape[1] + 1)
    row = np.tile(columns, (len(references), 1))  # n r+1, distances to an empty hypothesis
    result = reference_lengths.copy()
    for index in range(hypothesis_ids.shape[1]):
        substituted = row[:, :-1] + (hypothesis_ids[:, index, None] != reference_ids)
        row = row + 1
        row[:, 1:] = np.minimum(row[:, 1:], substituted)
        # Insertions along the row cost 1 each: a running minimum, relative to the column.
        row = np.minimum.accumulate(row - columns, axis=1) + columns
        ended = np.flatnonzero(hypothesis_lengths == index + 1)
        result[ended] = row[ended, reference_lengths[ended]]
    return result


def _padded(sequences, numbers, padding):
    """Sequences as an int64 array of symbol indices, which are assigned in `numbers`."""
    array = np.full((len(sequences), max(map(len, sequences))), padding, "int64")
    for row, sequence in enumerate(sequences):
        array[row, : len(sequence)] = [numbers.setdefault(symbol, len(numbers)) for symbol in sequence]
    return array


def _nearest(hypotheses, references):
    """The distance of each hypothesis to its nearest reference, and the length of that; int64 (n,) both."""
    _check_references(hypotheses, references)
    counts = [len(right) for right in references]
    given = [_symbols(hypothesis) for hypothesis, count in zip(hypotheses, counts, strict=True) for _ in range(count)]
    answers = [_symbols(reference) for right in references for reference in right]
    distances = edit_distances(given, answers)
    starts = np.cumsum([0, *counts[:-1]])
    nearest = [start + np.argmin(distances[start : start + count]) for start, count in zip(starts, counts, strict=True)]
    return distances[nearest], np.array([len(answers[index]) for index in nearest])


def _symbols(sequence):
    return sequence.split() if isinstance(sequence, str) else sequence


def _corpus_score(metric, hypotheses, references):
    _check_references(hypotheses, references)
    most = max(map(len, references))
    streams = [[right[index] if index < len(right) else None for right in references] for index in range(most)]
    return float(metric.corpus_score(list(hypotheses), streams).score)


def _numbered_words(*texts):
    """The texts with each word replaced by its index in digits, which `keras_nlp` keeps."""
    numbers = {}
    return [
        " ".join(str(numbers.setdefault(word, len(numbers))) for word in _ROUGE_TOKEN.findall(text.lower()))
        for text in texts
    ]


def _check_as_many(hypotheses, references):
    if len(hypotheses) != len(references):
        raise ValueError(f"Expected as many references as hypotheses. Received: {len(references)} for {len(hypotheses)}")


def _check_references(hypotheses, references):
    _check_as_many(hypotheses, references)
    if not len(hypotheses):
        raise ValueError("Expected at least one hypothesis. Received: none")
    for index, right in enumerate(references):
        if isinstance(right, str) or not len(right):
            raise ValueError(
                f"Expected a list of correct answers for each hypothesis. Received: references[{index}]={right!r}"
            )
