"""Export as a SavedModel with string inputs: translators, and models on a `TextEncoder`; TensorFlow only."""

import tensorflow as tf

from shared_layers.runtime import export_saved_model, unknown_name
from textkit.text_saved_model import export_text_model
from textkit.translator import READINGS, Translator, source_positions
from textkit.vocabulary import END, PAD

_BLANK = r"[\t-\r\x1c-\x20\x{85}\p{Z}]*"  # the characters that `str.strip` removes


def export(model, path, *options, **named_options):
    """Exports a translator, a `TextEncoder` or a model with a head on one as a SavedModel.

    Args:
        model: `textkit.Translator`, see `export_translator`; or a model, see `textkit.text_saved_model.export_text_model`.
        path: str or path-like, a folder.
        *options: options of that function.
        **named_options: options of that function.

    Raises:
        ValueError: see that function.
    """
    write = export_translator if isinstance(model, Translator) else export_text_model
    write(model, path, *options, **named_options)


def export_translator(
    translator,
    path,
    method="beam",
    beam_width=4,
    *,
    reading="same_step",
    length_penalty=0.6,
    temperature=1.0,
    top_k=None,
    top_p=None,
    max_length=None,
):
    """Exports a translator as a SavedModel that loads without these packages and without Keras.

    It includes the vocabularies. Its signatures return what `Translator.translate` returns:

    - `serving_default` (texts: string (b,), UTF-8) -> text string (b,), and score float32 (b,), its log-probability;
    - `explain` (texts: the same) -> the same, source_tokens string (b, s) and target_tokens string (b, t), padded with ""
      to the longest of the batch; and alignment float32 (b, t, s), zero for "" tokens.

    There are no warnings in a SavedModel: texts longer than the model's positions are truncated, unknown symbols are read as
    unknown, and a blank text gives "" with score 0.

    With subwords, `import tensorflow_text` (which imports Keras) is needed before loading, otherwise TensorFlow reports that
    a Sentencepiece op is not registered. Characters and words need only TensorFlow.

    Args:
        translator: a `textkit.Translator`.
        path: str or path-like, a folder; complete or absent afterwards. An existing SavedModel is replaced.
        method: str, the decoding method, see `Translator.translate`.
        beam_width: int, see `Translator.translate`.
        reading: str, see `Translator.translate`.
        length_penalty: float, see `Translator.translate`.
        temperature: float, see `Translator.translate`.
        top_k: int or `None`, see `Translator.translate`.
        top_p: float or `None`, see `Translator.translate`.
        max_length: int, the maximum number of output tokens, the end token included; `None` for that of the translator.

    Raises:
        ValueError: an option out of its range, or the folder holds something else.
    """
    if reading not in READINGS:
        raise unknown_name("reading", reading, READINGS)
    model, source, target = translator.model, translator.source_vocabulary, translator.target_vocabulary
    options = {"beam_width": beam_width, "length_penalty": length_penalty}
    options |= {"temperature": temperature, "top_k": top_k, "top_p": top_p}

    def read(texts):
        """The ids (b, s) of texts, s at least 1, and whether a text has any (b,)."""
        ids = source.encode(tf.where(tf.strings.regex_full_match(texts, _BLANK), "", texts))[:, : source_positions(model)]
        padded = ids.to_tensor(PAD)
        missing = tf.maximum(1 - tf.shape(padded)[1], 0)
        return tf.pad(padded, ((0, 0), (0, missing)), constant_values=PAD), ids.row_lengths() > 0

    def write(source_ids, there):
        """The outputs of `Seq2Seq.write`, and those of `serving_default`."""
        written = model.write(source_ids, method, translator.max_length if max_length is None else max_length, **options)
        text = tf.where(there, target.to_text(written["ids"]), "")
        return written, {"text": text, "score": tf.where(there, written["scores"], 0.0)}

    def serve(texts):
        return write(*read(texts))[1]

    def serve_alignments(texts):
        source_ids, there = read(texts)
        written, answer = write(source_ids, there)
        alignment = written["alignment"]
        if reading == "shifted":
            alignment = tf.pad(alignment[:, 1:], ((0, 0), (0, 1), (0, 0)))
        lengths = written["lengths"] - tf.reduce_sum(tf.cast(written["ids"] == END, tf.int32), axis=1)
        real = tf.sequence_mask(tf.where(there, lengths, 0))  # (b, t), t that of the longest text
        longest = tf.shape(real)[1]
        return {
            **answer,
            "source_tokens": tf.where(source_ids == PAD, "", source.to_tokens(source_ids)),
            "target_tokens": tf.where(real, target.to_tokens(written["ids"][:, :longest]), ""),
            "alignment": tf.where(real[..., None], alignment[:, :longest], 0.0),
        }

    texts = [tf.TensorSpec((None,), tf.string, name="texts")]
    signatures = {"serving_default": (serve, texts), "explain": (serve_alignments, texts)}
    export_saved_model(path, signatures, model.variables, assets=[source, target])
