"""The error for unknown names."""

import difflib

_SHOWN = 10


def unknown_name(kind, name, options):
    """Makes the error for an unknown name; it suggests similar names, or else lists the first few.

    Args:
        kind: str, what is named: "preset", "dataset", "method".
        name: the name that was received.
        options: iterable of str, the known names.

    Returns:
        A one-line ValueError, for the caller to raise.

    Example:
        >>> unknown_name("method", "roll-out", ["raw", "rollout", "tscam"])
        ValueError("Unknown method; did you mean 'rollout'? Received: method='roll-out'")
    """
    options = sorted(options)
    near = difflib.get_close_matches(str(name), options, n=3)
    if near:
        advice = f"did you mean {' or '.join(map(repr, near))}?"
    else:
        more = f" and {len(options) - _SHOWN} more" if len(options) > _SHOWN else ""
        advice = f"expected one of {', '.join(map(repr, options[:_SHOWN]))}{more}."
    return ValueError(f"Unknown {kind}; {advice} Received: {kind}={name!r}")
