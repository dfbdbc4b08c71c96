"""What a trained Transformer's attention relates: the tokens of one text, and none of the future."""

import numpy as np

from scripts.attention_page.drawing import draw
from textkit.vocabulary import START

_OFFSETS = {-1: "the letter before", 0: "the letter itself", 1: "the letter after"}


def attention_within(translator, source, target):
    """What the model attends to within a source, and within a target that is given.

    Args:
        translator: `textkit.Translator` of a `textkit.TransformerSeq2Seq`.
        source: str.
        target: str.

    Returns:
        dict: "source" and "target", lists of their tokens, the target's with the start before them; "encoder" (l, h, s, s)
        and "decoder" (l, h, t, t), the scores; "before" and "at", the most by which a logit changes when the last token
        does, of the places before it and of its own.
    """
    [source_ids] = translator.source_vocabulary.encode([source]).to_list()
    [target_ids] = translator.target_vocabulary.encode([target]).to_list()
    target_ids = [START, *target_ids]
    other = START  # as the last token: any that it is not
    ids = {"source_ids": np.array([source_ids] * 2), "target_ids": np.array([target_ids, [*target_ids[:-1], other]])}
    scored = translator.model(ids, return_attention_scores=True)
    first, second = np.asarray(scored["logits"])
    change = np.abs(first - second).max(axis=-1)
    return {
        "source": translator.source_vocabulary.tokens(source_ids),
        "target": translator.target_vocabulary.tokens(target_ids),
        "encoder": np.stack([np.asarray(scores)[0] for scores in scored["encoder_attention_scores"]]),
        "decoder": np.stack([np.asarray(scores)[0] for scores in scored["decoder_attention_scores"]]),
        "before": float(change[:-1].max()),
        "at": float(change[-1]),
    }


def neighbours(translator, words, layer=0):
    """How much of each head's attention lies on the letter before, on the letter itself and on the one after.

    Args:
        translator: `textkit.Translator` of a `textkit.TransformerSeq2Seq`.
        words: list of str of the same length.
        layer: int.

    Returns:
        list over heads of dict {str: share of the attention of the letters that have both neighbours}.
    """
    ids = translator.source_vocabulary.encode(words).to_tensor().numpy()
    given = {"source_ids": ids, "target_ids": np.full((len(ids), 1), START)}
    scored = translator.model(given, return_attention_scores=True)
    scores = np.asarray(scored["encoder_attention_scores"][layer]).mean(axis=0)  # h s s
    inner = np.arange(1, scores.shape[-1] - 1)
    return [{name: float(head[inner, inner + offset].mean()) for offset, name in _OFFSETS.items()} for head in scores]


def draw_heads(path, scores, tokens, shares):
    """Draws each head's scores (h, n, n), under its largest share of `neighbours`."""

    def fill(panels):
        for number, (axes, head, share) in enumerate(zip(panels, scores, shares, strict=True), 1):
            name = max(share, key=share.get)
            axes.imshow(head, cmap="Blues", vmin=0, vmax=1)
            axes.set_title(f"head {number}: {share[name]:.0%} on\n{name}")
            axes.set_xticks(range(len(tokens)), tokens)
            axes.set_yticks(range(len(tokens)), tokens)
            axes.tick_params(length=0, labelsize=7)

    draw(path, len(scores), 2.2, fill)
