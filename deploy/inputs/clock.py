"""Times that only go forward, from packets and frames as containers have them."""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush

REORDER_LIMIT = 32
"""Maximum number of frames sent to a decoder after a frame and shown before it: 16 for H.264 and HEVC."""


class Clock:
    """Makes times strictly increasing.

    A time that is later than the last is taken as it is. Where the clock goes back (recordings that were joined), times
    go on by the frame interval from the last one, at the new clock's pace, until its times are later again. Before the
    first time that is known they count from 0, and that one goes on from there.

    Args:
        interval: seconds between two frames, for those without a time and where the clock goes back.
    """

    def __init__(self, interval: Fraction) -> None:
        self._interval, self._offset = interval, Fraction(0)
        self._base: Fraction | None = None
        self._last: Fraction | None = None

    def __call__(self, seconds: Fraction | None) -> Fraction:
        """The time of the next frame, given the container's time or None."""
        self._last = self._next(seconds)
        return self._last

    def _next(self, seconds: Fraction | None) -> Fraction:
        if seconds is None:
            return Fraction(0) if self._last is None else self._last + self._interval
        if self._base is None:
            self._base = Fraction(0) if self._last is None else self._last + self._interval - seconds
        own = seconds + self._base if self._base else seconds
        if self._last is None or own > self._last:
            self._offset = Fraction(0)
            return own
        if own + self._offset <= self._last:
            self._offset = self._last + self._interval - own
        return own + self._offset


class PacketLedger:
    """Which packets gave a frame, and which time each frame has.

    Times are in the stream's units.

    Args:
        in_decoding_order: the container's times may be those of decoding, though frames are shown in another order. As
            long as the packets' times only increase, the frames that are shown take the earliest that is left.
    """

    def __init__(self, *, in_decoding_order: bool) -> None:
        self._times: list[int] | None = [] if in_decoding_order else None
        """A heap of the times that no frame has yet; None where packets have the times of showing."""
        self._latest: int | None = None
        self._pending: dict[int, int] = {}
        """Time of each packet that gave no frame yet -> its number, in the order sent."""
        self._sent = self._newest = 0

    def sent(self, time: int | None) -> None:
        """A packet of this time goes into the decoder."""
        if time is None:
            return
        self._sent += 1
        self._pending.pop(time, None)
        self._pending[time] = self._sent
        if self._times is not None and (self._latest is None or time > self._latest):
            heappush(self._times, time)
        else:
            self._times = None
        self._latest = time

    def came(self, time: int | None) -> int | None:
        """The decoder shows the frame of the packet of this time: its time to show."""
        if time is not None:
            self._newest = max(self._newest, self._pending.pop(time, 0))
        return time if not self._times else heappop(self._times)

    def overdue(self, *, at_end: bool = False) -> list[int]:
        """Times of the packets of which no frame can come any more; each is named once."""
        lost = []
        while self._pending:
            time, number = next(iter(self._pending.items()))
            if not at_end and number >= self._newest - REORDER_LIMIT:
                break
            del self._pending[time]
            lost.append(time)
            if self._times:
                heappop(self._times)
        return lost

    @property
    def lacks_its_tail(self) -> bool:
        """Whether one of the last packets gave no frame."""
        return any(number > self._sent - 2 * REORDER_LIMIT for number in self._pending.values())
