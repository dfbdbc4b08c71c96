"""The error for numbers out of their range."""


def check_ranges(ranges, **numbers):
    """Refuses the first number that is out of its range.

    Args:
        ranges: dict, name -> (str, what the number should be, such as "above 0"; function of a number, whether it is).
        **numbers: by their names in `ranges`.

    Raises:
        ValueError: for the first that is not as it should be.

    Example:
        >>> check_ranges({"rate": ("above 0", lambda value: value > 0)}, rate=-1)
        Traceback (most recent call last):
        ValueError: Expected a number above 0. Received: rate=-1
    """
    for name, value in numbers.items():
        expected, holds = ranges[name]
        if not holds(value):
            raise ValueError(f"Expected a number {expected}. Received: {name}={value}")
