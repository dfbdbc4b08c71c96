"""Export of models on a `TextEncoder` as a SavedModel: from strings to predictions and attributions; TensorFlow only."""

import tensorflow as tf

from shared_layers.runtime import export_saved_model, unknown_name
from textkit.encoder import TextEncoder
from textkit.encoding import DEFAULT_LENGTH, in_pair, most_tokens
from textkit.evidence import CLASS_AGNOSTIC, METHODS, Question, encoder_of
from textkit.heads import SentenceEncoder, SpanClassifier, TextClassifier, TokenClassifier, mean_state
from textkit.span_search import MAX_ANSWER


def export_text_model(model, path, method="auto", max_length=None):
    """Exports a `TextEncoder`, or a model with a head on one, as a SavedModel.

    It loads without these packages and without Keras, and includes the tokenizer and the class names. Its signatures take
    texts, string (b,), UTF-8, and return:

    - `serving_default` for a `TextClassifier`: label string (b,), probabilities float32 (b, c), class_names string (c,);
      without label for problem "multi"; only values float32 (b, c) for "regression". `serving_pairs` (texts, pairs: string
      (b,)) is the same for pairs of texts;
    - for a `TokenClassifier`: tokens string (b, n), offsets int32 (b, n, 2), labels string (b, n), probabilities float32
      (b, n, c), class_names. The label of a word is that of its first token;
    - for a `SpanClassifier`, with texts (the questions) and pairs (the contexts): answer string (b,), "" for none; begin and
      end int32 (b,), character indices in the pair, -1 for none; score float32 (b,), the sum of the two logits;
    - for other models: the outputs of `embed`;
    - `embed` (single texts only): embedding float32 (b, d): of a `SentenceEncoder` its embedding, of a `TextClassifier` the
      input of the head, of others the mean of all tokens' states;
    - `explain` (and `explain_pairs` for a `TextClassifier`): the outputs of `serving_default`, tokens, offsets, and
      attributions float32 (b, n). It also takes target int32 (b,): for a `TextClassifier` the class to explain, -1 for the
      predicted one; for a `TokenClassifier` the token whose label is explained, -1 for all.

    Offsets are character indices in a text, or in its pair; -1 for special tokens and padding. Padding tokens are "". There
    are no warnings in a SavedModel: longer texts are truncated, and an empty text has only special tokens.

    Byte pairs (GPT-2, RoBERTa) need only TensorFlow. For WordPiece (BERT) and sentencepiece (ALBERT), `import
    tensorflow_text` (which imports Keras) is needed before loading, otherwise TensorFlow reports that an op is not
    registered.

    Args:
        model: the model, with a tokenizer.
        path: str or path-like, a folder; complete or absent afterwards. An existing SavedModel is replaced.
        method: str, the attribution method: a function in `textkit.evidence`, or "auto" for "gradient_rollout", or "raw"
            without a head.
        max_length: int, the maximum number of tokens of a text; `None` for the number of learned positions of the model, or
            512 if its positions are not learned.

    Raises:
        ValueError: a model without a tokenizer or with fewer ids or positions; an unknown method, or one that needs a head;
            a folder that holds something else.
    """
    encoder = encoder_of(model)
    if not isinstance(encoder, TextEncoder):
        raise ValueError(f"Expected a TextEncoder, or a model on one. Received: model={type(model).__name__}")
    max_length, tokenizer = most_tokens(model, max_length) or DEFAULT_LENGTH, model.tokenizer
    read = next((read for head, read in _READERS.items() if isinstance(model, head)), None)
    method = _resolve_method(method, read)

    def encode(texts, pairs=None):
        """The inputs of the encoder, at least one token wide also without texts; and the offsets."""
        inputs = tokenizer.encode(texts, pairs, max_length, return_offsets=True)
        missing = tf.maximum(1 - tf.shape(inputs["token_ids"])[1], 0)
        inputs = {
            name: tf.pad(values, [(0, 0), (0, missing), (0, 0)][: values.shape.rank]) for name, values in inputs.items()
        }
        return inputs, inputs.pop("offsets")

    def describe(inputs, offsets):
        return {"tokens": tf.where(inputs["padding_mask"], tokenizer.to_tokens(inputs["token_ids"]), ""), "offsets": offsets}

    def embed(texts):
        inputs, _ = encode(texts)
        seen = encoder(inputs, training=False)
        if isinstance(model, SentenceEncoder):
            return {"embedding": model.outputs(seen, inputs, training=False)["embedding"]}
        if isinstance(model, TextClassifier):
            return {"embedding": tf.cast(model.pooled(seen, inputs), tf.float32)}
        return {"embedding": mean_state(seen["sequence_output"], inputs["padding_mask"])}

    def serve(texts, pairs=None):
        inputs, offsets = encode(texts, pairs)
        outputs = model(inputs, training=False)
        answer, _, _ = read(model, outputs, describe(inputs, offsets), pairs, None)
        return answer

    def explain(texts, pairs=None, target=None):
        inputs, offsets = encode(texts, pairs)
        described = describe(inputs, offsets)
        if read is None:
            answer, row, chosen = embed(texts), None, None
        else:
            answer, row, chosen = read(model, model(inputs, training=False), described, pairs, target)
        if row is None:
            is_read = inputs["padding_mask"] if getattr(model, "pooling", "token") == "mean" else _first(described)
            row = tf.cast(is_read, tf.float32)
        # each token is explained as a word of its own
        words = tf.where(offsets[..., 0] >= 0, tf.range(tf.shape(offsets)[1]), -1)
        row = tf.math.divide_no_nan(row, tf.reduce_sum(row, axis=1, keepdims=True))
        evidence = METHODS[method](model, inputs, Question(row, chosen, words, tokenizer.blank_id))
        return {**answer, **described, "attributions": tf.where(inputs["padding_mask"], evidence, 0.0)}

    strings = {name: tf.TensorSpec((None,), tf.string, name=name) for name in ("texts", "pairs")}
    one, two, target = [strings["texts"]], [*strings.values()], tf.TensorSpec((None,), tf.int32, name="target")
    signatures = {"embed": (embed, one)}
    if read is None:
        signatures |= {"serving_default": (embed, one), "explain": (explain, one)}
    elif isinstance(model, SpanClassifier):
        signatures |= {"serving_default": (serve, two), "explain": (explain, two)}
    else:
        signatures["serving_default"] = serve, one
        signatures["explain"] = lambda texts, target: explain(texts, None, target), [*one, target]
    if isinstance(model, TextClassifier):
        signatures |= {"serving_pairs": (serve, two), "explain_pairs": (explain, [*two, target])}
    export_saved_model(path, signatures, model.variables, assets=[tokenizer])


