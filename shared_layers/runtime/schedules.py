"""Learning-rate schedules."""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="shared_layers")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then cosine decay to a floor.

    Args:
        peak: float, the learning rate at step `warmup_steps`.
        warmup_steps: int, the number of warm-up steps; step 0 has `peak / (warmup_steps + 1)`, not 0.
        total_steps: int, the step from which the learning rate is `floor`; greater than `warmup_steps`.
        floor: float, the final learning rate.

    With gradient accumulation Keras counts batches, not updates, as steps.

    Raises:
        ValueError: unless 0 <= `warmup_steps` < `total_steps`.

    Reference:
        Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts", eq. 5, without
        the restarts; the warm-up of Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2.

    Example:
        >>> schedule = WarmupCosine(peak=1.0, warmup_steps=4, total_steps=14)
        >>> [round(float(schedule(step)), 2) for step in (0, 4, 9, 14)]
        [0.2, 1.0, 0.5, 0.0]
    """

    def __init__(self, peak, warmup_steps, total_steps, floor=0.0):
        super().__init__()
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"Expected 0 <= warmup_steps < total_steps. Received: warmup_steps={warmup_steps}, total_steps={total_steps}"
            )
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.floor = floor

    def __call__(self, step):
        """Computes the learning rate of a step; see the class."""
        step = ops.cast(step, "float32")
        rise = self.peak * (step + 1.0) / (self.warmup_steps + 1.0)
        progress = ops.clip((step - self.warmup_steps) / (self.total_steps - self.warmup_steps), 0.0, 1.0)
        fall = self.floor + (self.peak - self.floor) * 0.5 * (1.0 + ops.cos(math.pi * progress))
        return ops.where(step < self.warmup_steps, rise, fall)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "floor": self.floor,
        }


@keras.saving.register_keras_serializable(package="shared_layers")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to a peak, then decay with the inverse square root of the step.

    Args:
        peak: float, the learning rate at step number `warmup_steps`, counted from 1.
        warmup_steps: int, the number of warm-up steps.

    With gradient accumulation Keras counts batches, not updates, as steps.

    Raises:
        ValueError: a `warmup_steps` below 1.

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 5.3, where the peak is `(d_model * warmup_steps) ** -0.5`:
        7.0e-4 for a width of 512 and 4000 steps.

    Example:
        >>> schedule = InverseSquareRoot(peak=1.0, warmup_steps=4)
        >>> [round(float(schedule(step)), 2) for step in (0, 1, 3, 15)]
        [0.25, 0.5, 1.0, 0.5]
    """

    def __init__(self, peak, warmup_steps):
        super().__init__()
        if warmup_steps < 1:
            raise ValueError(f"Expected at least one step of warm-up. Received: warmup_steps={warmup_steps}")
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        """Computes the learning rate of a step; see the class."""
        number = ops.cast(step, "float32") + 1.0
        return self.peak * ops.minimum(number / self.warmup_steps, ops.sqrt(self.warmup_steps / number))

    def get_config(self):
        """Returns the constructor's arguments."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}
