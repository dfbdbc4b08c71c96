"""Translator: from strings to strings, with the attention of each output token."""

import dataclasses
import json
import os
import pathlib
import warnings

import numpy as np

from shared_layers.runtime import refuse_to_replace_others, unknown_name, write_aside
from textkit.seq2seq import Seq2Seq
from textkit.vocabulary import END, PAD, SURROGATE, UNKNOWN, Vocabulary

_MODEL, _MODEL_OF_A_RUN, _TEXTS = "model.keras", "best.keras", "vocabularies.json"
_TOO_LONG = ("truncate", "refuse")
READINGS = ("same_step", "shifted")
_WIDTH_STEP = 8  # sources are padded to multiples of it, so that few shapes are compiled
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Translation:
    """The translation of a text, with its alignment.

    Attributes:
        source: str.
        text: str, the translation.
        source_tokens: list of s str.
        tokens: list of t str, the tokens of the translation without the end token.
        alignment: float32 (t, s), row i is the attention to the source when token i was predicted, or read (see `reading` of
            `Translator.translate`). All zero for a model without attention.
        score: float, the log-probability of the translation.
        words: list of w str, the words of the source.
        word_of_token: list of s int, the word index of each source token, -1 for none.
    """

    source: str
    text: str
    source_tokens: list
    tokens: list
    alignment: np.ndarray
    score: float
    words: list
    word_of_token: list

    @property
    def word_alignment(self):
        """float32 (t, w), `alignment` summed over the tokens of each word of the source."""
        belongs = np.asarray(self.word_of_token)[:, None] == np.arange(len(self.words))  # (s, w)
        return self.alignment @ belongs.astype("float32")


