"""Masked-language-model pretraining: one call from plain text to an encoder; TensorFlow only."""

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
    "mask_selection_rate": ("in (0, 1)", lambda value: 0 < value < 1),
    "warmup_steps": ("at least 0", lambda value: value >= 0),
}
_TIME = "time.json"  # of a run with a time limit
_LEAST_MASKABLE = 0.5  # below this, the same few short words are masked again and again


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
    mask_selection_rate=0.15,
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
    """Trains a masked language model with AdamW, warm-up and linear decay to 0; masks are drawn anew in each epoch.

    The folder gets `best.keras` (by accuracy on the masked tokens of the validation split), `last.keras` (to resume from)
    and `logs/` for TensorBoard. Any model with a head can start from the best one: `TextClassifier.from_preset(
    "folder/best.keras", num_classes=2)`.

    Args:
        model: a `MaskedLanguageModel` with a tokenizer, made under the strategy's scope, and with `dtype="mixed_bfloat16"`
            or "mixed_float16" for mixed precision. It is compiled here, and ends with the weights of the last epoch, or
            their moving average.
        documents: `textkit.datasets.documents.Documents`.
        folder: str or path-like, the folder of the run.
        epochs: int, the maximum number of epochs.
        minutes: float, the time limit, which includes validation and earlier parts of a resumed run. The learning rate
            reaches 0 at this limit or after `epochs`, whichever comes first. `None` for no limit, which several workers
            need: each has its own clock.
        batch_tokens: int, the maximum number of tokens of a batch, over all replicas.
        buckets: int, see `textkit.datasets.masking.masked_batches`.
        max_length: int, the maximum number of tokens of a row; at most the model's positions.
        mask_selection_rate: float in (0, 1), the fraction of tokens selected for prediction.
        whole_words: bool, whether all tokens between two spaces are masked together. Words with more tokens than
            `mask_selection_rate` allows in their row are never masked.
        cross_documents: bool, see `textkit.datasets.masking.pack`.
        cut_sentences: bool, see `textkit.datasets.masking.pack`.
        learning_rate: float, the peak.
        warmup_steps: int, steps of linear warm-up; at most a tenth of all steps.
        weight_decay: float, on kernels only, see `shared_layers.runtime.make_optimizer`.
        clip_norm: float, the maximum global norm of the gradients; or `None`.
        ema_momentum: float in [0, 1), for a moving average of the weights, which is then validated and saved as the best;
            or `None`.
        jit_compile: bool or "auto", whether XLA compiles the training step, once for each bucket.
        resume: bool, whether to continue from the folder's `last.keras`, if there is one. With the same arguments and
            without `minutes`, an interrupted and resumed run ends with the same weights as an uninterrupted one.
        seed: int, for the masks, the order of rows and dropout.
        progress: bool, whether to show a progress bar and a line for each epoch on standard error.

    Returns:
        dict, ready for JSON: "epochs", "steps_per_epoch", "parameters", "seconds", "best_accuracy" (of validation),
        "baseline_token" (the most frequent token of train), "baseline_accuracy" (of always predicting that token) and
        "history" {metric: values of the epochs of this call}, with the perplexity of masked tokens.

    Raises:
        ValueError: an option out of its range, a model of another class or without a tokenizer, too few tokens or too few
            words that can be masked as a whole, a checkpoint of another model, a resumed run with another tokenizer; in
            training, a loss that is not finite.
        OSError: the folder cannot be created.

    Reference:
        Devlin et al. 2019, section 3.1 and appendix A.2; Liu et al. 2019 (RoBERTa), section 4: dynamic masking,
        full sentences, no next-sentence prediction.
    """
    check_ranges(
        _RANGES,
        epochs=epochs,
        minutes=minutes,
        mask_selection_rate=mask_selection_rate,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
    )
    strategy = model.distribute_strategy
    if minutes is not None and isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(f"Expected no time limit with several workers: each has its own clock. Received: {minutes=}")
    folder = pathlib.Path(folder)
    packing = {"whole_words": whole_words, "cross_documents": cross_documents, "cut_sentences": cut_sentences}
    packed = {split: pack_split(model, documents, split, max_length, **packing) for split in ("train", "validation")}
    for split, rows in packed.items():
        share = maskable_share(rows, mask_selection_rate) if whole_words else 1.0
        if share < _LEAST_MASKABLE:
            raise ValueError(
                "Expected spaces between words for whole_words=True: words with more tokens than mask_selection_rate of "
                f"their row are never masked. Received: {split} with {share:.0%} of the tokens to mask in shorter words, "
                f"{mask_selection_rate=}"
            )
    given = {
        "mask_selection_rate": mask_selection_rate,
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
    model,
    documents,
    split="test",
    *,
    batch_tokens=4096,
    max_length=128,
    mask_selection_rate=0.15,
    whole_words=False,
    **packing,
):
    """Measures accuracy and perplexity on masked tokens, and the accuracy of always predicting the most frequent token.

    Args:
        model: a `MaskedLanguageModel` with a tokenizer; it is compiled here.
        documents: `textkit.datasets.documents.Documents`; the most frequent token is that of the train split.
        split: "train", "validation" or "test". The same tokens are masked in every call.
        batch_tokens: int, see `pretrain`.
        max_length: int, see `pretrain`.
        mask_selection_rate: float in (0, 1), see `pretrain`.
        whole_words: bool, see `pretrain`.
        **packing: `cross_documents` and `cut_sentences`, see `pretrain`.

    Returns:
        dict, ready for JSON: "split", "num_tokens" (masked tokens), "accuracy", "perplexity", "baseline_token" and
        "baseline_accuracy". If no token is masked, as all words are too long for `whole_words`, the metrics are `None`.

    Raises:
        ValueError: an option out of its range, a model of another class or without a tokenizer, or too few tokens.
    """
    packing = {"whole_words": whole_words, "cross_documents": True, "cut_sentences": True, **packing}
    packed = pack_split(model, documents, split, max_length, **packing)
    multiple_of = model.distribute_strategy.num_replicas_in_sync
    batches = masked(
        model,
        packed,
        mask_selection_rate=mask_selection_rate,
        whole_words=whole_words,
        batch_tokens=batch_tokens,
        multiple_of=multiple_of,
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
    """Packs a split into rows of tokens, see `textkit.datasets.masking.pack`.

    Args:
        model: a `MaskedLanguageModel` with a tokenizer.
        documents: `textkit.datasets.documents.Documents`.
        split: "train", "validation" or "test".
        max_length: int, see `pretrain`.
        whole_words: bool, see `pretrain`.
        cross_documents: bool, see `textkit.datasets.masking.pack`.
        cut_sentences: bool, see `textkit.datasets.masking.pack`.

    Returns:
        dict of arrays (n, t), see `textkit.datasets.masking.pack`.

    Raises:
        ValueError: a model of another class, a tokenizer without a mask token or with more ids than the model, or a length
            beyond the model's positions.
    """
    if not isinstance(model, MaskedLanguageModel):
        raise ValueError(f"Expected a MaskedLanguageModel. Received: {type(model).__name__}")
    tokenizer = model.tokenizer
    if tokenizer is None or tokenizer.mask_id is None:
        received = "no tokenizer" if tokenizer is None else f"a {tokenizer.kind!r} tokenizer without one"
        raise ValueError(f"Expected a model whose tokenizer has a mask token, such as '[MASK]'. Received: {received}")
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
    """Makes masked batches with the ids of a model's tokenizer.

    Args:
        model: with a tokenizer.
        packed: dict of arrays, as returned by `pack_split`.
        **options: see `textkit.datasets.masking.masked_batches`.

    Returns:
        `tf.data.Dataset`, see `textkit.datasets.masking.masked_batches`.
    """
    tokenizer = model.tokenizer
    special = {tokenizer.pad_id, tokenizer.unknown_id, tokenizer.start_id, tokenizer.end_id, tokenizer.mask_id} - {None}
    return masked_batches(
        packed, mask_id=tokenizer.mask_id, vocabulary_size=tokenizer.size, special_ids=sorted(special), **options
    )


def compile_masked(model, optimizer=None, jit_compile=False):
    """Compiles a model for batches of `masked`.

    Args:
        model: a `MaskedLanguageModel`.
        optimizer: `keras.optimizers.Optimizer`; `None` for evaluation only.
        jit_compile: bool or "auto", whether XLA compiles the step.
    """
    # a weighted mean: repeated rows and unused mask positions have weight 0
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")
    metrics = [
        keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        # unlike the loss of an epoch, a mean over masked tokens, not over batches
        keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
    ]
    model.compile(optimizer, loss, weighted_metrics=metrics, jit_compile=jit_compile)


def baseline(model, packed, batches):
    """Measures the accuracy of always predicting the most frequent token.

    Args:
        model: with a tokenizer.
        packed: dict of arrays, as returned by `pack_split`: the rows in which tokens are counted.
        batches: finite `tf.data.Dataset`, as returned by `masked`.

    Returns:
        dict of "baseline_token", str, and "baseline_accuracy", float, or `None` if nothing is masked.
    """
    token = int(np.bincount(packed["token_ids"][packed["word_ids"] >= 0]).argmax())
    hits = total = 0.0
    for _, labels, weights in batches.as_numpy_iterator():
        hits += weights[labels == token].sum()
        total += weights.sum()
    name = model.tokenizer.to_tokens([token]).numpy()[0].decode("utf-8", "replace")
    return {"baseline_token": name, "baseline_accuracy": float(hits / total) if total else None}


class LinearRate(keras.callbacks.Callback):
    """Linear warm-up and linear decay of the learning rate to 0, by steps or by time, and an end at the time limit.

    It also adds the perplexity to the metrics of each epoch.

    Args:
        peak: float, the maximum learning rate.
        warmup_steps: int, steps of linear warm-up.
        total_steps: int, the step at which the rate is 0.
        minutes: float, the time at which the rate is 0 and training ends, if that comes first; or `None`.
        path: `pathlib.Path` of the file that keeps the elapsed seconds for a resumed run; used with `minutes` only.
    """

    def __init__(self, peak, warmup_steps, total_steps, minutes, path):
        super().__init__()
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps
        self.seconds = math.inf if minutes is None else 60 * minutes
        self.path = path
        self._before = 0.0

    def begin(self, first_epoch):
        """Starts the clock; a resumed run continues from its elapsed seconds.

        Args:
            first_epoch: int, 0 for a new run.
        """
        if first_epoch and self.path.is_file():
            self._before = json.loads(self.path.read_text())["seconds"]
        self._began = time.monotonic()

    def passed(self):
        """Seconds of training so far, with those before a resume."""
        return self._before + time.monotonic() - self._began

    def on_epoch_begin(self, epoch, logs=None):
        """Restarts the count of steps at the first of the epoch."""
        self._steps = itertools.count(epoch * self.params["steps"])

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the learning rate of this step."""
        step = next(self._steps)
        rise = min(1.0, (step + 1) / (self.warmup_steps + 1))
        left = 1 - max(step / self.total_steps, self.passed() / self.seconds)
        self.model.optimizer.learning_rate = self.peak * rise * max(left, 0.0)

    def on_train_batch_end(self, batch, logs=None):
        """Ends training at the time limit."""
        if self.passed() >= self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Adds the perplexity, and saves the elapsed time."""
        logs |= {f"{part}perplexity": math.exp(min(logs[f"{part}cross_entropy"], 700.0)) for part in ("", "val_")}
        if math.isfinite(self.seconds) and is_chief(self.model.distribute_strategy):
            with write_aside(self.path) as temporary:
                temporary.write_text(json.dumps({"seconds": self.passed()}))
