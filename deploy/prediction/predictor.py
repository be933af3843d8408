"""The importance predictor as three lines of Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deploy.backends.selection import AUTO, create_backend
from deploy.cards.model_card import read_card
from deploy.core.closeable import Closing
from deploy.core.errors import WeightsError
from deploy.core.grid import Grid
from deploy.core.ranges import require_choice
from deploy.prediction.postprocess import read_output
from deploy.prediction.preprocess import fit_frame, to_batch

if TYPE_CHECKING:  # PyAV is behind it, which a caller with frames of its own does not need
    from deploy.inputs.video import Frame, FrameSelection

Colors = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Prediction:
    """What the network says of one frame. The arrays are the caller's."""

    importance: NDArray[np.float32]
    """(rows, cols) float32 in [0, 1]: the importance map."""
    levels: NDArray[np.uint8]
    """(rows, cols) uint8 in 0..num_levels - 1: the most probable importance level."""
    grid: Grid
    """Which pixels of the model's input each macroblock covers."""
    frame: Frame | None = None
    """The frame it is of, where `Predictor.video` decoded it."""

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
        self, model_path: str | Path, *, backend: str = AUTO, threads: int | None = None, spinning: bool = False
    ) -> None:
        model = Path(model_path)
        if not model.is_file():
            raise WeightsError(f"model not found: {model}", hint="Give the .onnx file that export wrote.")
        self.path = model
        self.card = read_card(model)
        self.backend, reason = create_backend(backend, model=model, card=self.card, threads=threads, spinning=spinning)
        self.backend_report = f"{self.backend.description}: {reason}"

    def __call__(self, image: NDArray[np.uint8], *, colors: Colors = "rgb") -> Prediction:
        """Predict one frame.

        Args:
            image: (H, W, 3) uint8. Another size than the model's is scaled by area filtering.
            colors: order of its channels: "rgb", or "bgr" as OpenCV's ``VideoCapture.read`` and ``imread`` give it.
                Nothing in an image tells one from the other.

        Raises:
            InputError: not such a frame, or its aspect ratio is more than 2 % off the model's.
            OptionError: another order.
        """
        require_choice("colors", colors, get_args(Colors))
        rgb = image[..., ::-1] if colors == "bgr" else image
        return self.postprocess(self.backend.run(self.preprocess(rgb)))

    def video(self, path: str | Path, *, selection: FrameSelection | None = None) -> Iterator[Prediction]:
        """Decode and predict the frames of a video in presentation order, one at a time.

        Args:
            path: the video.
            selection: which frames; None takes all.

        Yields:
            Predictions; `Prediction.frame` has the frame's index, time and pixels, at the video's own size.

        Raises:
            InputError: the video cannot be read, or its aspect ratio is more than 2 % off the model's.
        """
        from deploy.inputs.video import FrameSelection, read_frames

        for frame in read_frames(path, selection=selection or FrameSelection()):
            yield replace(self(frame.image), frame=frame)

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
