"""All methods to rank the macroblocks of a frame."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deploy.core.errors import DatasetError, OptionError
from deploy.core.files import read_image, sha256_of
from deploy.core.grid import Grid
from deploy.core.resize import same_shape
from deploy.detectors.matching import Boxes
from deploy.prediction.predictor import Predictor
from deploy.prediction.rankings import box_ranking, difference_ranking, edge_ranking, grown_box_ranking, shuffle_ties
from labeling.dataset.manifest import Manifest
from labeling.dataset.padding import mean_color, pad_to
from labeling.dataset.reader import FrameKey, LabelledFrame, read_levels, read_previous, read_split
from labeling.detectors import Detector
from labeling.maths.split import SPLITS
from labeling.upscalers import Upscaler

Rankings = Mapping[str, NDArray[np.float64]]
GROWTH_PX = (32, 64)
"""By how much boxes are grown for more baselines, in SR pixels."""
LOOKING_BACK = " + previous detections"
"""Ends the name of a predictor that was given those of the frame before."""
_OWN = ("importance", "label")
_BASELINES = ("|SR - IN|", "edges", "detector boxes", "random")
_MORE_BASELINES = [*(f"boxes + {px} px" for px in GROWTH_PX), "label of the frame before"]


@dataclass(frozen=True)
class Bench:
    """The loaded detector and upscaler of a dataset."""

    manifest: Manifest
    detector: Detector
    upscaler: Upscaler
    interpolation: Literal["bicubic", "bilinear"]
    device: str


@dataclass(frozen=True)
class Rankers:
    """All methods to rank the blocks of a frame.

    Raises:
        OptionError: two methods have the same name.
    """

    bench: Bench
    predictors: Mapping[str, Predictor]
    frames_before: Mapping[FrameKey, LabelledFrame] | None
    """For more baselines; None leaves those out."""
    other_labels: Mapping[str, Mapping[FrameKey, LabelledFrame]]
    """Name -> the frames of another dataset of the same videos."""

    def __post_init__(self) -> None:
        names = [*_OWN, *_BASELINES, *_MORE_BASELINES, *self.other_labels, *self.predictors]
        for name in names:
            if names.count(name) > 1:
                raise OptionError(f"two rankings have the name {name!r}", hint="Use NAME=PATH with another name.")

    def identities(self) -> dict[str, str]:
        """Identity of every method by name: models of the same name with different content are different methods."""
        names = [*_OWN, *self.other_labels, *self.predictors, *_BASELINES]
        names += [] if self.frames_before is None else _MORE_BASELINES
        names += [name + LOOKING_BACK for name, predictor in self.predictors.items() if self._looks_back(predictor)]
        made_of = {name: sha256_of(predictor.path) for name, predictor in self.predictors.items()}
        made_of |= {name + LOOKING_BACK: made_of[name] for name in self.predictors}
        made_of |= {name: _hash_of(frames) for name, frames in self.other_labels.items()}
        return {name: f"{name} {made_of[name]}" if name in made_of else name for name in names}

    def rank(self, frame: LabelledFrame, interpolated: Tensor, sr: Tensor, found: Boxes) -> Rankings:
        """Rank the blocks by every method. Ties are broken at random, in the same way on every run.

        Args:
            frame: a frame of the dataset.
            interpolated: (3, H, W) the IN frame.
            sr: (3, H, W) the SR frame.
            found: detections on the interpolated frame.
        """
        grid = self.bench.manifest.make_grid(frame.video_id)
        arrays, image = (interpolated.cpu().numpy(), sr.cpu().numpy()), read_image(frame.image)
        rankings: dict[str, NDArray[np.generic]] = {
            "importance": frame.importance,
            "label": read_levels(frame, self.bench.manifest),
        }
        for name, frames in self.other_labels.items():
            if frame.key not in frames:
                raise DatasetError(
                    f"{name} lacks frame {frame.index} of {frame.video_id}", hint="Label it in that dataset, too."
                )
            rankings[name] = frames[frame.key].importance
        for name, predictor in self.predictors.items():
            rankings[name] = predicted_on(grid, image, predictor)
            if self._looks_back(predictor):
                scores = read_previous(frame.image.parents[2], frame.image, self.bench.manifest)
                rankings[name + LOOKING_BACK] = predicted_on(grid, image, predictor, scores)
        rankings |= {
            "|SR - IN|": difference_ranking(*arrays, grid),
            "edges": edge_ranking(arrays[0], grid),
            "detector boxes": box_ranking(found.boxes, grid),
            "random": np.zeros((grid.rows, grid.cols)),
        }
        if self.frames_before is not None:
            rankings |= {f"boxes + {px} px": grown_box_ranking(found.boxes, grid, px) for px in GROWTH_PX}
            rankings["label of the frame before"] = self._label_before(frame)
        return {name: shuffle_ties(ranking, (frame.index, _seed(name))) for name, ranking in rankings.items()}

    def _looks_back(self, predictor: Predictor) -> bool:
        """Whether a predictor takes the previous frame's detections and the dataset has them."""
        return predictor.card.previous and self.bench.manifest.previous is not None

    def _label_before(self, frame: LabelledFrame) -> NDArray[np.uint8]:
        before = (self.frames_before or {}).get(frame.key)
        if before is None:
            return np.zeros(frame.importance.shape, np.uint8)
        return read_levels(before, self.bench.manifest)