class Translator:
    """A model with its vocabularies.

    Args:
        model: a `textkit.seq2seq.Seq2Seq`.
        source_vocabulary: `textkit.vocabulary.Vocabulary`.
        target_vocabulary: `textkit.vocabulary.Vocabulary`.
        max_length: int, the default maximum number of output tokens, the end token included.

    Raises:
        ValueError: a vocabulary of another size than the model's, or a `max_length` that is not a positive int.

    Example:
        >>> from textkit.recurrent import RecurrentSeq2Seq
        >>> letters, sounds = Vocabulary.learn(["cat"]), Vocabulary.learn(["K AE T"], "words")
        >>> translator = Translator(RecurrentSeq2Seq(letters.size, sounds.size, hidden_dim=8), letters, sounds)
        >>> len(translator.translate(["cat", "act"]))
        2
    """

    def __init__(self, model, source_vocabulary, target_vocabulary, max_length=64):
        check_vocabularies(model, source_vocabulary, target_vocabulary)
        if not isinstance(max_length, int) or max_length < 1:
            raise ValueError(f"`max_length` should be a positive int. Received: max_length={max_length!r}")
        self.model = model
        self.source_vocabulary = source_vocabulary
        self.target_vocabulary = target_vocabulary
        self.max_length = max_length

    def translate(
        self,
        strings,
        method="beam",
        beam_width=4,
        return_attention=False,
        *,
        reading="same_step",
        length_penalty=0.6,
        temperature=1.0,
        top_k=None,
        top_p=None,
        seed=None,
        max_length=None,
        num_best=None,
        batch_size=64,
        too_long="truncate",
        progress=None,
    ):
        """Translates strings.

        Symbols that are not in the vocabulary are read as unknown; a warning names the strings.

        Args:
            strings: list of str, none of them empty or blank.
            method: "beam", "greedy" or "sample".
            beam_width: int, see `textkit.decoding.decode`.
            return_attention: bool, whether to return `Translation`s.
            reading: the step whose attention is assigned to a token: "same_step", the step that predicts it; or "shifted",
                the next step, which reads it and is better for Transformers (the last token then has zeros if there is no
                next step).
            length_penalty: float, see `textkit.decoding.decode`.
            temperature: float, see `textkit.decoding.decode`.
            top_k: int or `None`, see `textkit.decoding.decode`.
            top_p: float or `None`, see `textkit.decoding.decode`.
            seed: int or `None`, for "sample".
            max_length: int, the maximum number of output tokens, the end token included; `None` for `self.max_length`.
            num_best: int up to `beam_width`, for "beam": the maximum number of translations of each string; `None` for the
                best one.
            batch_size: int, the number of strings of a batch.
            too_long: what to do with strings longer than the model's positions: "truncate", with a warning, or "refuse",
                which raises.
            progress: callable of (done, total), both in strings; or `None`.

        Returns:
            list of str, or of `Translation` with `return_attention`; with `num_best`, a list of these for each string, best
            first by length-penalized score.

        Raises:
            ValueError: a str in place of a list, a blank string or one with lone surrogates, one that is too long with
                "refuse", or an option out of its range.

        Reference:
            Chen et al. 2020, "Accurate Word Alignment Induction from Neural Machine Translation", section 3 ("shifted").
        """
        if reading not in READINGS:
            raise unknown_name("reading", reading, READINGS)
        if too_long not in _TOO_LONG:
            raise unknown_name("too_long", too_long, _TOO_LONG)
        if batch_size < 1:
            raise ValueError(f"Expected at least 1. Received: batch_size={batch_size}")
        ids = self._encode(strings, too_long)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        found = [None] * len(ids)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            written = self.model.generate(
                self._padded([ids[row] for row in rows], batch_size),
                method,
                self.max_length if max_length is None else max_length,
                seed=None if seed is None else seed + start,
                beam_width=beam_width,
                length_penalty=length_penalty,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                num_best=num_best,
            )
            if num_best is None:
                written = {name: values[:, None] for name, values in written.items()}  # (b, n, ...), as with it
            if reading == "shifted":
                written["alignment"] = np.pad(written["alignment"][:, :, 1:], ((0, 0), (0, 0), (0, 1), (0, 0)))
            texts = np.array(self.target_vocabulary.decode(np.concatenate(written["ids"])), object)
            written["texts"] = texts.reshape(written["lengths"].shape)
            for place, row in enumerate(rows):
                ranks = np.flatnonzero(~np.isneginf(written["scores"][place]))
                answers = [{name: values[place, rank] for name, values in written.items()} for rank in ranks]
                if return_attention:
                    answers = [self._translation(strings[row], ids[row], answer) for answer in answers]
                else:
                    answers = [answer["texts"] for answer in answers]
                found[row] = answers[0] if num_best is None else answers
            if progress is not None:
                progress(start + len(rows), len(order))
        return found

    def save(self, folder):
        """Saves the model, without its optimizer, and the vocabularies.

        Args:
            folder: str or path-like; complete or absent afterwards. An existing translator is replaced.

        Raises:
            ValueError: the folder holds something else.
        """
        refuse_to_replace_others(folder, marker=_TEXTS)
        with write_aside(folder) as temporary:
            temporary.mkdir()
            self.model.override().save(temporary / _MODEL)
            write_texts(temporary, self.source_vocabulary, self.target_vocabulary, self.max_length)

    @classmethod
    def load(cls, folder):
        """Loads a saved translator, or the best model so far of a run of `textkit.train`.

        Args:
            folder: str or path-like, of a translator or of a run, at any time after its first epoch.

        Returns:
            A `Translator`.

        Raises:
            OSError: the folder has no translator.
            ValueError: a file is broken, or the vocabularies do not fit the model.
        """
        folder = pathlib.Path(folder)
        models = [folder / name for name in (_MODEL, _MODEL_OF_A_RUN) if (folder / name).is_file()]
        if not models:
            raise FileNotFoundError(
                f"Expected a folder with {_TEXTS} and with {_MODEL} or, of a run, {_MODEL_OF_A_RUN}. "
                f"Received: folder={os.fspath(folder)!r}"
            )
        source, target, max_length = read_texts(folder)
        return cls(Seq2Seq.from_preset(models[0]), source, target, max_length)

    def _encode(self, strings, too_long):
        """A list of ids for each string; raises and warns as documented for `translate`."""
        if isinstance(strings, str):
            raise ValueError(f"Expected a list of strings. Received: strings={strings!r}")
        for index, string in enumerate(strings):
            if not string.strip():
                raise ValueError(f"Expected text in every string. Received: strings[{index}]={string!r}")
            if SURROGATE.search(string):
                raise ValueError(f"Expected UTF-8 in every string. Received: strings[{index}]={string!r}")
        ids = self.source_vocabulary.encode(list(strings)).to_list() if len(strings) else []
        unknown = [index for index, row in enumerate(ids) if UNKNOWN in row]
        if unknown:
            named = ", ".join(repr(strings[index]) for index in unknown[:_NAMED]) + ", ..." * (len(unknown) > _NAMED)
            count = f"{len(unknown)} of {len(ids)} texts"
            warnings.warn(f"Unknown symbols in {count}: {named}", stacklevel=3)
        most = source_positions(self.model)
        over = [index for index, row in enumerate(ids) if most is not None and len(row) > most]
        if over:
            longest = max(len(ids[index]) for index in over)
            count = f"{len(over)} of {len(ids)} texts are longer than {most} tokens, up to {longest}"
            if too_long == "refuse":
                raise ValueError(f"Expected texts within the model's positions. Received: {count}")
            warnings.warn(f"Truncated: {count}", stacklevel=3)
        return [row[:most] for row in ids]

    def _padded(self, rows, batch_size):
        """Ids as an array of one of few shapes; missing rows are copies of the last."""
        width = -(-max(map(len, rows)) // _WIDTH_STEP) * _WIDTH_STEP
        most = source_positions(self.model)
        count = min(batch_size, 1 << (len(rows) - 1).bit_length())
        padded = np.full((count, width if most is None else min(width, most)), PAD, "int32")
        for index in range(count):
            row = rows[min(index, len(rows) - 1)]
            padded[index, : len(row)] = row
        return padded

    def _translation(self, source, ids, answer):
        length = answer["lengths"] - (END in answer["ids"])
        words, word_of_token = self.source_vocabulary.words(source)
        return Translation(
            source=source,
            text=answer["texts"],
            source_tokens=self.source_vocabulary.tokens(ids),
            tokens=self.target_vocabulary.tokens(answer["ids"][:length]),
            alignment=answer["alignment"][:length, : len(ids)],
            score=float(answer["scores"]),
            words=words,
            word_of_token=word_of_token[: len(ids)],
        )


def write_texts(folder, source_vocabulary, target_vocabulary, max_length):
    """Saves the vocabularies of a translator, and `max_length`.

    Args:
        folder: path-like, the folder of the model.
        source_vocabulary: `textkit.vocabulary.Vocabulary`.
        target_vocabulary: `textkit.vocabulary.Vocabulary`.
        max_length: int, see `Translator`.
    """
    texts = {"source": source_vocabulary.get_config(), "target": target_vocabulary.get_config(), "max_length": max_length}
    with write_aside(pathlib.Path(folder) / _TEXTS) as temporary:
        temporary.write_text(json.dumps(texts, ensure_ascii=False) + "\n", encoding="utf-8")


def read_texts(folder):
    """Loads what `write_texts` saved.

    Args:
        folder: path-like.

    Returns:
        (source `Vocabulary`, target `Vocabulary`, max_length).

    Raises:
        OSError: the file does not exist.
        ValueError: the file is broken.
    """
    path = pathlib.Path(folder) / _TEXTS
    if not path.is_file():
        raise FileNotFoundError(f"Expected a folder with {_TEXTS}. Received: folder={os.fspath(folder)!r}")
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
        source, target = (Vocabulary.from_config(texts[side]) for side in ("source", "target"))
        return source, target, texts["max_length"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"Expected valid vocabularies ({error}). Received: path={os.fspath(path)!r}") from error


def check_vocabularies(model, source_vocabulary, target_vocabulary):
    """Checks that vocabularies have the sizes of the model.

    Args:
        model: a `textkit.seq2seq.Seq2Seq`.
        source_vocabulary: `textkit.vocabulary.Vocabulary`.
        target_vocabulary: `textkit.vocabulary.Vocabulary`.

    Raises:
        ValueError: a vocabulary of another size.
    """
    for side, vocabulary in (("source", source_vocabulary), ("target", target_vocabulary)):
        size = model.config[f"{side}_vocabulary_size"]
        if vocabulary.size != size:
            raise ValueError(f"Expected a {side} vocabulary of the model's {size} ids. Received: {vocabulary.size} ids")


def source_positions(model):
    """The maximum number of source tokens of a model.

    Args:
        model: a `textkit.seq2seq.Seq2Seq`.

    Returns:
        int, the number of learned positions; `None` if there is no limit.
    """
    return model.config["max_source_length"] if model.config.get("positions") == "learned" else None
