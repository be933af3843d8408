"""Compare enhanced frames with their input and their references, and show the time of each stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.errors import InputError, OptionError
from deploy.core.files import read_image
from deploy.core.grid import Grid
from deploy.outputs.overlay import outline_of
from labeling.dataset.manifest import Manifest
from labeling.dataset.reader import LabelledFrame
from labeling.maths.split import evenly_spaced
from labeling.utility.pairs import with_pairs

STAGES = ("decode", "predict", "select", "regions", "pack", "network", "paste")
_MOST_FRAMES = 3
_WHOLE_WIDTH_PX = 384
_HINT = "Run deploy/enhance.py with --frames png on the video of the dataset, at the height of its frames."
Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class SideBySide:
    """One frame in several versions."""

    title: str
    """Which frame."""
    whole: Mapping[str, Rgb]
    """Caption -> the frame, made small."""
    detail: Mapping[str, Rgb]
    """Caption -> the part with most of the selected macroblocks, pixel by pixel."""


def side_by_side(enhanced: Path, whole: Path, manifest: Manifest, frames: Sequence[LabelledFrame]) -> list[SideBySide]:
    """Some enhanced frames: LR, selection, enhanced, super-resolved as a whole, and original.

    Args:
        enhanced: folder of ``deploy/enhance.py --frames png``.
        whole: output folder of the same command with ``--budget 100%``.
        manifest: manifest of a dataset of the same video.
        frames: frames of the dataset to choose from.

    Raises:
        InputError: a folder is not an output folder, or the video is missing.
        OptionError: the dataset has several videos; results do not record theirs.
    """
    if len(manifest.sources) != 1:
        raise OptionError(
            f"--enhanced {enhanced} is of one video, the dataset has {len(manifest.sources)}", hint="Leave it out."
        )
    grid, selected = _selections(enhanced)
    wanted = manifest.make_grid()
    if (grid.height_px, grid.width_px, grid.scale) != (wanted.height_px, wanted.width_px, wanted.scale):
        raise InputError(
            f"{enhanced} holds frames of {grid.width_px} x {grid.height_px}, x{grid.scale}, the dataset those of "
            f"{wanted.width_px} x {wanted.height_px}, x{wanted.scale}",
            hint=_HINT,
        )
    known = evenly_spaced([frame for frame in frames if frame.index in selected], _MOST_FRAMES)
    if not known:
        raise InputError(f"{enhanced} holds no frame of the split that is shown", hint=_HINT)
    found = []
    for frame, pair in with_pairs(known, manifest):
        mask, name = selected[frame.index], f"enhanced/{frame.index:06d}.png"
        pictures = {
            "LR frame": pair.lr.repeat(grid.scale, axis=0).repeat(grid.scale, axis=1),
            f"selection, {mask.mean():.0%} of the blocks": _selection(pair.lr, mask, grid),
            "enhanced": read_image(enhanced / name),
            "whole-frame SR": read_image(whole / name),
        }
        if pair.reference is not None:
            pictures["true frame"] = pair.reference
        part = _part(mask, grid)
        found.append(
            SideBySide(
                f"{frame.video_id}, frame {frame.index}",
                {caption: _small(picture) for caption, picture in pictures.items()},
                {caption: picture[part] for caption, picture in pictures.items()},
            )
        )
    return found


def time_table(enhanced: Mapping[str, Any], whole: Mapping[str, Any]) -> list[tuple[str, float | None, float | None]]:
    """Median milliseconds per frame, by stage and in total, for enhanced frames and whole frames.

    Args:
        enhanced: contents of latency.json.
        whole: the same for a run with ``--budget 100%``.
    """
    columns = [
        [run["stages"].get(stage, {}).get("p50_ms") for stage in STAGES] + [_sum(run["stages"])]
        for run in (enhanced, whole)
    ]
    return list(zip((*STAGES, "together"), *columns, strict=True))


def _sum(stages: Mapping[str, Mapping[str, float]]) -> float:
    return sum(stages[stage]["p50_ms"] for stage in STAGES if stage in stages)


def _selections(folder: Path) -> tuple[Grid, dict[int, NDArray[np.bool_]]]:
    """Read the grid of a run, and the selected macroblocks by frame index."""
    path = folder / "blocks.jsonl"
    try:
        first, *lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        grid = Grid(first["height_px"], first["width_px"], block_px=first["block_px"], scale=first["scale"])
        selected = {}
        for line in lines:
            mask = np.zeros((grid.rows, grid.cols), np.bool_)
            for left, top, _, _ in line["blocks"]:
                mask[top // grid.block_px, left // grid.block_px] = True
            selected[int(line["index"])] = mask
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"cannot read {path}: {error}", hint=_HINT) from None
    return grid, selected


def _selection(lr: Rgb, mask: NDArray[np.bool_], grid: Grid) -> Rgb:
    """Enlarge the frame and darken the blocks that are not selected."""
    enlarged = lr.repeat(grid.scale, axis=0).repeat(grid.scale, axis=1)
    pixels = grid.upsample_to_sr(mask)
    picture = np.where(pixels[..., None], enlarged, enlarged // 3)
    picture[outline_of(pixels)] = 255
    return picture


def _part(mask: NDArray[np.bool_], grid: Grid) -> tuple[slice, slice]:
    """Rows and columns, in SR pixels, of the window of the LR frame's size with the most selected blocks."""
    height, width = max(1, grid.rows // grid.scale), max(1, grid.cols // grid.scale)
    corners = [(row, col) for row in range(grid.rows - height + 1) for col in range(grid.cols - width + 1)]
    top, left = max(corners, key=lambda at: int(mask[at[0] : at[0] + height, at[1] : at[1] + width].sum()))
    side = grid.block_px * grid.scale
    return slice(top * side, (top + height) * side), slice(left * side, (left + width) * side)


def _small(picture: Rgb) -> Rgb:
    height, width = picture.shape[:2]
    size = _WHOLE_WIDTH_PX, max(1, round(height * _WHOLE_WIDTH_PX / width))
    return (
        picture if width <= _WHOLE_WIDTH_PX else np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    )
