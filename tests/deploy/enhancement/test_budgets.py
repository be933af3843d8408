"""Budgets: what they read, how many blocks they give, and that milliseconds are kept."""

from __future__ import annotations

from fractions import Fraction

import pytest

from deploy.core.errors import OptionError
from deploy.enhancement.budgets import BlockRate, Budget, TimeModel


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("20%", "share", Fraction(1, 5)),
        ("0%", "share", Fraction(0)),
        ("100%", "share", Fraction(1)),
        ("12.5%", "share", Fraction(1, 8)),
        ("3000/s", "rate", Fraction(3000)),
        ("threshold-0.5", "threshold", Fraction(1, 2)),
        ("15ms", "time", Fraction(15)),
    ],
)
def test_budgets_are_read(text: str, kind: str, amount: Fraction) -> None:
    assert Budget.parse(text) == Budget(kind, amount)  # type: ignore[arg-type]  # one of the kinds


@pytest.mark.parametrize("text", ["", "20", "-1%", "101%", "threshold-2", "15 ms", "1e3/s", "nan%", "top-20%"])
def test_others_are_told(text: str) -> None:
    with pytest.raises(OptionError, match="budget="):
        Budget.parse(text)


def test_blocks_a_second_are_kept_exactly() -> None:
    rate = BlockRate(Fraction(1000), Fraction(1, 30))
    counts = [rate.count(Fraction(frame, 30)) for frame in range(90)]
    assert sum(counts) == 3000 and set(counts) <= {33, 34}
    assert rate.count(Fraction(4)) == round(1000 * (4 - Fraction(89, 30))), "a frame that lasts longer gets more"


def area(count: int) -> int:
    """Padded pixels of so many blocks: the first ones cost most."""
    return min(57600, round(57600 * (count / 240) ** 0.6))


@pytest.mark.parametrize("milliseconds", [1, 10, 30, 80, 200, 1000])
def test_milliseconds_are_kept_by_a_wrong_model_that_learns(milliseconds: int) -> None:
    """The machine is twice as slow as was measured at first, and spends 4 ms on other things."""
    model, spent, counts = TimeModel(3e-6), [], []
    for _ in range(60):
        count = model.count(milliseconds / 1000, 240, area)
        pixels = area(count) if count else 0
        network = pixels * 6e-6
        spent.append(network + 0.004)
        counts.append(count)
        model.learn(pixels, network, 0.004)
    late = sorted(spent[30:])
    assert late[-1] <= max(milliseconds / 1000, 0.004) * 1.02
    if milliseconds >= 80:  # else one block more or less is a large part
        assert late[0] >= min(0.8 * milliseconds / 1000, 57600 * 6e-6), "nothing is left unused"
    assert counts[-1] == 240 or milliseconds < 1000
