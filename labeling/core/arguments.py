"""Helpers for options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploy.core.errors import OptionError
from deploy.core.ranges import require_range


def require_budgets(budgets: Sequence[float]) -> None:
    """Raise OptionError unless all shares of the macroblocks lie between 0 and 1."""
    for budget in budgets:
        require_range("budgets", budget, 0, 1, open_ends=True, hint="0.2 means 20 %.")


def name_and_path(word: str, option: str) -> tuple[str, Path]:
    """Parse NAME=PATH from the command line.

    Raises:
        OptionError: the text is not of that form.
    """
    name, _, path = word.partition("=")
    if not name or not path:
        raise OptionError(f"{option} {word!r} is not NAME=PATH", hint=f"Give {option} mine={path or name or 'PATH'}.")
    return name, Path(path)
