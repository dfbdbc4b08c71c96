"""Training of a sequence-to-sequence model on pairs of texts, in one call; TensorFlow only."""

import pathlib

import keras

from shared_layers.runtime import (
    TRAINING_RANGES,
    InverseSquareRoot,
    WarmupCosine,
    check_ranges,
    fit_run,
    is_chief,
    make_optimizer,
    unknown_name,
)
from textkit.datasets import batches
from textkit.recurrent import ScheduledSampling
from textkit.seq2seq import TokenCrossEntropy
from textkit.translator import check_vocabularies, read_texts, source_positions, write_texts

_RANGES = {
    **TRAINING_RANGES,
    "warmup_steps": ("at least 1", lambda value: value >= 1),
    "scheduled_sampling": ("in [0, 1]", lambda value: 0 <= value <= 1),
}
_SCHEDULES = ("cosine", "inverse_sqrt")
_LONGEST_ANSWER = 256  # tokens; decoding allocates caches of this length


def train(
    model,
    pairs,
    vocabularies,
    folder,
    *,
    epochs=10,
    batch_tokens=2048,
    batch_size=None,
    buckets=8,
    learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=400,
    weight_decay=0.0,
    label_smoothing=0.1,
    clip_norm=1.0,
    ema_momentum=None,
    scheduled_sampling=0.0,
    max_source_length=None,
    max_target_length=None,
    too_long="drop",
    jit_compile=False,
    resume=False,
    seed=0,
    progress=True,
):
    """Trains a model with teacher forcing and Adam, or AdamW if `weight_decay` is above 0.

    The folder gets `vocabularies.json`, `best.keras` (by validation accuracy of tokens under teacher forcing), `last.keras`
    (to resume from) and `logs/` for TensorBoard. `textkit.Translator.load` reads it from the end of the first epoch on.

    Args:
        model: a `textkit.seq2seq.Seq2Seq`, made under the strategy's scope, and with `dtype="mixed_bfloat16"` or
            "mixed_float16" for mixed precision. It is compiled here, and ends with the weights of the last epoch,
            or their moving average.
        pairs: `textkit.datasets.Pairs`.
        vocabularies: (source, target), two `textkit.vocabulary.Vocabulary` of the model's sizes.
        folder: str or path-like, the folder of the run.
        epochs: int, the number of epochs.
        batch_tokens: int, the maximum number of tokens of a batch, over all replicas, see `textkit.datasets.batches`.
        batch_size: int, the maximum number of pairs of a batch, in place of `batch_tokens`; or `None`.
        buckets: int, see `textkit.datasets.batches`.
        learning_rate: float, the peak.
        schedule: str, the decay after the warm-up: "cosine" to 0 at the end, or "inverse_sqrt".
        warmup_steps: int, steps of linear warm-up; for "cosine" at most half of all steps.
        weight_decay: float, on kernels only, see `shared_layers.runtime.make_optimizer`.
        label_smoothing: float in [0, 1), see `textkit.seq2seq.TokenCrossEntropy`.
        clip_norm: float, the maximum global norm of the gradients; or `None`.
        ema_momentum: float in [0, 1), for a moving average of the weights, which is then validated and saved as the best;
            or `None`.
        scheduled_sampling: float in [0, 1], the probability in the last epoch that the decoder reads its own prediction in
            place of the true token; it grows linearly from 0. Above 0 the model must be made with
            `scheduled_sampling=True`.
        max_source_length: int, see `textkit.datasets.batches`; at most the learned positions of the model.
        max_target_length: int, see `textkit.datasets.batches`; at most the learned positions of the model.
        too_long: str, what to do with longer pairs, see `textkit.datasets.batches`.
        jit_compile: bool or "auto", whether XLA compiles the training step, once for each bucket.
        resume: bool, whether to continue from the folder's `last.keras`, if there is one. With the same arguments, an
            interrupted and resumed run ends with the same weights as an uninterrupted one.
        seed: int, for the order of pairs and dropout.
        progress: bool, whether to show a progress bar and a line for each epoch on standard error.

    Returns:
        dict, ready for JSON: "epochs", "steps_per_epoch", "parameters", "seconds", "best_accuracy" (of
        validation tokens), and "history" {metric: values of the epochs of this call}.

    Raises:
        ValueError: an option out of its range, vocabularies that are not the model's, `scheduled_sampling` for a
            model made without it, no pairs that are short enough, a checkpoint of another model or with other
            vocabularies; in training, a loss that is not finite.
        OSError: the folder cannot be created.

    Reference:
        Vaswani et al. 2017, section 5.3 (Adam's beta_2 and epsilon, "inverse_sqrt") and 5.4 (label smoothing).
    """
    check_ranges(
        _RANGES,
        epochs=epochs,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
        scheduled_sampling=scheduled_sampling,
    )
    if schedule not in _SCHEDULES:
        raise unknown_name("schedule", schedule, _SCHEDULES)
    check_vocabularies(model, *vocabularies)
    if scheduled_sampling and not model.config.get("scheduled_sampling"):
        received = f"{scheduled_sampling=} for a {type(model).__name__} made without"
        raise ValueError(f"Expected a recurrent model made with scheduled_sampling=True. Received: {received}")
    loss = TokenCrossEntropy(label_smoothing)
    strategy = model.distribute_strategy
    target_positions = model.config["max_target_length"] if model.config.get("positions") == "learned" else None
    given = {
        "batch_tokens": None if batch_size else batch_tokens,
        "batch_size": batch_size,
        "buckets": buckets,
        "max_source_length": _least(max_source_length, source_positions(model)),
        "max_target_length": _least(max_target_length, target_positions),
        "too_long": too_long,
        "multiple_of": strategy.num_replicas_in_sync,
        "seed": seed,
    }

    def made(split, **options):
        return batches(split, *vocabularies, **given, **options)

    keras.utils.set_random_seed(seed)
    folder = pathlib.Path(folder)
    steps_per_epoch = int(made(pairs.train, training=True).cardinality())
    checks = made(pairs.validation)
    total_steps = epochs * steps_per_epoch
    if schedule == "cosine":
        rate = WarmupCosine(learning_rate, min(warmup_steps, total_steps // 2), total_steps)
    else:
        rate = InverseSquareRoot(learning_rate, warmup_steps)
    with strategy.scope():
        optimizer = make_optimizer(
            model.trainable_variables, rate, weight_decay, clip_norm, ema_momentum, beta_2=0.98, epsilon=1e-9
        )
        model.compile(
            optimizer,
            loss,
            weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            jit_compile=jit_compile,
        )

    def begin(first_epoch):
        if is_chief(strategy):
            longest = _least(_longest_target(pairs, vocabularies[1]), given["max_target_length"], _LONGEST_ANSWER)
            _begin(folder, first_epoch, vocabularies, longest)

    return fit_run(
        model,
        lambda first_epoch: made(pairs.train, training=True, first_epoch=first_epoch),
        checks,
        folder,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        callbacks=[ScheduledSampling(scheduled_sampling, max(epochs - 1, 1))] if scheduled_sampling else [],
        begin=begin,
        resume=resume,
        progress=progress,
    )


def _begin(folder, first_epoch, vocabularies, max_length):
    """Removes an earlier run's model and writes the vocabularies; on resume, checks that they are those of the run."""
    if not first_epoch:
        (folder / "best.keras").unlink(missing_ok=True)  # of an earlier run, perhaps with other vocabularies
        write_texts(folder, *vocabularies, max_length)
        return
    known = read_texts(folder)[:2]
    if [each.get_config() for each in known] != [each.get_config() for each in vocabularies]:
        raise ValueError(
            "Expected the vocabularies that this run started with, to resume it. "
            f"Received: different vocabularies, folder={str(folder)!r}"
        )


def _least(*numbers):
    """The minimum of the numbers that are not `None`; `None` if there are none."""
    return min((number for number in numbers if number is not None), default=None)


def _longest_target(pairs, vocabulary):
    """The number of tokens of the longest training target, the end token included."""
    lengths = vocabulary.encode([target for _, targets in pairs.train for target in targets]).row_lengths()
    return int(lengths.numpy().max()) + 1
