"""`textkit translate` and `textkit explain`: answers, and what they attend to."""

from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import progress_bar, writable
from textkit.commands.options import Seed, best_of_run, not_applicable, translators_only
from textkit.commands.pairs import (
    BeamWidth,
    Folder,
    LengthPenalty,
    MaxLength,
    Method,
    Reading,
    Temperature,
    TooLong,
    TopK,
    TopP,
)


def _ending(suffix):
    """A callback that checks the suffix of an output path, and that it can be written."""

    def check(path):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"Expected a path that ends in {suffix}. Received: path={str(path)!r}")
        return writable(path)

    return check


Picture = Annotated[
    Path | None,
    typer.Option("--attention", help="PNG to write: what each token attends to.", dir_okay=False, callback=_ending(".png")),
]
Page = Annotated[
    Path | None,
    typer.Option("--html", help="Interactive HTML page to write.", dir_okay=False, callback=_ending(".html")),
]
Model = Annotated[
    str,
    typer.Option(
        help="Folder of a run or of a saved model or translator; for encoders also a .keras file or hf://owner/repository."
    ),
]


def translate(
    texts: Annotated[list[str], typer.Argument(help="Texts to translate.")],
    model: Folder,
    attention: Picture = None,
    html: Page = None,
    num_best: Annotated[
        int | None,
        typer.Option(help="Print this many answers per text, each with TAB and log-probability (beam only).", min=1),
    ] = None,
    method: Method = "beam",
    beam_width: BeamWidth = 4,
    length_penalty: LengthPenalty = 0.6,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    max_length: MaxLength = None,
    reading: Reading = "same_step",
    too_long: TooLong = "truncate",
    seed: Seed = 0,
):
    """Translate texts with a trained model, one answer per line.

    Examples:

    textkit translate "21 November 2026" --model runs/dates --attention alignment.png --html alignment.html

    textkit translate read lead --model runs/g2p --num-best 3

    textkit translate read --model runs/g2p --method sample --temperature 0.7 --seed 1
    """
    options = {"method": method, "beam_width": beam_width, "max_length": max_length, "seed": seed}
    options |= {"length_penalty": length_penalty, "reading": reading, "too_long": too_long}
    options |= {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    answers = _translated(texts, model, attention, html, num_best, **options)
    if num_best is None:
        typer.echo("\n".join(each.text for each in answers))
    else:  # an empty line between the answers to one text and those to the next
        lines = ["".join(f"{each.text}\t{each.score:.4f}\n" for each in best) for best in answers]
        typer.echo("\n".join(lines), nl=False)


def explain(
    texts: Annotated[list[str], typer.Argument(help="Texts to explain.")],
    model: Model,
    most: Annotated[int, typer.Option(help="Words listed per row.", min=1)] = 3,
    attention: Picture = None,
    html: Page = None,
    reading: translators_only(Reading) = None,
    pair: Annotated[str | None, typer.Option(help="Encoders only: second text, such as the context of a question.")] = None,
    word: Annotated[str | None, typer.Option(help="Encoders only: the word to explain, or its number from 0.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Encoders only: auto, raw, rollout, gradient_rollout, legrad, integrated_gradients or occlusion; see "
            "textkit.explain (default: auto)."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Encoders only: class, or answer in the context, to explain instead of the predicted one."),
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Encoders only: layer to show, from 0 (default: mean of all).")] = None,
    head: Annotated[int | None, typer.Option(help="Encoders only: head to show, from 0 (default: mean of all).")] = None,
):
    """Show what words attend to and which words matter.

    Translators: what each token of the answer attends to. Encoders: which words the prediction is based on, by --method, and
    what each word attends to.

    Examples:

    textkit explain "21 November 2026" --model runs/dates --html alignment.html

    textkit explain "The animal didn't cross the street because it was too tired" --word it --model FOLDER --html page.html
    """
    asked = {"pair": pair, "word": word, "method": method, "target": target, "layer": layer, "head": head}
    asked = {name: value for name, value in asked.items() if value is not None}
    if (Path(model) / "vocabularies.json").is_file():
        if asked:
            raise not_applicable(next(iter(asked)), "translators", "encoders", model=model)
        _explain_translations(texts, model, most, attention, html, reading or "same_step")
    else:
        if reading:
            raise not_applicable("reading", "encoders", "translators", model=model)
        _explain_texts(texts, model, most, attention, html, **asked)


def _check_attention(found, model):
    """Refuses answers without any attention: those of a model that has none, or empty ones."""
    if not any(each.alignment.any() for each in found):
        answers = [each.text for each in found]
        raise ValueError(f"Expected answers of a model with attention. Received: model={str(model)!r}, {answers=}")


def _translated(texts, model, attention, html, num_best=None, **options):
    """Translates, and draws what the best answers attend to."""
    from textkit import alignment
    from textkit.translator import Translator

    answers = Translator.load(model).translate(texts, return_attention=True, num_best=num_best, **options)
    found = answers if num_best is None else [best[0] for best in answers]
    if attention or html:
        _check_attention(found, model)
    if attention:
        panels = [(each.alignment, each.source_tokens, each.tokens, each.text) for each in found]
        alignment.save(attention, alignment.grid(panels))
    if html:
        alignment.save(html, alignment.page(found))
    return answers


def _explain_translations(texts, model, most, attention, html, reading):
    from rich import console

    from textkit import alignment

    found = _translated(texts, model, attention, html, reading=reading)
    _check_attention(found, model)
    terminal = console.Console()
    for each in found:
        typer.echo(f"{each.source} → {each.text}")
        terminal.print(alignment.table(each, most))


def _explain_texts(texts, model, most, attention, html, layer=None, head=None, **asked):
    """Explains texts with an encoder: prints answers, relevance and attention, and draws the attention."""
    from rich import console

    from textkit import alignment, attention_view
    from textkit.explanation import explain as look
    from textkit.text_model import TextModel

    if attention and len(texts) > 1:
        raise ValueError(f"Expected one text for --attention. Received: {len(texts)} texts")
    loaded = TextModel.from_preset(best_of_run(model))
    chosen = {"layer": layer, "head": head}
    options = chosen if asked.get("method") == "raw" else {}
    found = []
    with progress_bar("explaining") as progress:
        for text in texts:
            found.append(look(loaded, text, **asked, **options))
            progress(len(found), len(texts))
    shown = [each.method == "raw" or each.word is not None for each in found]
    if (layer, head) != (None, None) and not (attention or all(shown)):
        raise ValueError("Expected --word, --attention or --method raw for --layer and --head. Received: none of them")
    tables = [_attention(each, layer, head, most) for each in found]
    if attention:
        alignment.save(attention, attention_view.figure(found[0], found[0].word, **chosen))
    if html:
        alignment.save(html, attention_view.page(found))
    terminal = console.Console()
    for each, table, shows in zip(found, tables, shown, strict=True):
        typer.echo(each.text if each.answer is None else f"{each.text} → {each.answer}")
        if each.method != "raw":
            terminal.print(attention_view.relevance_table(each))
        if shows:
            terminal.print(table)


def _attention(explanation, layer, head, most):
    """A table of what the chosen word attends to; without one, of what each word does."""
    from textkit import attention_view

    if explanation.word is None:
        return attention_view.attention_table(explanation, layer, head, most)
    return attention_view.word_table(explanation, explanation.word, layer, head, most)
