"""Options of every command that reads videos."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from deploy.core.options import option
from deploy.core.ranges import require_ranges
from deploy.inputs.report import Damaged, ReadOptions

if TYPE_CHECKING:  # PyAV is behind it, and --help works without
    from deploy.inputs.video import FrameSelection


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Which inputs, and which of their frames.

    Raises:
        OptionError: a number is out of its range.
    """

    WITHOUT_EFFECT: ClassVar[frozenset[str]] = frozenset({"out", "overwrite", "threads"})
    """Options that do not change results."""

    input: tuple[str, ...] = option(
        nargs="+",
        metavar="INPUT",
        help="videos, folders of images (in natural order), images, rtsp:// or http:// streams, webcam:0",
    )
    every: int = option(1, type=int, metavar="N", help="take every Nth frame")
    start_seconds: float = option(
        0.0, type=float, metavar="S", help="start time, counted from the first frame of each input"
    )
    stop_seconds: float | None = option(None, type=float, metavar="S", help="stop time, exclusive (default: the end)")
    stream: int | None = option(
        None, type=int, metavar="N", help="index of the video stream, as FFmpeg counts (default: the file's default)"
    )
    damaged: Damaged = option(
        "skip", choices=("skip", "stop"), help="unusable frames: leave them out and count them, or stop with an error"
    )

    def __post_init__(self) -> None:
        require_ranges(self, "every", low=1)
        _ = self.reading  # it refuses what it cannot use

    @property
    def reading(self) -> ReadOptions:
        """How inputs are read."""
        return ReadOptions(self.stream, self.damaged)

    @property
    def selection(self) -> FrameSelection:
        """Which frames are taken."""
        from deploy.inputs.video import FrameSelection

        return FrameSelection(self.start_seconds, self.stop_seconds, self.every)

    def work(self) -> str:
        """A hash of everything that determines the results."""
        given = {name: _identity(value) for name, value in vars(self).items() if name not in self.WITHOUT_EFFECT}
        return sha256(repr(given).encode("utf-8", "backslashreplace")).hexdigest()  # an input's address may hold a key

    def resumable(self) -> frozenset[str]:
        """Hashes of runs that this one can resume: its own, and that of one that stopped at damage: it lost nothing."""
        return frozenset({self.work(), replace(self, damaged="stop").work()})


def _identity(value: Any) -> Any:
    """The value; of a file also its size and time, so that a network that was made again counts as another."""
    if isinstance(value, Path) and value.is_file():
        return str(value), value.stat().st_size, value.stat().st_mtime_ns
    return value
