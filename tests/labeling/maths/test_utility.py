"""Recovery of the gain, and the area under it."""

from __future__ import annotations

import numpy as np
import pytest

from labeling.maths.utility import area, recoveries, recovery


@pytest.mark.parametrize(
    ("f1_k", "f1_none", "f1_all", "wanted"),
    [
        (0.7, 0.6, 0.8, 0.5),
        (0.8, 0.6, 0.8, 1.0),
        (0.9, 0.6, 0.8, 1.5),
        (0.5, 0.6, 0.8, -0.5),
        (0.7, 0.6, 0.6, None),
        (0.7, 0.6, 0.604, None),
        (0.7, 0.8, 0.6, None),
    ],
)
def test_recovery(f1_k: float, f1_none: float, f1_all: float, wanted: float | None) -> None:
    assert recovery(f1_k, f1_none, f1_all) == (wanted if wanted is None else pytest.approx(wanted))


def test_recoveries_are_those_of_each_draw_or_none_at_all() -> None:
    clear = np.array([[0.5, 0.6, 0.7], [0.5, 0.8, 0.6]])
    np.testing.assert_allclose(recoveries(clear), [[0, 0.5, 1], [0, 3, 1]])
    assert len(recoveries(np.array([[0.5, 0.6, 0.7], [0.5, 0.8, 0.501]]))) == 0
    rarely = np.tile([0.5, 0.6, 0.7], (100, 1))
    rarely[:2, 2] = 0.4
    assert len(recoveries(rarely)) == 98


def test_area_is_the_mean_height_below_budget_1() -> None:
    budgets = [0, 0.1, 0.3, 1]
    assert area(budgets, np.array([0.5, 0.5, 0.5, 9.0])) == pytest.approx(0.5)
    expected = (0.1 * 0.5 + 0.2 * 1.5) / 0.3
    np.testing.assert_allclose(area(budgets, np.array([[0, 1, 2, 7.0], [0, 0, 0, 0]])), [expected, 0])
