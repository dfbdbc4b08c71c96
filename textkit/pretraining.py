"""Pretraining on masked words: one call from plain text to an encoder; TensorFlow only."""

import itertools
import json
import math
import pathlib
import time

import keras
import numpy as np
import tensorflow as tf

from shared_layers.runtime import TRAINING_RANGES, check_ranges, fit_run, is_chief, make_optimizer, write_aside
from textkit.datasets.masking import maskable_share, masked_batches, pack, words_between_spaces
from textkit.encoding import encoded_rows, most_tokens
from textkit.fine_tuning import begin_run
from textkit.heads import MaskedLanguageModel

_RANGES = {
    **TRAINING_RANGES,
    "minutes": ("above 0, or None", lambda value: value is None or value > 0),
    "mask_share": ("in (0, 1)", lambda value: 0 < value < 1),
    "warmup_steps": ("at least 0", lambda value: value >= 0),
}
_TIME = "time.json"  # of a run with a limit
_LEAST_MASKABLE = 0.5  # with less, a few short words are told again and again


def pretrain(
    model,
    documents,
    folder,
    *,
    epochs=10,
    minutes=None,
    batch_tokens=4096,
    buckets=8,
    max_length=128,
    mask_share=0.15,
    whole_words=False,
    cross_documents=True,
    cut_sentences=True,
    learning_rate=5e-4,
    warmup_steps=500,
    weight_decay=0.01,
    clip_norm=1.0,
    ema_momentum=None,
    jit_compile=False,
    resume=False,
    seed=0,
    progress=True,
):
    """Trains a model to tell masked words, others in each epoch, with AdamW, a warm-up and a straight line to 0.

    The folder gets `best.keras` (by the share of the validation's masked tokens that are told), `last.keras` (to resume
    from) and `logs/` for TensorBoard. Any model with a head is made from the best one: `TextClassifier.from_preset(
    "folder/best.keras", num_classes=2)`.

    Args:
        model: a `MaskedLanguageModel` with a tokenizer, made under the strategy's scope, and with `dtype="mixed_bfloat16"`
            or "mixed_float16" for mixed precision. It is compiled here, and left with the weights of the last epoch, or
            their moving average.
        documents: `textkit.datasets.documents.Documents`.
        folder: str or path-like, of the run.
        epochs: int, how often the text is gone through at most.
        minutes: float, how long that takes at most, validation and earlier parts of a resumed run included; the rate falls
            to 0 at the end of these or of the epochs, whichever comes first. `None` for as long as it takes; the only
            choice of several workers, who have a clock each.
        batch_tokens: int, the most tokens of a batch, of all replicas together.
        buckets: int, see `textkit.datasets.masking.masked_batches`.
        max_length: int, the most tokens of a row, and at most the model's positions.
        mask_share: float in (0, 1), the share of the tokens that are to be told.
        whole_words: bool, whether all tokens between two spaces are masked together. Words of more tokens than the share of
            their row are never masked.
        cross_documents: bool, see `textkit.datasets.masking.pack`.
        cut_sentences: bool, the same.
        learning_rate: float, the highest.
        warmup_steps: int, how long it rises; at most a tenth of all steps.
        weight_decay: float, on kernels alone, see `shared_layers.runtime.make_optimizer`.
        clip_norm: float, the most that the norm of all gradients together may be; or `None`.
        ema_momentum: float in [0, 1), of a moving average of the weights, which is then what is validated and kept as the
            best; or `None`.
        jit_compile: bool or "auto", whether XLA compiles the step, once for each bucket.
        resume: bool, whether to go on from the folder's `last.keras`, if there is one. Given the same arguments, and no
            `minutes`, a run that was interrupted ends with the weights of one that was not.
        seed: int, of the masks, the order of rows and dropout.
        progress: bool, whether to show, on standard error, a bar and a line for each epoch.

    Returns:
        dict, ready for JSON: "epochs", "steps_per_epoch", "parameters", "seconds", "best_accuracy" (of validation),
        "baseline_token" (the most frequent one of training), "baseline_accuracy" (of whom always tells that one) and
        "history" {metric: values of the epochs trained now}, with the perplexity of masked tokens.

    Raises:
        ValueError: an option out of its range, another model or one without a tokenizer, text of too few tokens or of too
            few words that can be masked whole, a checkpoint of another model, a run that began with another tokenizer; in
            training, a loss that is no longer finite.
        OSError: the folder cannot be made.

    Reference:
        Devlin et al. 2019, section 3.1 and appendix A.2; Liu et al. 2019 (RoBERTa), section 4: masks drawn anew, rows of
        full sentences, no next sentence to predict.
    """
    check_ranges(
        _RANGES,
        epochs=epochs,
        minutes=minutes,
        mask_share=mask_share,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
    )
    strategy = model.distribute_strategy
    if minutes is not None and isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(f"Expected epochs alone of several workers, who have a clock each. Received: minutes={minutes}")
    folder = pathlib.Path(folder)
    packing = {"whole_words": whole_words, "cross_documents": cross_documents, "cut_sentences": cut_sentences}
    packed = {split: pack_split(model, documents, split, max_length, **packing) for split in ("train", "validation")}
    for split, rows in packed.items():
        share = maskable_share(rows, mask_share) if whole_words else 1.0
        if share < _LEAST_MASKABLE:
            raise ValueError(
                "Expected spaces between words, for whole_words: one of more tokens than mask_share of its row is never "
                f"masked. Received: {split} with {share:.0%} of what is to be told in shorter words, {mask_share=}"
            )
    given = {
        "rate": mask_share,
        "whole_words": whole_words,
        "batch_tokens": batch_tokens,
        "buckets": buckets,
        "multiple_of": strategy.num_replicas_in_sync,
    }

    def batches(first_epoch=0):
        return masked(model, packed["train"], training=True, seed=seed, first_epoch=first_epoch, **given)

    keras.utils.set_random_seed(seed)
    steps_per_epoch = int(masked(model, packed["train"], **given).cardinality())
    checks = masked(model, packed["validation"], **given)
    total_steps = epochs * steps_per_epoch
    with strategy.scope():
        optimizer = make_optimizer(model.trainable_variables, learning_rate, weight_decay, clip_norm, ema_momentum)
        compile_masked(model, optimizer, jit_compile)
    clock = LinearRate(learning_rate, min(warmup_steps, total_steps // 10), total_steps, minutes, folder / _TIME)

    def begin(first_epoch):
        begin_run(folder, first_epoch, model)
        clock.begin(first_epoch)

    summary = fit_run(
        model,
        batches,
        checks,
        folder,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        callbacks=[clock],
        begin=begin,
        resume=resume,
        progress=progress,
    )
    return {**summary, **baseline(model, packed["train"], checks)}


def evaluate_masked(
    model, documents, split="test", *, batch_tokens=4096, max_length=128, mask_share=0.15, whole_words=False, **packing
):
    """Measures how well masked words are told, beside telling the most frequent one always.

    Args:
        model: a `MaskedLanguageModel` with a tokenizer; it is compiled here.
        documents: `textkit.datasets.documents.Documents`; the most frequent token is that of its train.
        split: "train", "validation" or "test". The same tokens of it are masked every time.
        batch_tokens: int, see `pretrain`, as the others.
        max_length: int.
        mask_share: float.
        whole_words: bool.
        **packing: `cross_documents` and `cut_sentences`.

    Returns:
        dict, ready for JSON: "split", "num_tokens" (that were masked), "accuracy", "perplexity", "baseline_token" and
        "baseline_accuracy"; of no tokens, as all words are too long to be masked whole, numbers are `None`.

    Raises:
        ValueError: an option out of its range, another model or one without a tokenizer, or text of too few tokens.
    """
    packing = {"whole_words": whole_words, "cross_documents": True, "cut_sentences": True, **packing}
    packed = pack_split(model, documents, split, max_length, **packing)
    multiple_of = model.distribute_strategy.num_replicas_in_sync
    batches = masked(
        model, packed, rate=mask_share, whole_words=whole_words, batch_tokens=batch_tokens, multiple_of=multiple_of
    )
    with model.distribute_strategy.scope():
        compile_masked(model)
    found = model.evaluate(batches, verbose=0, return_dict=True)
    num_tokens = int(sum(weights.numpy().sum() for _, _, weights in batches))
    return {
        "split": split,
        "num_tokens": num_tokens,
        "accuracy": float(found["accuracy"]) if num_tokens else None,
        "perplexity": math.exp(found["cross_entropy"]) if num_tokens else None,
        **baseline(model, pack_split(model, documents, "train", max_length, **packing), batches),
    }


def pack_split(model, documents, split, max_length, whole_words, cross_documents, cut_sentences):
    """Rows of a split's tokens, see `textkit.datasets.masking.pack`.

    Args:
        model: a `MaskedLanguageModel` with a tokenizer.
        documents: `textkit.datasets.documents.Documents`.
        split: "train", "validation" or "test".
        max_length: int, see `pretrain`, as the others.
        whole_words: bool.
        cross_documents: bool.
        cut_sentences: bool.

    Returns:
        dict of arrays (n, t).

    Raises:
        ValueError: another model, one whose tokenizer has no mask or too many ids, or a length beyond its positions.
    """
    if not isinstance(model, MaskedLanguageModel):
        raise ValueError(f"Expected a MaskedLanguageModel. Received: {type(model).__name__}")
    tokenizer = model.tokenizer
    if tokenizer is None or tokenizer.mask_id is None:
        received = "no tokenizer" if tokenizer is None else f"one of {tokenizer.get_config()['kind']} without"
        raise ValueError(f"Expected a model whose tokenizer has a mask, such as '[MASK]'. Received: {received}")
    max_length = most_tokens(model, max_length)
    kept = getattr(documents, split)
    lines = [line for document in kept for line in document]
    rows = encoded_rows(tokenizer, lines, return_offsets=True)

    def divided(line):
        row = next(rows)
        real = row["offsets"][:, 0] >= 0
        words = words_between_spaces(line, row["offsets"])[real] if whole_words else np.arange(real.sum())
        return row["token_ids"][real], words

    return pack(
        ([divided(line) for line in document] for document in kept),
        max_length,
        start_id=tokenizer.start_id,
        end_id=tokenizer.end_id,
        pad_id=tokenizer.pad_id,
        cross_documents=cross_documents,
        cut_sentences=cut_sentences,
    )


def masked(model, packed, **options):
    """Batches of a model's rows, see `textkit.datasets.masking.masked_batches`."""
    tokenizer = model.tokenizer
    special = {tokenizer.pad_id, tokenizer.unknown_id, tokenizer.start_id, tokenizer.end_id, tokenizer.mask_id} - {None}
    return masked_batches(
        packed, mask_id=tokenizer.mask_id, vocabulary_size=tokenizer.size, special_ids=sorted(special), **options
    )


def compile_masked(model, optimizer=None, jit_compile=False):
    """Compiles a model for `masked` batches."""
    # a mean over the weights, so that rows that fill a batch, and places where nothing is masked, count for nothing
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    metrics = [
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        # the loss of an epoch is a mean over rows, of which some have more masked tokens than others
        keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
    ]
    model.compile(optimizer, loss, weighted_metrics=metrics, jit_compile=jit_compile)


def baseline(model, packed, batches):
    """What always telling the most frequent token achieves.

    Args:
        model: with a tokenizer.
        packed: dict of arrays, the rows whose most frequent token it is.
        batches: finite `tf.data.Dataset`, of `masked`.

    Returns:
        dict of "baseline_token", str, and "baseline_accuracy", float, or `None` where nothing is masked.
    """
    token = int(np.bincount(packed["token_ids"][packed["word_ids"] >= 0]).argmax())
    hits = total = 0.0
    for _, labels, weights in batches.as_numpy_iterator():
        hits += weights[labels == token].sum()
        total += weights.sum()
    name = model.tokenizer.to_tokens([token]).numpy()[0].decode("utf-8", "replace")
    return {"baseline_token": name, "baseline_accuracy": float(hits / total) if total else None}


class LinearRate(keras.callbacks.Callback):
    """Raises the learning rate in a straight line, lets it fall in another to 0, and ends training in time.

    It also adds the perplexity to an epoch's metrics.

    Args:
        peak: float.
        warmup_steps: int.
        total_steps: int, after which the rate is 0.
        minutes: float, after which the rate is 0 and training ends, if that is before; or `None`.
        path: `pathlib.Path` of a file that says, where there are `minutes`, how many seconds have passed, for a run that
            goes on.
    """

    def __init__(self, peak, warmup_steps, total_steps, minutes, path):
        super().__init__()
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps
        self.seconds = math.inf if minutes is None else 60 * minutes
        self.path = path
        self._before = 0.0

    def begin(self, first_epoch):
        """Starts the clock, where a run goes on at the seconds that have passed."""
        if first_epoch and self.path.is_file():
            self._before = json.loads(self.path.read_text())["seconds"]
        self._began = time.monotonic()

    def passed(self):
        """Seconds since the run began."""
        return self._before + time.monotonic() - self._began

    def on_epoch_begin(self, epoch, logs=None):
        """Counts the steps."""
        self._steps = itertools.count(epoch * self.params["steps"])

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the rate of this step."""
        step = next(self._steps)
        rise = min(1.0, (step + 1) / (self.warmup_steps + 1))
        left = 1 - max(step / self.total_steps, self.passed() / self.seconds)
        self.model.optimizer.learning_rate = self.peak * rise * max(left, 0.0)

    def on_train_batch_end(self, batch, logs=None):
        """Ends training when the time is over."""
        if self.passed() >= self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Adds the perplexity, and notes the time."""
        logs |= {f"{part}perplexity": math.exp(min(logs[f"{part}cross_entropy"], 700.0)) for part in ("", "val_")}
        if math.isfinite(self.seconds) and is_chief(self.model.distribute_strategy):
            with write_aside(self.path) as temporary:
                temporary.write_text(json.dumps({"seconds": self.passed()}))
