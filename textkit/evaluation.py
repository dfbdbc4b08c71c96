"""Evaluation of a translator on a split of pairs, by the metrics that are customary for the task."""

import inspect

from shared_layers.runtime import unknown_name
from textkit import metrics
from textkit.datasets.dates import date_pairs, dated_texts
from textkit.datasets.splits import SPLITS

METRICS = ("per", "exact_match", "bleu", "rouge")


def evaluate(translator, pairs, split="test", *, metric=None, tokenize="13a", progress=None, **options):
    """Translates a split and measures the answers.

    Args:
        translator: a `textkit.Translator`.
        pairs: `textkit.datasets.Pairs`; `pairs.limited(count)` for fewer.
        split: "train", "validation" or "test".
        metric: str: "per" (with WER) for pronunciations; "exact_match" (with AER for dates in characters, if the model has
            attention); "bleu" (with chrF) for translations; "rouge" for summaries. `None` for the metric of the pairs.
        tokenize: str, the tokenizer of BLEU, see `textkit.metrics.bleu`: "zh" for Chinese.
        progress: callable of (done, total), or `None`.
        **options: see `textkit.Translator.translate`, such as `method` and `beam_width`.

    Returns:
        dict, ready for JSON: "data", "split", "num_examples", and "per" and "wer" (0 to 1), or "exact_match" and "aer"
        (0 to 1), or "bleu" and "chrf" (0 to 100), or "rouge1", "rouge2" and "rougeL" (0 to 1).

    Raises:
        ValueError: an unknown split or metric, no pairs, dates in characters that are not those of
            `textkit.datasets.load("dates")`, or an option of `translate` out of its range.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    metric = pairs.metric if metric is None else metric
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    examples = getattr(pairs, split)
    if not examples:
        raise ValueError(f"Expected pairs to translate. Received: none in {split} of {pairs.name!r}")
    sources, references = [source for source, _ in examples], [targets for _, targets in examples]
    kinds = {translator.source_vocabulary.kind, translator.target_vocabulary.kind}
    has_gold = metric == "exact_match" and pairs.name == "dates" and kinds == {"characters"}
    gold = _gold(split, sources) if has_gold else None
    found = translator.translate(sources, return_attention=gold is not None, progress=progress, **options)
    answers = [each.text for each in found] if gold else found
    if metric == "per":
        measured = {
            "per": metrics.phoneme_error_rate(answers, references),
            "wer": metrics.word_error_rate(answers, references),
        }
    elif metric == "exact_match":
        measured = {"exact_match": metrics.exact_match(answers, references)}
        if gold and any(each.alignment.any() for each in found):
            links = [text.links(each.alignment.argmax(-1)) for text, each in zip(gold, found, strict=True)]
            sure, possible = [text.sure for text in gold], [text.possible for text in gold]
            measured["aer"] = metrics.alignment_error_rate(links, sure, possible)
    elif metric == "rouge":
        measured = metrics.rouge(answers, references)
    else:
        measured = {"bleu": metrics.bleu(answers, references, tokenize), "chrf": metrics.chrf(answers, references)}
    return {"data": pairs.name, "split": split, "num_examples": len(examples), **measured}


def _gold(split, sources):
    """The `DatedText` of each source, from the dates that `textkit.datasets.load("dates")` draws by default."""
    count = inspect.signature(date_pairs).parameters[split].default
    drawn = {text.source: text for text in dated_texts(split, max(count, len(sources)))}
    others = [source for source in sources if source not in drawn]
    if others:
        raise ValueError(f"Expected the dates of textkit.datasets.load('dates'). Received: others, such as {others[0]!r}")
    return [drawn[source] for source in sources]
