"""How frames of one size are fed to a network, and how its output is mapped to their macroblocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deploy.cards.model_card import MIN_SIDE_PX, ModelCard
from deploy.core.grid import Grid
from deploy.core.resize import reduce_frame, same_shape
from deploy.prediction.feedback import Boxes
from deploy.prediction.postprocess import levels_of, read_output
from deploy.prediction.preprocess import decoded_size, fit_frame, require_frame, require_shape, to_batch
from deploy.prediction.previous import score_map

Fitting = Literal["exact", "pad"]


@dataclass(frozen=True)
class View:
    """The way of frames of one size through a model. Made by `view_of`."""

    card: ModelCard
    """Of the model, at the size of its input."""
    grid: Grid
    """Macroblocks of the prediction: the model's own, or the frame's."""
    placed_px: tuple[int, int]
    """Height and width that the frame takes in the input, from its upper left corner; the rest is padding."""
    decoded_px: tuple[int, int]
    """Height and width to decode frames in."""

    def to_input(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of the view's size, or of `decoded_px`, to the pixels that the network sees.

        Raises:
            InputError: not such a frame.
        """
        require_frame(frame)
        grid = self.card.grid
        if self.placed_px == (grid.height_px, grid.width_px):
            return fit_frame(frame, self.card)
        height, width = self.placed_px
        reduced = reduce_frame(frame, height_px=height, width_px=width, reduction=self.card.reduction)
        padded = np.empty((grid.height_px, grid.width_px, 3), np.uint8)
        padded[:] = np.rint(np.array(self.card.mean) * 255)
        padded[:height, :width] = reduced
        return padded

    def to_batch(self, pixels: NDArray[np.uint8], previous: Boxes | NDArray[np.uint8] | None = None) -> NDArray[Any]:
        """What `to_input` gave, as a batch of one.

        Args:
            pixels: what the network sees of the frame.
            previous: detections of the frame before, in pixels of the frame, or their score map, (H, W) uint8 of the
                frame's size; models without a place for them ignore it.
        """
        if not self.card.previous:
            return to_batch(pixels, self.card)
        batch: NDArray[np.uint8] = np.concatenate([pixels, self._scores(previous)[..., None]], axis=2)[None]
        return batch

    def _scores(self, previous: Boxes | NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """The score map at the size of the network's input."""
        height, width = self.placed_px
        if previous is None:
            return np.zeros((height, width), np.uint8)
        if isinstance(previous, np.ndarray):
            planes = np.repeat(previous[..., None], 3, axis=2)
            return reduce_frame(planes, height_px=height, width_px=width, reduction="area")[..., 0]
        boxes, confidence, _ = previous
        ratio = width / self.grid.width_px, height / self.grid.height_px
        return score_map(boxes * np.array(ratio * 2, np.float32), confidence, height, width)

    def read(self, output: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """The model's output of one frame to (rows, cols) importance and levels on `grid`."""
        height, width = self.placed_px
        grid = replace(self.card.grid, height_px=height, width_px=width)
        if self.card.output_kind == "logits":  # else the model has averaged last blocks over their padding as well
            output = output[:, :height, :width]
            importance, levels = read_output(output, replace(self.card, grid=grid))
        else:
            importance, levels = read_output(output, self.card)
        if self.grid == self.card.grid:
            return importance, levels
        importance = _carried(importance[: grid.rows, : grid.cols], grid, self.grid)
        return importance, levels_of(importance, self.card)


def view_of(card: ModelCard, height_px: int, width_px: int, *, lr_height: int | None, fit: Fitting) -> View:
    """How frames of a size go through a model.

    Args:
        card: of the model.
        height_px: of the frames.
        width_px: of the frames.
        lr_height: shorter side of what a model of any size sees of larger frames; None takes that of its training.
        fit: of a model of one size: "exact" takes frames of its shape; "pad" takes any, reduced to fit and padded.

    Raises:
        InputError: the model does not take such frames.
    """
    own = replace(card.grid, height_px=height_px, width_px=width_px)
    whole = height_px, width_px
    if card.any_size:
        shorter = lr_height or min(card.grid.height_px, card.grid.width_px)
        placed = _reduced(whole, min(1.0, shorter / min(whole)), MIN_SIDE_PX)
        return View(card.at(*placed), own, placed, whole)
    size = card.grid.height_px, card.grid.width_px
    if fit == "exact" or same_shape(whole, size):
        require_shape(height_px, width_px, card)
        return View(card, card.grid, size, decoded_size(height_px, width_px, card))
    ratio = min(1.0, size[0] / height_px, size[1] / width_px)
    return View(card, own, _reduced(whole, ratio, 1), whole)


def _reduced(size: tuple[int, int], ratio: float, least: int) -> tuple[int, int]:
    height, width = (min(side, max(least, round(side * ratio))) for side in size)
    return height, width


def _carried(importance: NDArray[np.float32], grid: Grid, target: Grid) -> NDArray[np.float32]:
    """Importance at the centers of another grid's blocks, linear between the centers of the predicted ones.

    Args:
        importance: (rows, cols) on `grid`.
        grid: of the frame at some size.
        target: of the same frame at another size.
    """
    by_row = _weights(grid.row_of_lr_pixel, target.row_of_lr_pixel, grid.rows, target.rows)
    by_col = _weights(grid.col_of_lr_pixel, target.col_of_lr_pixel, grid.cols, target.cols)
    carried: NDArray[np.float32] = (by_row @ importance @ by_col.T).astype(np.float32)
    return carried


def _weights(seen: NDArray[np.intp], wanted: NDArray[np.intp], num_blocks: int, num_wanted: int) -> NDArray[np.float32]:
    """(num_wanted, num_blocks) weights along one axis; both are the block of each pixel of the same picture."""
    centers = _centers(seen) / len(seen)
    places = np.interp(_centers(wanted) / len(wanted), centers, np.arange(len(centers)))
    below = np.minimum(places.astype(np.intp), max(len(centers) - 2, 0))
    above = np.minimum(below + 1, len(centers) - 1)
    weights = np.zeros((num_wanted, num_blocks), np.float32)
    rows = np.arange(len(places))
    np.add.at(weights, (rows, below), 1 - (places - below))
    np.add.at(weights, (rows, above), places - below)
    weights[len(places) :] = weights[len(places) - 1]  # a sliver has its neighbor's
    return weights


def _centers(block_of_pixel: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mean pixel position of each block that holds a pixel, from the frame's edge."""
    counts = np.bincount(block_of_pixel)
    return np.bincount(block_of_pixel, weights=np.arange(len(block_of_pixel)) + 0.5) / counts
