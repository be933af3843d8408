"""Does the exported file, run as deployment runs it, agree with the Paddle model, run as training ran it?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from deploy.backends.onnxruntime_backend import OnnxRuntimeBackend
from deploy.cards.model_card import ModelCard, Precision
from deploy.core.errors import WeightsError
from deploy.core.files import read_image
from deploy.core.grid import Grid
from deploy.prediction.postprocess import block_predictions, read_output
from deploy.prediction.preprocess import fit_frame, to_batch
from labeling.dataset.padding import mean_color, pad_to
from labeling.dataset.reader import read_previous
from labeling.maths.split import evenly_spaced
from paddleseg_configs.training.data.level_dataset import MacroblockLevels
from paddleseg_configs.training.models.any_size import any_size_logits
from paddleseg_configs.training.models.metrics import top_block_recall

MAX_RELATIVE_DIFFERENCE = 1e-4
"""fp32 only."""
MIN_LABEL_AGREEMENT = {"fp32": 0.999, "fp16": 0.99}
MAX_LEVEL_ERROR = 0.05
"""int8 only."""
MAX_RECALL_LOSS = 0.005

CHANCE = 0.2
"""Recall of macroblocks chosen at random."""
_HINTS = {
    "fp32": "Try another --opset, or --batch 1.",
    "fp16": "Train longer, since a barely trained model's levels lie too close together; or use fp32.",
}
_INT8 = "Networks with depthwise convolutions often lose this much (export/README.md): use fp32 or fp16."


@dataclass(frozen=True)
class Parity:
    """Agreement of two models over frames."""

    frames: int
    """Frames compared."""
    max_relative_difference: float
    """Largest difference of a logit over the largest logit: untrained models have logits of any size. Of an importance
    likewise; 0 for a file that gives levels."""
    label_agreement: float
    """Share of pixels, or of macroblocks if the file gives those, with the same level."""
    level_error: float = 0.0
    """Mean absolute difference of those levels."""
    recall_top20: float = math.nan
    """Of the 20 % most important macroblocks by the dataset's label, the share that the file finds; nan if every frame
    has one level only."""
    recall_top20_paddle: float = math.nan
    """The same for the Paddle model."""

    def __str__(self) -> str:
        recall = f"recall of the top 20 % macroblocks {self.recall_top20:.4f}, Paddle's {self.recall_top20_paddle:.4f}"
        if math.isnan(self.recall_top20):
            recall = "no recall: each frame has only one level"
        elif self.recall_top20_paddle <= CHANCE:
            recall += ", which is no better than chance"
        return (
            f"parity over {self.frames} frames: labels agree on {self.label_agreement:.6f}, by "
            f"{self.level_error:.4f} levels on average; outputs differ by {self.max_relative_difference:.1e} of the "
            f"largest; {recall}"
        )

    def figures(self) -> dict[str, float]:
        """The numbers as they go into the model card, without those that are not defined."""
        return {name: float(value) for name, value in asdict(self).items() if not math.isnan(value)}

    def enforce(self, precision: Precision = "fp32") -> None:
        """Raise WeightsError unless the two agree as well as this precision allows."""
        broken = self._broken_rules(precision)
        if broken:
            raise WeightsError(
                f"the exported model ({precision}) disagrees with the trained one: {'; '.join(broken)}. {self}",
                hint=f"Nothing was written. {_HINTS.get(precision, _INT8)}",
            )

    def _broken_rules(self, precision: Precision) -> list[str]:
        rules = []
        if precision == "fp32" and not self.max_relative_difference <= MAX_RELATIVE_DIFFERENCE:
            rules.append(f"outputs may differ by {MAX_RELATIVE_DIFFERENCE} of the largest")
        required = MIN_LABEL_AGREEMENT.get(precision)
        if required is not None and not self.label_agreement >= required:
            rules.append(f"labels must agree on {required}")
        if required is None and not self.level_error <= MAX_LEVEL_ERROR:
            rules.append(f"levels may differ by {MAX_LEVEL_ERROR} on average")
        if self.recall_top20_paddle - self.recall_top20 > MAX_RECALL_LOSS:
            rules.append(f"recall may be {MAX_RECALL_LOSS} lower")
        return rules


def measure_parity(model: Any, dataset: MacroblockLevels, onnx_file: Path, card: ModelCard, frames: int) -> Parity:
    """Compare on frames spread over a split.

    The Paddle side uses the configuration's transforms; the ONNX side the deployment backend and the preprocessing that
    the card states, so that a wrong card shows.

    Args:
        model: the Paddle model in evaluation mode.
        dataset: the split.
        onnx_file: the exported model, without a card next to it or with `card`.
        card: its model card.
        frames: maximum number of frames.
    """
    chosen = evenly_spaced(range(len(dataset)), frames)
    pairs = []
    with OnnxRuntimeBackend(model=onnx_file, card=card) as backend:
        for index in chosen:
            image, label = dataset[index]
            own = dataset.grid(index)
            fitted = card.at(own.height_px, own.width_px) if card.any_size else card
            pixels = image[:, : fitted.grid.height_px, : fitted.grid.width_px]
            expected = _as_output(_paddle_logits(model, pixels, fitted), fitted)
            found = backend.run(_batch(dataset, index, fitted))[0]
            pairs.append(_compare(found, expected, label, own, fitted))
    figures = np.array(pairs)
    largest_difference, largest = figures[:, :2].max(axis=0)
    recalls = figures[~np.isnan(figures).any(axis=1), 4:]
    return Parity(
        len(chosen),
        largest_difference / largest if largest else largest_difference,
        *figures[:, 2:4].mean(axis=0).tolist(),
        *(recalls.mean(axis=0).tolist() if len(recalls) else (math.nan, math.nan)),
    )


def _compare(
    found: NDArray[Any], expected: NDArray[Any], label: NDArray[np.int64], grid: Grid, card: ModelCard
) -> tuple[float, ...]:
    """Largest difference, largest value, label agreement, level error, and both recalls, of one frame.

    The recalls are over the blocks of `grid`: the frame's, without its padding.
    """
    levels, expected_levels = _levels(found, card), _levels(expected, card)
    truth = grid.pool(label[: grid.height_px, : grid.width_px])
    maps = [read_output(output, card)[0][: grid.rows, : grid.cols] for output in (found, expected)]
    recalls = [top_block_recall(truth, importance) for importance in maps]
    difference = 0.0 if card.output_kind == "levels" else _largest(found - expected)
    error = np.abs(levels.astype(np.int64) - expected_levels).mean()
    return difference, _largest(expected), float(np.mean(levels == expected_levels)), float(error), *recalls


def _as_output(logits: NDArray[np.float32], card: ModelCard) -> NDArray[Any]:
    """The expected output of the file for these (num_levels, H, W) logits of Paddle."""
    if card.output_kind == "logits":
        return logits
    importance, levels = block_predictions(logits, card)
    return importance if card.output_kind == "importance" else levels


def _levels(output: NDArray[Any], card: ModelCard) -> NDArray[Any]:
    """Level of each pixel for logits, otherwise of each macroblock."""
    return output.argmax(0) if card.output_kind == "logits" else read_output(output, card)[1]


def _batch(dataset: MacroblockLevels, index: int, card: ModelCard) -> NDArray[Any]:
    """One frame as deployment prepares it; twice if the file promises a free batch size, to try the promise."""
    frame = read_image(Path(dataset.file_list[index][0]))
    padded = pad_to(frame, card.grid.height_px, card.grid.width_px, mean_color(card.mean))
    batch = to_batch(fit_frame(padded, card), card)
    if card.previous:
        path = Path(dataset.file_list[index][0])
        scores = read_previous(Path(dataset.dataset_root), path, dataset.manifest)
        batch = np.concatenate([batch, scores[None, :, :, None]], axis=3)
    return np.concatenate([batch, batch]) if card.dynamic_batch else batch


def _paddle_logits(model: Any, image: NDArray[np.float32], card: ModelCard) -> NDArray[np.float32]:
    """(num_levels, H, W) logits of (3, H, W) normalized pixels."""
    with paddle.no_grad():
        if card.any_size:
            return any_size_logits(model, image)
        logits: NDArray[np.float32] = model(paddle.to_tensor(image[None]))[0].numpy()[0]
    return logits


def _largest(values: NDArray[Any]) -> float:
    """Largest magnitude; infinite for nan, so that it counts as a difference."""
    largest = float(np.abs(values).max())
    return largest if largest == largest else float("inf")
