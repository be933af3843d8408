"""Does the exported file, run as deployment runs it, agree with the Paddle model, run as training ran it?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray

from deploy.backends.onnxruntime_backend import OnnxRuntimeBackend
from deploy.core.errors import WeightsError
from deploy.core.files import read_image
from deploy.model_card import ModelCard
from deploy.preprocess import to_input
from paddleseg_configs.training.level_dataset import MacroblockLevels

MAX_RELATIVE_DIFFERENCE = 1e-4
MIN_LABEL_AGREEMENT = 0.999


@dataclass(frozen=True)
class Parity:
    """Agreement of two models over frames."""

    frames: int
    """Frames compared."""
    max_relative_difference: float
    """Largest difference of a logit over the largest logit: untrained models have logits of any size."""
    label_agreement: float
    """Share of pixels with the same level."""

    def __str__(self) -> str:
        return (
            f"parity over {self.frames} frames: labels agree on {self.label_agreement:.6f} of the pixels, "
            f"logits differ by {self.max_relative_difference:.1e} of the largest"
        )

    def figures(self) -> dict[str, float]:
        """The numbers as they go into the model card."""
        return {name: float(value) for name, value in asdict(self).items()}

    def enforce(self) -> None:
        """Raise WeightsError unless the two agree."""
        close = self.max_relative_difference <= MAX_RELATIVE_DIFFERENCE
        if not (close and self.label_agreement >= MIN_LABEL_AGREEMENT):
            raise WeightsError(
                f"the exported model disagrees with the trained one: {self}; at least {MIN_LABEL_AGREEMENT} and at "
                f"most {MAX_RELATIVE_DIFFERENCE} are required",
                hint="Nothing was written. Try another --opset or --batch 1.",
            )


def measure_parity(model: Any, dataset: MacroblockLevels, onnx_file: Path, card: ModelCard, frames: int) -> Parity:
    """Compare on frames spread over a split.

    The Paddle side uses the configuration's transforms; the ONNX side the deployment backend and the preprocessing that
    the card states, so that a wrong card shows.

    Args:
        model: the Paddle model in evaluation mode.
        dataset: the split.
        onnx_file: the exported model, without a card beside it or with `card`.
        card: its model card.
        frames: at most so many frames.
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, frames).round().astype(int)).tolist()
    difference, scale, agreements = 0.0, 0.0, []
    with OnnxRuntimeBackend(model=onnx_file, card=card) as backend:
        for index in chosen:
            expected = _paddle_logits(model, dataset[index][0])
            found = backend.run(_batch(dataset, index, card))[:1]
            difference = max(difference, _largest(found - expected))
            scale = max(scale, _largest(expected))
            agreements.append(float(np.mean(found.argmax(1) == expected.argmax(1))))
    relative = difference / scale if scale else difference
    return Parity(len(chosen), relative, float(np.mean(agreements)))


def _batch(dataset: MacroblockLevels, index: int, card: ModelCard) -> NDArray[np.float32]:
    """One frame as deployment prepares it; twice if the file promises a free batch size, to try the promise."""
    batch = to_input(read_image(Path(dataset.file_list[index][0])), card)
    return np.concatenate([batch, batch]) if card.dynamic_batch else batch


def _paddle_logits(model: Any, image: NDArray[np.float32]) -> NDArray[np.float32]:
    with paddle.no_grad():
        logits: NDArray[np.float32] = model(paddle.to_tensor(image[None]))[0].numpy()
    return logits


def _largest(values: NDArray[np.float32]) -> float:
    """Largest magnitude; infinite for nan, so that it counts as a difference."""
    largest = float(np.abs(values).max())
    return largest if largest == largest else float("inf")
