"""How a source is read, which frames are lost, and notes about it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal, get_args

from deploy.core.errors import InputError
from deploy.core.ranges import require_choice, require_range

Damaged = Literal["skip", "stop"]
LossKind = Literal["undecodable", "corrupt", "other_size", "cut_off", "unreadable"]

_WORDS: dict[LossKind, str] = {
    "undecodable": "frames that could not be decoded: {}",
    "corrupt": "damaged frames: {}",
    "other_size": "frames of another size or shape than the first: {}",
    "cut_off": "frames missing at the end of a truncated file: about {}",
    "unreadable": "images that could not be read: {}",
}
_MOST_PLACES = 5


@dataclass(frozen=True)
class ReadOptions:
    """How a source is read.

    Raises:
        OptionError: a negative stream, or another word for damage.
    """

    stream: int | None = None
    """Index of the video stream, as FFmpeg counts; None takes the default one, or the largest."""
    damaged: Damaged = "skip"
    """What to do about frames that are lost: leave them out and count them, or stop."""
    frame_threads: bool = True
    """Whether several frames are decoded at once: faster, but what a decoder makes up for damaged parts of frames then
    differs from run to run."""

    def __post_init__(self) -> None:
        require_range("stream", self.stream, 0)
        require_choice("damaged", self.damaged, get_args(Damaged))


DEFAULT_READING = ReadOptions()


@dataclass(frozen=True)
class Loss:
    """Frames of a source that cannot be used, for one reason."""

    kind: LossKind
    """The reason."""
    count: int
    """How many frames."""
    places: tuple[str, ...]
    """The first five: times by the container's clock, or file names."""

    def __str__(self) -> str:
        more = ", …" * (len(self.places) == _MOST_PLACES < self.count)
        return f"{_WORDS[self.kind].format(self.count)} ({'; '.join(self.places)}{more})"


class SourceReport:
    """Collects the losses of one source, and notes about it, each once.

    Args:
        name: of the source, for messages.
        damaged: "stop" raises InputError at the first loss.
    """

    def __init__(self, name: str, damaged: Damaged = "skip") -> None:
        self.name, self._damaged = name, damaged
        self._notes: dict[str, str] = {}
        self._found: dict[LossKind, tuple[int, tuple[str, ...]]] = {}
        self.gone = ""
        """Why a live stream cannot be reached any more; empty if that is not so."""

    def lose(self, kind: LossKind, place: str, count: int = 1) -> None:
        """Count frames that are lost.

        Raises:
            InputError: nothing may be lost.
        """
        before, places = self._found.get(kind, (0, ()))
        self._found[kind] = before + count, (*places, place) if len(places) < _MOST_PLACES else places
        if self._damaged == "stop":
            raise InputError(
                f"{self.name}: {Loss(kind, count, (place,))}",
                hint="Use an intact file, or skip unusable frames: --damaged skip.",
            )

    def note(self, text: str) -> None:
        """Keep a note, if it is new."""
        self.note_once(text, text)

    def note_once(self, topic: str, text: str) -> None:
        """Keep the first note about a topic."""
        self._notes.setdefault(topic, text)

    def forget_losses(self) -> None:
        """Begin to count again, for a source that is read once more."""
        self._found.clear()

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the frames that are there."""
        return tuple(self._notes.values())

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Losses so far, by reason."""
        return tuple(Loss(kind, count, places) for kind, (count, places) in self._found.items())

    def lines(self) -> list[str]:
        """Messages for the user, one line each."""
        return [f"note: {self.name}: {text}" for text in (*self.notes, *(f"left out: {loss}" for loss in self.losses))]

    def show(self) -> None:
        """Print it on standard error."""
        for line in self.lines():
            print(line, file=sys.stderr)
