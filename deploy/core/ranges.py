"""The one way in which options are held to their ranges and choices."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploy.core.errors import OptionError


def require_range(
    name: str, value: float | None, low: float, high: float = math.inf, *, open_ends: bool = False, hint: str = ""
) -> None:
    """Raise OptionError unless a number lies in its range. None, an option that was left out, passes.

    Args:
        name: the option, as Python spells it.
        value: what it was given.
        low: its least value.
        high: its greatest value.
        open_ends: refuse `low` and `high` themselves.
        hint: what to do; by default the range is named once more, with the command line's spelling of the option.
    """
    if value is None or (low < value < high if open_ends else low <= value <= high):
        return
    if math.isinf(high):
        rule = f"more than {low}" if open_ends else f"at least {low}"
    else:
        rule = f"between {low} and {high}" if open_ends else f"from {low} to {high}"
    raise OptionError(
        f"{name}={value} must be {rule}", hint=hint or f"Give --{name.replace('_', '-')} a number {rule}."
    )


def require_ranges(options: object, *names: str, low: float, high: float = math.inf, open_ends: bool = False) -> None:
    """`require_range` for several fields of an options object."""
    for name in names:
        require_range(name, getattr(options, name), low, high, open_ends=open_ends)


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise OptionError unless a value is one of `choices`."""
    if value not in choices:
        known = ", ".join(choices)
        raise OptionError(f"{name}={value!r} is unknown", hint=f"Use one of: {known}.")
