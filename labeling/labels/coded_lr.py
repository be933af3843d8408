"""Low-resolution frames with coding artifacts, as from a camera: the reduced video is encoded and decoded again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deploy.core.progress import track
from deploy.core.resize import Reduction
from deploy.inputs.report import ReadOptions
from deploy.inputs.video import FrameSelection, VideoInfo
from deploy.outputs.lr_codec import LrCodec, encode_frames
from labeling.core.frames import FrameSize, LrStream, read_pairs


def encode_lr(
    info: VideoInfo,
    size: FrameSize,
    selection: FrameSelection,
    reading: ReadOptions,
    reduction: Reduction,
    codec: LrCodec,
    path: Path,
) -> LrStream:
    """Encode every frame of a video between start and stop at low resolution, unless the file exists.

    Args:
        info: record of the video.
        size: size of the low-resolution frame.
        selection: start and stop; every frame in between is encoded.
        reading: how the video is read.
        reduction: how frames are reduced.
        codec: how they are encoded.
        path: the file to write, atomically. Encoding uses one thread: equal frames give equal bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    indices = [n for n, seconds in enumerate(info.seconds) if n not in info.unusable and selection.takes(n, seconds)]
    if not path.exists():
        pairs = read_pairs(info.path, replace(size, has_reference=False), selection, reading, reduction=reduction)
        frames = track(pairs, total=len(indices), label=f"encoding {info.path.stem}")
        encode_frames((pair.lr for pair in frames), info.frame_rate, codec, path)
    return LrStream(path, {index: position for position, index in enumerate(indices)})
