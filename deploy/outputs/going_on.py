"""What an interrupted run left of its streams, and where the same command goes on."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from deploy.core.files import write_text

_SEGMENT = re.compile(r"[a-z]+-(\d{6,})\.(mp4|npz)")
_BLOCKS = "blocks.jsonl"


@dataclass(frozen=True)
class Kept:
    """What stays of one stream."""

    seconds: Fraction = Fraction(0)
    """Since its first frame: what comes before is done."""
    num_frames: int = 0
    """How many frames have lines."""
    next_index: int = 0
    """Index behind the last of those."""


def keep_files(folders: Sequence[Path], segment: Fraction | None, window: Fraction | None) -> list[Kept]:
    """Keep what closed segments hold, but for the last one; the rest is done again.

    The new run chooses macroblocks as an undisturbed one: it begins where windows begin, and streams that were
    at the same time begin together.

    Args:
        folders: of the streams, which are files.
        segment: length of a segment in seconds; without segments all is done again.
        window: length of the windows whose frames share a selection, in seconds; None if there are none.
    """
    if segment is None:
        return [_cut(folder, Fraction(0)) for folder in folders]
    closed = [_last_segment(folder) * segment for folder in folders]
    step = segment if window is None else _common_multiple(segment, window)
    starts = [min(other for other in closed if abs(other - own) <= segment) // step * step for own in closed]
    return [_cut(folder, start) for folder, start in zip(folders, starts, strict=True)]


def keep_live(folder: Path, segment: Fraction | None) -> Kept:
    """Keep every line: what a camera saw does not come again. The new run begins a new segment, or second."""
    lines = _whole_lines(folder / _BLOCKS)
    for path in folder.glob("*.jsonl"):
        _rewrite(path, _whole_lines(path))
    frames = [line for line in lines if "index" in line]
    if not frames:
        return Kept()
    step = segment or Fraction(1)
    seconds = max(math.floor(Fraction(frames[-1]["seconds"]) / step), _last_segment(folder)) * step + step
    return Kept(seconds, len(frames), int(frames[-1]["index"]) + 1)


def _common_multiple(one: Fraction, other: Fraction) -> Fraction:
    numerator = math.lcm(one.numerator * other.denominator, other.numerator * one.denominator)
    return Fraction(numerator, one.denominator * other.denominator)


def _last_segment(folder: Path) -> int:
    names = (_SEGMENT.fullmatch(path.name) for path in folder.iterdir())
    return max((int(match[1]) for match in names if match), default=0)


def _cut(folder: Path, seconds: Fraction) -> Kept:
    """Keep the lines of frames before this time; the first line, of sizes, stays with them."""
    frames: list[dict[str, Any]] = []
    for path in folder.glob("*.jsonl"):
        if seconds == 0:
            path.unlink()
            continue
        kept = [line for line in _whole_lines(path) if float(line.get("seconds", 0)) < float(seconds)]
        _rewrite(path, kept)
        if path.name == _BLOCKS:
            frames = [line for line in kept if "index" in line]
    return Kept(seconds, len(frames), int(frames[-1]["index"]) + 1 if frames else 0)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file up to one that a kill cut off."""
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def _rewrite(path: Path, lines: list[dict[str, Any]]) -> None:
    write_text(path, "".join(f"{json.dumps(line)}\n" for line in lines))
