"""Encoding of low-resolution frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from deploy.outputs.lr_codec import LrCodec, encode_frames


@pytest.mark.parametrize("codec", ["h264:crf30", "h265:crf30"])
def test_equal_frames_make_equal_packets(tmp_path: Path, codec: str) -> None:
    """Also on CPUs with AVX-512, whose code in x264 reads memory that nothing has set."""
    pixels = np.random.default_rng(0).integers(0, 128, (180, 273, 3)).astype(np.uint8)
    pixels[::7] = 200
    frames = [np.ascontiguousarray(pixels[i // 2 : i // 2 + 120, i : i + 213]) for i in range(60)]
    encoded = set()
    for run in range(4):
        path = tmp_path / f"{run}.mkv"
        encode_frames(iter(frames), Fraction(25), LrCodec.parse(codec), path)
        with av.open(str(path)) as container:
            encoded.add(b"".join(bytes(packet) for packet in container.demux(video=0)))
    assert len(encoded) == 1
