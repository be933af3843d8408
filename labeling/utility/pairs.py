"""Read labeled frames again with their high-resolution source, and enlarge them with both methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from deploy.core.errors import InputError
from deploy.core.files import read_image
from deploy.inputs.report import ReadOptions
from deploy.inputs.sources import sha256_of_source
from deploy.inputs.video import FrameSelection
from labeling.core.frames import FramePair, FrameSize, read_pairs, to_tensor
from labeling.dataset.manifest import Manifest, SourceRecord
from labeling.dataset.reader import LabelledFrame
from labeling.upscalers.simple import interpolate
from labeling.utility.ranking_methods import Bench


@dataclass(frozen=True, eq=False)
class Enlarged:
    """One frame at the super-resolved size, (1, 3, H, W) in [0, 1]."""

    interpolated: Tensor
    sr: Tensor
    true: Tensor | None
    """None where the source is too small."""


def enlarge(pair: FramePair, bench: Bench, scale: int) -> Enlarged:
    """Interpolate and super-resolve a frame as in labeling."""
    with torch.no_grad():
        lr = to_tensor(pair.lr, bench.device)
        true = None if pair.reference is None else to_tensor(pair.reference, bench.device)
        return Enlarged(interpolate(lr, scale, bench.interpolation), bench.upscaler.upscale(lr, true), true)


def with_pairs(frames: Sequence[LabelledFrame], manifest: Manifest) -> Iterator[tuple[LabelledFrame, FramePair]]:
    """Read the selected frames as labeled, with their high-resolution source."""
    for source in manifest.sources:
        wanted = {frame.index: frame for frame in frames if frame.video_id == source.video_id}
        if not wanted:
            continue
        path = _checked_source(source)
        grid = manifest.make_grid(source.video_id)
        size = FrameSize.of(grid.height_px, grid.width_px, grid.scale, source)
        for pair in read_pairs(path, size, FrameSelection(indices=frozenset(wanted)), _reading(manifest, source)):
            frame = wanted.pop(pair.frame.index)
            yield frame, replace(pair, lr=read_image(frame.image))
            if not wanted:
                break


def _reading(manifest: Manifest, source: SourceRecord) -> ReadOptions:
    stream = manifest.options.get("stream")
    return ReadOptions(stream if isinstance(stream, int) else None, frame_threads=not source.losses)


def _checked_source(source: SourceRecord) -> Path:
    path = Path(source.path)
    if not path.exists() or sha256_of_source(path) != source.sha256:
        raise InputError(
            f"the labeled video is no longer at {path}, or has changed",
            hint="Restore it, or label again.",
        )
    return path
