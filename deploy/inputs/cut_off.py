"""Is a file shorter than it says? MP4 and MOV, Matroska and WebM, AVI and ASF declare lengths."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"pnot", b"sidx"}
_ASF = bytes.fromhex("3026b2758e66cf11")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_HEADER_BYTES = 1 << 16
_SLACK_BYTES = 8
"""Some AVI writers count a header of this many bytes twice."""


def missing_bytes(path: Path) -> int:
    """Number of bytes missing from a file relative to its container's size fields; 0 without such fields.

    Sources: ISO/IEC 14496-12, 4.2 (boxes); RFC 8794, 4 to 6 (EBML); Microsoft, "AVI RIFF File Reference" and "Advanced
    Systems Format Specification", 3.2 (file properties).
    """
    with path.open("rb") as file:
        head = file.read(12)
        size = path.stat().st_size
        if head[:4] == b"RIFF":
            return _behind(_end_of_chunks(file, size), size)
        if head[4:8] in _MP4_BOXES:
            return _behind(_end_of_boxes(file, size), size)
        if head[:4] == _EBML:
            return _behind(_end_of_segment(file), size)
        if head[:8] == _ASF:
            return _behind(_size_in_properties(file), size)
    return 0


def _behind(end: int, size: int) -> int:
    return end - size if end - size > _SLACK_BYTES else 0


def _end_of_chunks(file: BinaryIO, size: int) -> int:
    """Where the last whole or cut RIFF chunk ends. A length of 0 or -1 was never filled in."""
    at = end = 0
    while at < size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
        if name != b"RIFF" or length in (0, 2**32 - 1):
            break
        end = at + 8 + length
        at = end + length % 2
    return end


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    at = 0
    while at < size:
        file.seek(at)
        length, kind, long_length = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
        length = long_length if length == 1 else length
        if length < 8 or not kind.isalnum():  # the last box, which goes to the end, or no box at all
            break
        at += length
    return at


def _end_of_segment(file: BinaryIO) -> int:
    file.seek(4)
    header = _vint(file)
    file.seek(file.tell() + (header or 0))
    if header is None or file.read(4) != _SEGMENT:
        return 0
    length = _vint(file)
    return 0 if length is None else file.tell() + length


def _size_in_properties(file: BinaryIO) -> int:
    header = file.read(_HEADER_BYTES)
    at = header.find(_ASF_PROPERTIES) + 40  # after the object's name and length, and the file's name
    return int.from_bytes(header[at : at + 8], "little") if at >= 40 else 0


def _vint(file: BinaryIO) -> int | None:
    """A number of variable length; None if it means "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (1 << (7 - more)) - 1]) + file.read(more))
    return None if value == (1 << 7 * (more + 1)) - 1 else value
