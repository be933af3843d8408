"""A small real clip and shortcuts, for the tests of labeling."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.inputs.video import FrameSelection, read_frames
from labeling.detectors.centernet import DEFAULT_MODEL
from labeling.labels.label_videos import label_videos
from labeling.labels.options import LabelOptions

REPOSITORY = Path(__file__).resolve().parents[2]
# A person walks here; at LR height 80 and x3 the true frame is the crop itself.
CROP = (slice(120, 360), slice(150, 450))
SMALL = ("--height", "80", "--scale", "3", "--gap-seconds", "0.2")


def write_video(path: Path, frames: list[NDArray[np.uint8]], rate: int = 10) -> Path:
    """Write (H, W, 3) RGB frames losslessly."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def crop_clip(
    vtest: Path, path: Path, count: int = 16, start_seconds: float = 0.0, crop: tuple[slice, slice] = CROP
) -> Path:
    """A few frames of the demo clip, cut to one walking person."""
    selection = FrameSelection(start_seconds=start_seconds, stop_seconds=start_seconds + count / 10)
    frames = [np.ascontiguousarray(frame.image[crop]) for frame in read_frames(vtest, selection=selection)]
    return write_video(path, frames)


def label_three_sizes(vtest: Path, folder: Path) -> Path:
    """A dataset of three videos, of 100 x 80, of 60 x 80 and of 120 x 56 (which is its own size), a split each."""
    crops = {
        "wide": CROP,
        "tall": (slice(120, 360), slice(330, 510)),
        "small": (slice(120, 288, 3), slice(150, 510, 3)),
    }
    wide, tall, small = (
        crop_clip(vtest, folder / f"{name}.avi", count=4, start_seconds=2.0 * number, crop=crop)
        for number, (name, crop) in enumerate(crops.items())
    )
    out = folder / "dataset"
    label_videos(
        LabelOptions(train=(tall, wide), val=(small,), out=out, height=80, every=2, upscaler="edsr", device="cpu")
    )
    return out


def run_script(script: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run one of the project's scripts as a user does."""
    return subprocess.run(
        [sys.executable, str(REPOSITORY / script), *map(str, arguments)],
        cwd=cwd or REPOSITORY,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        timeout=300,
        check=False,
    )


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by relative name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def skip_without_centernet() -> None:
    """Skip the test where CenterNet's weights are not cached."""
    if not DEFAULT_MODEL.is_file():
        pytest.skip("CenterNet is not cached: python datasets/get_demo_detector.py")
