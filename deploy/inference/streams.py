"""The streams of a run: opened where an interrupted run stopped, decoded ahead in threads, merged in order of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from deploy.core.errors import InputError
from deploy.core.interrupts import on_interrupt
from deploy.core.progress import track
from deploy.inference.background import Ahead
from deploy.inputs.frame import Fit, Frame, FrameSelection
from deploy.inputs.live import is_live
from deploy.inputs.options import SourceOptions
from deploy.inputs.sources import FrameSource, open_source
from deploy.outputs.going_on import Kept, keep_files, keep_live

DEPTH = 4
"""Frames that may wait between two stages."""


class Work(Protocol):
    """One frame of one stream."""

    @property
    def stream(self) -> int:
        """Position of its stream on the command line."""
        ...

    @property
    def frame(self) -> Frame:
        """The frame with its times."""
        ...


SomeWork = TypeVar("SomeWork", bound=Work)


def keep(
    names: Sequence[str], folders: Sequence[Path], segment: Fraction | None, window: Fraction | None
) -> list[Kept]:
    """What an interrupted run left of each input that stays; the rest is removed from its folder."""
    files = [folder for name, folder in zip(names, folders, strict=True) if not is_live(name)]
    of_files = iter(keep_files(files, segment, window))
    return [
        keep_live(folder, segment) if is_live(name) else next(of_files)
        for name, folder in zip(names, folders, strict=True)
    ]


def open_streams(
    options: SourceOptions, fits: Sequence[Fit], kept: Sequence[Kept], say: Callable[[str], None]
) -> list[FrameSource]:
    """Open every input behind what is kept of it.

    Raises:
        InputError: one cannot be read.
    """
    sources = []
    for name, fit, done in zip(options.input, fits, kept, strict=True):
        source = open_source(name, _left(options.selection, done, is_live=is_live(name)), fit, options.reading)
        if done.seconds:
            say(f"{source.report.name}: resuming at {float(done.seconds)} s")
        sources.append(_numbered_on(source, done) if source.is_live else source)
    return sources


def _left(selection: FrameSelection, done: Kept, *, is_live: bool) -> FrameSelection:
    """What is left of a selection. The clock of a live stream begins anew with each connection."""
    start, stop = float(done.seconds), selection.stop_seconds
    if not is_live or not start:
        return replace(selection, start_seconds=max(selection.start_seconds, start))
    return replace(selection, start_seconds=0.0, stop_seconds=None if stop is None else max(stop - start, 1e-3))


def _numbered_on(source: FrameSource, done: Kept) -> FrameSource:
    frames = (
        replace(frame, index=frame.index + done.next_index, pts_seconds=frame.pts_seconds + done.seconds)
        for frame in source.frames
    )
    return replace(source, frames=frames)


def require_all_there(sources: Sequence[FrameSource]) -> None:
    """Raise InputError if a live stream is gone. The others have gone on to their end, and everything is written."""
    gone = [f"{source.report.name} ({source.report.gone})" for source in sources if source.report.gone]
    if gone:
        raise InputError(
            f"gone, and not back after several tries: {', '.join(gone)}",
            hint="What came before is kept. Run the same command again when the stream is back to resume.",
        )


class Streams(Generic[SomeWork]):
    """Sources that are decoded ahead, each in a thread. Iterating gives their frames, merged in order of time.

    Use it as a context. Where a source is live, Ctrl-C ends all of them: it is the only end that they have.

    Args:
        sources: of the streams, in the order of the command line.
        decode: gives the frames of one source; called with its position, it runs in the source's thread.
        label: what is going on, for the progress.
    """

    def __init__(
        self, sources: Sequence[FrameSource], decode: Callable[[int, FrameSource], Iterator[SomeWork]], label: str
    ) -> None:
        self._sources, self._label, self._stack = sources, label, ExitStack()
        self._ahead = [
            Ahead(decode(position, source), DEPTH, drop_oldest=source.is_live)
            for position, source in enumerate(sources)
        ]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if any(source.is_live for source in self._sources):
                stack.enter_context(on_interrupt(self._stop))
            for ahead in self._ahead:
                stack.enter_context(ahead)
            self._stack = stack.pop_all()
        return self

    def __iter__(self) -> Iterator[SomeWork]:
        merged = heapq.merge(*self._ahead, key=lambda work: (work.frame.seconds, work.stream))
        counts = [source.num_frames for source in self._sources]
        return track(merged, total=sum(counts) if all(counts) else 0, label=self._label)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def num_dropped(self) -> int:
        """Live frames that nobody took in time, so far."""
        return sum(ahead.num_dropped for ahead in self._ahead)

    def num_waiting(self, stream: int) -> int:
        """Decoded frames of one stream that wait now."""
        return self._ahead[stream].num_waiting

    def _stop(self) -> None:
        for source, ahead in zip(self._sources, self._ahead, strict=True):
            source.stop.set()
            ahead.stop()
