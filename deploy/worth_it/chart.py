"""The curve of accuracy against time, as SVG written by hand: base installations have no plotting library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

from deploy.worth_it.verdict import Row
from deploy.worth_it.ways import Kind

WIDTH_PX, HEIGHT_PX = 900, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 20, 55
_LABEL_PX = 15
"""Labels of neighboring points are at least so far apart."""
COLORS: dict[Kind, str] = {
    "nothing": "#6b7280",
    "everything": "#111827",
    "predicted": "#c2410c",
    "control": "#9ca3af",
    "instead": "#1d4ed8",
}
"""One color a kind of way, in the table as in the figure."""


def accuracy_chart(rows: Sequence[Row], kinds: Sequence[Kind]) -> str:
    """F1 with its interval against milliseconds, on a logarithmic axis; points carry the numbers of the table.

    Args:
        rows: the ways.
        kinds: what each stands for.
    """
    times = [max(row.milliseconds, 1e-3) for row in rows]
    low, high = min(row.f1_low for row in rows), max(row.f1_high for row in rows)
    margin = max(0.01, 0.05 * (high - low))
    low, high = max(0.0, low - margin), min(1.0, high + margin)
    first, last = math.log(min(times) * 0.9), math.log(max(times) * 1.1)

    def x(milliseconds: float) -> float:
        return _LEFT + (math.log(max(milliseconds, 1e-3)) - first) / (last - first) * (WIDTH_PX - _LEFT - _RIGHT)

    def y(f1: float) -> float:
        return HEIGHT_PX - _BOTTOM - (f1 - low) / (high - low) * (HEIGHT_PX - _TOP - _BOTTOM)

    parts = [*_axes(x, y, (math.exp(first), math.exp(last)), (low, high))]
    path = [row for row, kind in zip(rows, kinds, strict=True) if kind in ("nothing", "predicted", "everything")]
    points = " ".join(f"{x(row.milliseconds):.1f},{y(row.f1):.1f}" for row in sorted(path, key=lambda r: r.budget or 0))
    parts.append(f'<polyline points="{points}" fill="none" stroke="{COLORS["predicted"]}" stroke-opacity="0.35"/>')
    for row, kind in zip(rows, kinds, strict=True):
        color, across = COLORS[kind], x(row.milliseconds)
        parts.append(
            f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{y(row.f1_low):.1f}" y2="{y(row.f1_high):.1f}" '
            f'stroke="{color}" stroke-opacity="0.4" stroke-width="2"/>'
            f'<circle cx="{across:.1f}" cy="{y(row.f1):.1f}" r="5" fill="{color}"><title>{escape(row.way)}: F1 '
            f"{row.f1:.3f} in {row.milliseconds:.0f} ms</title></circle>"
        )
    parts += _labels([(x(row.milliseconds), y(row.f1)) for row in rows], [COLORS[kind] for kind in kinds])
    body = "\n".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="F1 against milliseconds" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="13" font-family="sans-serif">\n{body}\n</svg>'
    )


def spread(positions: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places for labels beside points: moved up or down until none lies over another."""
    placed: list[tuple[float, float]] = []
    for across, down in positions:
        steps = (sign * step * _LABEL_PX for step in range(len(positions) + 1) for sign in (1, -1))
        free = (down + step for step in steps if all(_apart((across, down + step), other) for other in placed))
        placed.append((across, next(free, down)))
    return placed


def _apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) >= 2 * _LABEL_PX or abs(one[1] - other[1]) >= _LABEL_PX - 0.5


def _labels(positions: Sequence[tuple[float, float]], colors: Sequence[str]) -> Iterable[str]:
    for number, ((across, down), color) in enumerate(zip(spread(positions), colors, strict=True), start=1):
        yield f'<text x="{across + 9:.1f}" y="{down + 4:.1f}" fill="{color}" font-weight="bold">{number}</text>'


def _axes(
    x: Callable[[float], float], y: Callable[[float], float], times: tuple[float, float], f1: tuple[float, float]
) -> Iterable[str]:
    bottom = HEIGHT_PX - _BOTTOM
    yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{WIDTH_PX - _RIGHT}" fill="none" stroke="#9ca3af"/>'
    for value in _ticks(*times):
        yield f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{_TOP}" y2="{bottom}" stroke="#e5e7eb"/>'
        yield f'<text x="{x(value):.1f}" y="{bottom + 18}" text-anchor="middle">{value:g}</text>'
    step = next(size for size in (0.01, 0.02, 0.05, 0.1, 0.2) if (f1[1] - f1[0]) / size <= 8)
    for count in range(math.ceil(f1[0] / step), math.floor(f1[1] / step) + 1):
        value = count * step
        yield f'<line x1="{_LEFT}" x2="{WIDTH_PX - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e5e7eb"/>'
        yield f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>'
    middle = (WIDTH_PX + _LEFT) / 2
    yield f'<text x="{middle}" y="{HEIGHT_PX - 12}" text-anchor="middle">ms per frame, detector included</text>'
    yield f'<text transform="translate(16 {HEIGHT_PX / 2}) rotate(-90)" text-anchor="middle">F1</text>'


def _ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
    return [value for value in values if low <= value <= high]
