"""Checks of numbers and sizes."""

import math

# The ranges of training options: description, and a test that is False for NaN.
TRAINING_RANGES = {
    "epochs": ("at least 1", lambda value: value >= 1),
    "learning_rate": ("above 0", lambda value: 0 < value < math.inf),
    "weight_decay": ("at least 0", lambda value: 0 <= value < math.inf),
    "clip_norm": ("above 0, or None", lambda value: value is None or value > 0),
    "ema_momentum": ("in [0, 1), or None", lambda value: value is None or 0 <= value < 1),
}


def check_ranges(ranges, **numbers):
    """Raises for the first number that is out of its range.

    Args:
        ranges: dict, name -> (description, test): str such as "above 0", and a function of a number -> bool.
        **numbers: the numbers to check, by their names in `ranges`.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> check_ranges({"rate": ("above 0", lambda value: value > 0)}, rate=-1)
        Traceback (most recent call last):
        ValueError: Expected a number above 0. Received: rate=-1
    """
    for name, value in numbers.items():
        expected, holds = ranges[name]
        if not holds(value):
            raise ValueError(f"Expected a number {expected}. Received: {name}={value}")


def check_sizes(**sizes):
    """Raises for the first size that is not a positive int.

    Args:
        **sizes: the sizes to check, by argument name.

    Raises:
        ValueError: a size that is not a positive int.

    Example:
        >>> check_sizes(num_layers=2, num_heads=0)
        Traceback (most recent call last):
        ValueError: `num_heads` should be a positive int. Received: num_heads=0
    """
    for name, size in sizes.items():
        if not isinstance(size, int) or size <= 0:
            raise ValueError(f"`{name}` should be a positive int. Received: {name}={size}")


def check_class_names(num_classes, class_names):
    """Checks that there is one class name per class.

    Args:
        num_classes: int.
        class_names: list of str; or `None`, which is accepted.

    Raises:
        ValueError: another number of names.

    Example:
        >>> check_class_names(2, ["bird"])
        Traceback (most recent call last):
        ValueError: `class_names` should be num_classes=2 names. Received: 1 names
    """
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(f"`class_names` should be num_classes={num_classes} names. Received: {len(class_names)} names")
