"""The importance predictor as three lines of Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deploy.backends.selection import AUTO, create_backend
from deploy.cards.model_card import MIN_SIDE_PX, read_card
from deploy.core.closeable import Closing
from deploy.core.errors import OptionError, WeightsError
from deploy.core.grid import Grid
from deploy.core.ranges import require_choice, require_range
from deploy.prediction.feedback import boxes_of
from deploy.prediction.preprocess import require_frame
from deploy.prediction.view import Fitting, View, view_of

if TYPE_CHECKING:  # PyAV is behind it, which a caller with frames of its own does not need
    from deploy.inputs.video import Frame, FrameSelection

Colors = Literal["rgb", "bgr"]
GENERAL = Path(__file__).parents[1] / "models" / "general.onnx"
"""The included predictor, for frames of any size."""


_MOST_VIEWS = 64


@dataclass(frozen=True)
class Prediction:
    """The network's prediction for one frame. The arrays belong to the caller."""

    importance: NDArray[np.float32]
    """(rows, cols) float32 in [0, 1]: the importance map."""
    levels: NDArray[np.uint8]
    """(rows, cols) uint8 in 0..num_levels - 1: the most probable importance level."""
    grid: Grid
    """The macroblocks of the model's input; with an any-size model or ``fit="pad"``, those of the given frame."""
    frame: Frame | None = None
    """The frame, if `Predictor.video` decoded it."""

    def __repr__(self) -> str:
        return f"Prediction(importance={self.importance.shape}, levels={self.levels.shape}, grid={self.grid})"


class Predictor(Closing):
    """Predicts the importance of every macroblock of a frame.

    >>> frame = np.zeros((1080, 1920, 3), np.uint8)  # RGB
    >>> with Predictor() as predictor:  # the general one
    ...     prediction = predictor(frame)
    >>> prediction.importance.shape
    (68, 120)

    Args:
        model_path: the .onnx file, with its model card, a .json of the same name, next to it. None uses the included
            general predictor.
        backend: "auto" or a backend's name.
        threads: CPU threads; None uses one per CPU of this process.
        spinning: let idle threads poll for work: faster on an idle machine, slower on a busy one.
        lr_height: for any-size models: the shorter side, in pixels, to which larger frames are reduced for prediction;
            None uses the size the model was trained on.
        fit: for models of fixed size: "exact" accepts frames of its aspect ratio; "pad" accepts any frame, reduces and
            pads it, and predicts on the frame's own grid.

    Raises:
        WeightsError: the model or its card is missing or broken, or they do not match.
        OptionError: the backend is unknown, threads is less than one, or the model does not support an option.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        *,
        backend: str = AUTO,
        threads: int | None = None,
        spinning: bool = False,
        lr_height: int | None = None,
        fit: Fitting = "exact",
    ) -> None:
        model = GENERAL if model_path is None else Path(model_path)
        if not model.is_file():
            raise WeightsError(f"model not found: {model}", hint="Use an .onnx file made by export/export_onnx.py.")
        require_choice("fit", fit, get_args(Fitting))
        self.path = model
        self.card = read_card(model)
        if lr_height is not None:
            require_range("lr_height", lr_height, MIN_SIDE_PX)
            if not self.card.any_size:
                raise OptionError(
                    f"lr_height={lr_height}, but {model} takes frames of {self.card.grid.width_px} x "
                    f"{self.card.grid.height_px} only",
                    hint="Omit it, or use an any-size model.",
                )
        self._lr_height, self._fit = lr_height, fit
        self._views: dict[tuple[int, int], View] = {}
        self.backend, reason = create_backend(backend, model=model, card=self.card, threads=threads, spinning=spinning)
        self.backend_report = f"{self.backend.description}: {reason}"

    def __call__(self, image: NDArray[np.uint8], *, colors: Colors = "rgb", previous: Any = None) -> Prediction:
        """Predict one frame.

        Args:
            image: (H, W, 3) uint8. Models of fixed size scale it by area filtering.
            colors: channel order: "rgb", or "bgr" for frames of OpenCV's ``VideoCapture.read`` and ``imread``. It
                cannot be detected from the image.
            previous: detections in the previous frame, in pixels of this frame: an object with ``xyxy``,
                ``confidence`` and ``class_id``, such as supervision's Detections, these three arrays, or their score
                map, (H, W) uint8 (`deploy.prediction.previous.score_map`). Models without this input ignore it.

        Raises:
            InputError: the image is invalid, or the model does not accept its shape.
            OptionError: the channel order is unknown, or the detections cannot be read.
        """
        require_choice("colors", colors, get_args(Colors))
        require_frame(image)
        is_map = isinstance(previous, np.ndarray) and previous.dtype == np.uint8 and previous.shape == image.shape[:2]
        found = previous if previous is None or is_map else boxes_of(previous, 1)
        view = self.view(*image.shape[:2])
        rgb = image[..., ::-1] if colors == "bgr" else image
        return self.postprocess(self.backend.run(view.to_batch(view.to_input(rgb), found)), view)

    def view(self, height_px: int, width_px: int) -> View:
        """How frames of a given size are fed to the model: for custom loops that time or batch its parts.

        Raises:
            InputError: the model does not accept such frames.
        """
        key = height_px, width_px
        if key not in self._views:
            if len(self._views) >= _MOST_VIEWS:
                self._views.clear()
            self._views[key] = view_of(self.card, *key, lr_height=self._lr_height, fit=self._fit)
        return self._views[key]

    def video(self, path: str | Path, *, selection: FrameSelection | None = None) -> Iterator[Prediction]:
        """Decode and predict the frames of a video in presentation order, one at a time.

        Args:
            path: the video.
            selection: which frames; None selects all.

        Yields:
            Predictions; `Prediction.frame` has the frame's index, time and pixels, at the video's own size.

        Raises:
            InputError: the video cannot be read, or the model does not accept its shape.
        """
        from deploy.inputs.video import FrameSelection, read_frames

        for frame in read_frames(path, selection=selection or FrameSelection()):
            yield replace(self(frame.image), frame=frame)

    def preprocess(self, frame: NDArray[np.uint8]) -> NDArray[Any]:
        """The first step: convert (H, W, 3) uint8 RGB to a batch of one for the model."""
        require_frame(frame)
        view = self.view(*frame.shape[:2])
        return view.to_batch(view.to_input(frame))

    def postprocess(self, output: NDArray[Any], view: View | None = None) -> Prediction:
        """The last step: convert the model's output for one frame, with a batch axis of 1, to a prediction.

        Args:
            output: the backend's output.
            view: the frame's view; None for frames of the model's own size.
        """
        view = view or self.view(self.card.grid.height_px, self.card.grid.width_px)
        return Prediction(*view.read(output[0]), view.grid)

    def close(self) -> None:
        """Free the model. Can be called more than once."""
        self.backend.close()