def predicted_on(
    grid: Grid, image: NDArray[np.uint8], predictor: Predictor, previous: NDArray[np.uint8] | None = None
) -> NDArray[np.float32]:
    """Predict the importance of a frame, on the frame's own grid.

    Args:
        grid: grid of the frame.
        image: (H, W, 3) uint8 RGB, of that size.
        predictor: of any size; of this aspect ratio, which it scales as in deployment; or of larger frames, to which
            this one is padded as in its training.
        previous: score map of the previous frame's detections, for predictors that take it.
    """
    card = predictor.card
    if card.any_size:
        prediction = predictor(image, previous=previous)
        return on_grid(prediction.importance, replace(prediction.grid, scale=grid.scale), grid)
    if same_shape((card.grid.height_px, card.grid.width_px), image.shape[:2]):
        return on_grid(predictor(image).importance, card.grid, grid)
    padded = pad_to(image, card.grid.height_px, card.grid.width_px, mean_color(card.mean))
    importance = predictor(padded).importance
    return grid.pool(card.grid.upsample(importance)[: grid.height_px, : grid.width_px])


def on_grid(importance: NDArray[np.float32], grid: Grid, target: Grid) -> NDArray[np.float32]:
    """Resample importance to another grid on the same picture at any size: area-weighted means.

    Args:
        importance: (rows, cols) of `grid`.
        grid: the source grid.
        target: the target grid.
    """
    if grid == target:
        return importance
    rows = ((np.arange(target.height_px) + 0.5) * grid.height_px / target.height_px).astype(np.intp)
    cols = ((np.arange(target.width_px) + 0.5) * grid.width_px / target.width_px).astype(np.intp)
    return target.pool(grid.upsample(importance)[rows[:, None], cols])


def frames_before(dataset: Path, manifest: Manifest) -> dict[FrameKey, LabelledFrame]:
    """Map (video, index) of each labeled frame but the first to the previous labeled frame, of any split."""
    frames = [frame for split in SPLITS for frame in read_split(dataset, manifest, split)]
    frames.sort(key=lambda frame: (frame.video_id, frame.index))
    neighbours = itertools.pairwise(frames)
    return {after.key: before for before, after in neighbours if before.video_id == after.video_id}


def _seed(name: str) -> int:
    """Seed for breaking a method's ties, independent of the other methods."""
    return zlib.crc32(name.encode())


def _hash_of(frames: Mapping[FrameKey, LabelledFrame]) -> str:
    """Hash of the importance of all frames."""
    digest = hashlib.sha256()
    for key in sorted(frames):
        digest.update(repr(key).encode() + frames[key].importance.tobytes())
    return digest.hexdigest()
