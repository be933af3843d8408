"""Equal frames make equal videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.outputs.lr_codec import LrCodec, encode_frames
from deploy.outputs.video_writer import VideoWriter


def moving_frames(count: int) -> list[NDArray[np.uint8]]:
    """(120, 213, 3) each: at this size, code for AVX-512 in x264 reads memory that nothing has set."""
    pixels = np.random.default_rng(0).integers(0, 128, (120 + count, 213 + count, 3)).astype(np.uint8)
    pixels[::7] = 200
    return [np.ascontiguousarray(pixels[i // 2 : i // 2 + 120, i : i + 213]) for i in range(count)]


@pytest.mark.parametrize("codec", ["h264:crf30", "h265:crf30"])
def test_equal_frames_make_equal_packets(tmp_path: Path, codec: str) -> None:
    frames, encoded = moving_frames(60), set()
    for run in range(4):
        path = tmp_path / f"{run}.mkv"
        encode_frames(iter(frames), Fraction(25), LrCodec.parse(codec), path)
        with av.open(str(path)) as container:
            encoded.add(b"".join(bytes(packet) for packet in container.demux(video=0)))
    assert len(encoded) == 1


def test_equal_frames_make_equal_files(tmp_path: Path) -> None:
    frames = moving_frames(300)
    for run in range(6):
        with VideoWriter(tmp_path / f"{run}.mp4", frame_rate=Fraction(10)) as writer:
            for number, frame in enumerate(frames):
                writer.write(frame, pts_seconds=Fraction(number, 10))
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
