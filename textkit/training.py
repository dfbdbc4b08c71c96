"""Training of a sequence-to-sequence model: one call from pairs of texts to a translator; TensorFlow only."""

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
_LONGEST_ANSWER = 256  # tokens; decoding keeps room for as many as there may be


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
    """Trains a model with teacher forcing and Adam, or AdamW where weights decay.

    The folder gets `vocabularies.json`, `best.keras` (by the share of the validation's tokens that are right, given those
    before), `last.keras` (to resume from) and `logs/` for TensorBoard. From the first epoch on `textkit.Translator.load`
    reads it, however the run ends.

    Args:
        model: a `textkit.seq2seq.Seq2Seq`, made under the strategy's scope, and with `dtype="mixed_bfloat16"` or
            "mixed_float16" for mixed precision. It is compiled here, and left with the weights of the last epoch,
            or their moving average.
        pairs: `textkit.datasets.Pairs`.
        vocabularies: (source, target), two `textkit.vocabulary.Vocabulary` of the model's sizes.
        folder: str or path-like, of the run.
        epochs: int.
        batch_tokens: int, the most tokens of a batch, of all replicas together, see `textkit.datasets.batches`.
        batch_size: int, the most pairs of a batch, in place of `batch_tokens`; or `None`.
        buckets: int, see `textkit.datasets.batches`.
        learning_rate: float, the highest.
        schedule: str, how it falls after the warm-up: "cosine" to 0 at the end, or "inverse_sqrt".
        warmup_steps: int, how long it rises; for "cosine" at most half of all steps.
        weight_decay: float, on kernels alone, see `shared_layers.runtime.make_optimizer`.
        label_smoothing: float in [0, 1).
        clip_norm: float, the most that the norm of all gradients together may be; or `None`.
        ema_momentum: float in [0, 1), of a moving average of the weights, which is then what is validated and kept as the
            best; or `None`.
        scheduled_sampling: float in [0, 1], how often in the last epoch the model reads what it would have written itself,
            rising from 0; above 0 the model has to be made with `scheduled_sampling=True`.
        max_source_length: int, see `textkit.datasets.batches`; never more than the model has positions for.
        max_target_length: int, the same.
        too_long: str, what becomes of longer pairs, the same.
        jit_compile: bool or "auto", whether XLA compiles the step, once for each bucket.
        resume: bool, whether to go on from the folder's `last.keras`, if there is one. Given the same arguments, a run that
            was interrupted ends with the weights of one that was not.
        seed: int, of the order of pairs and of dropout.
        progress: bool, whether to show, on standard error, a bar and a line for each epoch.

    Returns:
        dict, ready for JSON: "epochs", "steps_per_epoch", "parameters", "seconds", "best_accuracy" (of validation, of
        tokens), and "history" {metric: values of the epochs trained now}.

    Raises:
        ValueError: an option out of its range, vocabularies that are not the model's, a model that was made without the
            scheduled sampling asked for, no pairs that are short enough, a checkpoint of another model or with other
            vocabularies; in training, a loss that is no longer finite.
        OSError: the folder cannot be made.

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
    """Makes the folder one of these vocabularies, whose models are to come; where a run goes on, sees that it is."""
    if not first_epoch:
        for name in ("best.keras", "last.keras"):  # of an earlier run, whose vocabularies may be others
            (folder / name).unlink(missing_ok=True)
        write_texts(folder, *vocabularies, max_length)
        return
    known = read_texts(folder)[:2]
    if [each.get_config() for each in known] != [each.get_config() for each in vocabularies]:
        raise ValueError(f"Expected the vocabularies that the run began with. Received: others, to resume {str(folder)!r}")


def _least(*numbers):
    """The least of some numbers, of which some may be `None`."""
    return min((number for number in numbers if number is not None), default=None)


def _longest_target(pairs, vocabulary):
    """Tokens of the longest target that was trained on, its end included."""
    lengths = vocabulary.encode([target for _, targets in pairs.train for target in targets]).row_lengths()
    return int(lengths.numpy().max()) + 1
