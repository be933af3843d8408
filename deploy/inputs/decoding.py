"""Decodes packets to frames in presentation order; the only source of positions, times and losses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.error import FFmpegError

from deploy.core.errors import InputError
from deploy.inputs.clock import Clock, PacketLedger
from deploy.inputs.containers import frame_rate
from deploy.inputs.orientation import display_matrix, is_quarter_turn
from deploy.inputs.report import LossKind, SourceReport
from deploy.inputs.upright import HDR_TRANSFERS

_IN_DECODING_ORDER = ("avi", "asf")
"""Containers that know the time of decoding alone."""
_SILENT = ("h264", "hevc", "vvc")
"""Decoders that drop frames whose references are missing without an error. Each of their packets is a frame."""
_HIDING = ("vp8", "vp9", "av1")
"""Codecs with packets that are never shown."""
_DEEP_GRAY = ("gray14", "gray16", "grayf", "ya16")

Timed = tuple[Fraction, av.VideoFrame]
"""A frame and its strictly increasing time by the container's clock, in seconds."""


class PacketDecoder:
    """Decodes one stream. What gives no frame, or a damaged one, is counted and left out.

    Args:
        stream: the stream, not decoded yet.
        container_format: FFmpeg's name of the container.
        report: where losses and notes go.

    Raises:
        InputError: while decoding: a loss that is not allowed, or pixels that cannot be used.
    """

    def __init__(self, stream: av.VideoStream, container_format: str, report: SourceReport) -> None:
        self._stream, self._codec, self._report = stream, stream.codec_context, report
        self._reorders = container_format in _IN_DECODING_ORDER
        # A gap in the numbers of a transport stream's packets says nothing of this frame: recordings may be joined.
        self._flags_are_true = container_format != "mpegts"
        self._ledger = PacketLedger(in_decoding_order=self._reorders and self._codec.reorder_depth > 0)
        self._clock, self._last = Clock(1 / frame_rate(stream)), Fraction(0)
        self._unit_seconds = stream.time_base or Fraction(1)
        self._is_silent, self._hides = self._codec.name in _SILENT, self._codec.name in _HIDING
        self._is_interlaced = False
        self._looked_at: tuple[object, ...] = ()
        self.num_frames = 0
        """Frames that came, and those of which it is known that they are lost."""
        self.lacks_its_tail = False
        """At the end: whether an error swallowed frames that wait in the decoder's threads."""

    def packets(self, container: av.container.InputContainer) -> Iterator[av.Packet[av.VideoStream]]:
        """The stream's packets from a file. A place that cannot be read is counted and passed over."""
        goes_on = True
        while goes_on:
            goes_on = False
            try:
                for packet in container.demux(self._stream):
                    goes_on = True
                    yield packet
                return
            except FFmpegError:
                self._lose_one()

    def frames(self, packets: Iterable[av.Packet[av.VideoStream]]) -> Iterator[Timed]:
        """Decode packets to the last frame."""
        for packet in packets:
            if packet.size:
                yield from self._timed(self._decode(packet))
        yield from self._timed(self._decode(None))
        self.lacks_its_tail = self._ledger.lacks_its_tail and not self._is_interlaced
        self._count_overdue(at_end=True)

    def _decode(self, packet: av.Packet[av.VideoStream] | None) -> list[av.VideoFrame]:
        if packet is not None:
            if packet.is_corrupt and self._flags_are_true:
                self._lose("corrupt", self._place(packet.pts))
                return []
            if self._reorders and packet.pts is None:
                packet.pts = packet.dts
            if not packet.is_discard and not self._hides:
                self._ledger.sent(packet.pts)
        try:
            return self._codec.decode(packet)
        except FFmpegError:
            if not self._is_silent or packet is None or packet.pts is None:  # otherwise its packet would be overdue
                self._lose_one()
            return []

    def _timed(self, frames: list[av.VideoFrame]) -> Iterator[Timed]:
        for decoded in frames:
            time = self._ledger.came(decoded.pts)
            seconds = self._clock(None if time is None else time * self._unit_seconds)
            self._look_at(decoded)
            self._count_overdue()
            if decoded.is_corrupt:
                self._lose("corrupt", f"{float(seconds):.3f} s")
                continue
            self.num_frames += 1
            self._last = seconds
            yield seconds, decoded

    def _count_overdue(self, *, at_end: bool = False) -> None:
        for time in self._ledger.overdue(at_end=at_end):
            if self._is_silent:
                self._lose("undecodable", self._place(time))

    def _lose_one(self) -> None:
        self._lose("undecodable", self._place(None))

    def _lose(self, kind: LossKind, place: str) -> None:
        self.num_frames += 1
        self._report.lose(kind, place)

    def _place(self, time: int | None) -> str:
        if time is None:
            return f"after {float(self._last):.3f} s"
        return f"{float(time * self._unit_seconds):.3f} s"

    def _look_at(self, decoded: av.VideoFrame) -> None:
        """Note what is special, when a frame is another kind than the one before."""
        matrix = display_matrix(decoded)
        kind = decoded.format.name, decoded.interlaced_frame, decoded.color_trc, matrix
        if kind == self._looked_at:
            return
        self._looked_at = kind
        if decoded.format.name.startswith(_DEEP_GRAY):
            raise InputError(
                f"{self._report.name}: its pixels are {decoded.format.name}, not 8 bits per channel",
                hint="Convert it to 8 bits, choosing LOW and HIGH: ffmpeg -i INPUT -vf "
                "\"lutyuv=y='(val-LOW)*65535/(HIGH-LOW)',format=gray\" -c:v ffv1 OUTPUT.mkv",
            )
        if decoded.interlaced_frame:
            self._is_interlaced, self._is_silent = True, False  # two packets may be one frame
            self._report.note("interlaced, not deinterlaced; to do so: ffmpeg -i INPUT -vf bwdif OUTPUT")
        if decoded.color_trc in HDR_TRANSFERS:
            self._report.note(f"HDR ({HDR_TRANSFERS[decoded.color_trc]}) is converted to BT.709 colors")
        if matrix and not is_quarter_turn(matrix):
            self._report.note("its display matrix is not a multiple of 90 degrees and is ignored")
