"""The importance predictor as three lines of Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.selection import AUTO, create_backend
from deploy.cards.model_card import read_card
from deploy.core.closeable import Closing
from deploy.core.errors import WeightsError
from deploy.core.grid import Grid
from deploy.prediction.postprocess import read_output
from deploy.prediction.preprocess import fit_frame, to_batch


@dataclass(frozen=True)
class Prediction:
    """What the network says of one frame. The arrays are the caller's."""

    importance: NDArray[np.float32]
    """(rows, cols) float32 in [0, 1]: the importance map."""
    levels: NDArray[np.uint8]
    """(rows, cols) uint8 in 0..num_levels - 1: the most probable importance level."""
    grid: Grid
    """Which pixels of the model's input each macroblock covers."""

    def __repr__(self) -> str:
        return f"Prediction(importance={self.importance.shape}, levels={self.levels.shape}, grid={self.grid})"


class Predictor(Closing):
    """Predicts the importance of every macroblock of a frame.

    >>> frame = np.zeros((1080, 1920, 3), np.uint8)  # RGB; here for a model of 360 x 640
    >>> with Predictor("model.onnx") as predictor:
    ...     prediction = predictor(frame)
    >>> prediction.importance.shape
    (23, 40)

    Args:
        model_path: the .onnx file; its model card, a .json of the same name, lies beside it.
        backend: "auto" or a backend's name.
        threads: CPU threads; None takes one a CPU of this process.
        spinning: idle threads poll for work: faster on an idle machine, slower beside busy neighbours.

    Raises:
        WeightsError: the model or its card is missing, broken, or they differ.
        OptionError: unknown backend, or less than one thread.
    """

    def __init__(
        self, model_path: str | Path, backend: str = AUTO, threads: int | None = None, *, spinning: bool = False
    ) -> None:
        model = Path(model_path)
        if not model.is_file():
            raise WeightsError(f"model not found: {model}", hint="Give the .onnx file that export wrote.")
        self.path = model
        self.card = read_card(model)
        self.backend, reason = create_backend(backend, model=model, card=self.card, threads=threads, spinning=spinning)
        self.backend_report = f"{self.backend.description}: {reason}"

    def __call__(self, frame: NDArray[np.uint8]) -> Prediction:
        """Predict one frame.

        Args:
            frame: (H, W, 3) uint8 RGB. Another size than the model's is scaled by area filtering.

        Raises:
            InputError: not such a frame, or its aspect ratio is more than 2 % off the model's.
        """
        return self.postprocess(self.backend.run(self.preprocess(frame)))

    def preprocess(self, frame: NDArray[np.uint8]) -> NDArray[Any]:
        """The first step: (H, W, 3) uint8 RGB of any size to the model's input, (1, *card.input_shape)."""
        return to_batch(fit_frame(frame, self.card), self.card)

    def postprocess(self, output: NDArray[Any]) -> Prediction:
        """The last step: the model's output, (1, *card.output_shape), to a prediction."""
        importance, levels = read_output(output[0], self.card)
        return Prediction(importance, levels, self.card.grid)

    def close(self) -> None:
        """Free the model. Closing twice is harmless."""
        self.backend.close()