def _resolve_method(method, read):
    if method == "auto":
        return "raw" if read is None else "gradient_rollout"
    if method not in METHODS:
        raise unknown_name("method", method, ("auto", *METHODS))
    if read is None and method not in CLASS_AGNOSTIC:
        raise ValueError(f"Expected {' or '.join(map(repr, CLASS_AGNOSTIC))} without a head. Received: method={method!r}")
    return method


# Predictions in the graph; `textkit.answers` has the same for the words of one text. Each function takes the model, its
# outputs, {"tokens", "offsets"}, pairs or `None`, and the target or `None`. It returns the dict of predictions, the weights
# float32 (b, n) of the tokens that they are read from (`None` for those of a whole text), and the weights of the logits in
# the explained score.


def _read_class(model, logits, described, pairs, target):
    names = _names(model)
    if model.problem == "regression":
        answer = {"values": logits}
    else:
        probabilities = tf.nn.softmax(logits) if model.problem == "single" else tf.nn.sigmoid(logits)
        answer = {"probabilities": probabilities, "class_names": names}
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    if model.problem == "single":
        answer["label"] = tf.gather(names, predicted)
    asked = predicted
    if target is not None:
        most = model.num_classes - 1
        tf.debugging.assert_less_equal(target, most, f"Expected a target of at most {most}, or -1 for the predicted one.")
        asked = tf.where(target < 0, predicted, target)
    return answer, None, tf.one_hot(asked, model.num_classes)


def _read_labels(model, logits, described, pairs, target):
    names, is_text = _names(model), described["offsets"][..., 0] >= 0
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    answer = {
        **described,
        "labels": tf.where(is_text, tf.gather(names, predicted), ""),
        "probabilities": tf.where(is_text[..., None], tf.nn.softmax(logits), 0.0),
        "class_names": names,
    }
    asked = is_text
    if target is not None:
        asked &= (target[:, None] < 0) | (tf.range(tf.shape(predicted)[1]) == target[:, None])
    row = tf.cast(asked, tf.float32)
    return answer, row, row[..., None] * tf.one_hot(predicted, model.num_classes)


def _read_span(model, outputs, described, pairs, target):
    starts, ends, offsets = outputs["start_logits"], outputs["end_logits"], described["offsets"]
    count = tf.shape(starts)[1]
    allowed = in_pair(offsets)
    length = tf.range(count) - tf.range(count)[:, None]
    fits = (length >= 0) & (length < MAX_ANSWER) & allowed[:, :, None] & allowed[:, None]
    scores = tf.where(fits, starts[:, :, None] + ends[:, None], -1e9)
    # "no answer" is the span of the first token, and wins ties
    scores = tf.reshape(scores, (tf.shape(starts)[0], count * count))
    scores = tf.concat([starts[:, :1] + ends[:, :1], scores[:, 1:]], axis=1)
    best = tf.argmax(scores, axis=1, output_type=tf.int32)
    first, last = best // count, best % count
    begin = tf.gather(offsets[..., 0], first, axis=1, batch_dims=1)
    end = tf.gather(offsets[..., 1], last, axis=1, batch_dims=1)
    pairs = tf.strings.unicode_transcode(pairs, "UTF-8", "UTF-8")  # invalid UTF-8 becomes U+FFFD, as in the tokenizer
    answer = {
        "answer": tf.strings.substr(pairs, tf.maximum(begin, 0), end - begin, unit="UTF8_CHAR"),
        "begin": begin,
        "end": end,
        "score": tf.reduce_max(scores, axis=1),
    }
    chosen = tf.stack([tf.one_hot(first, count), tf.one_hot(last, count)], axis=-1)
    return answer, tf.reduce_sum(chosen, axis=-1), chosen


_READERS = {TextClassifier: _read_class, TokenClassifier: _read_labels, SpanClassifier: _read_span}


def _names(model):
    return tf.constant([str(name) for name in model.class_names or range(model.num_classes)])


def _first(described):
    """bool (b, n), the first token of each text."""
    shape = tf.shape(described["tokens"])
    return tf.broadcast_to(tf.range(shape[1]) == 0, shape)
