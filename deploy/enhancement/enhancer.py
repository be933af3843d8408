"""Video in, enhanced frames out: predict, select, super-resolve the selected regions over the interpolated frame."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from deploy.core.closeable import Closing
from deploy.core.grid import Grid
from deploy.core.ranges import require_choice, require_range
from deploy.enhancement.budgets import Budget, Chooser, highest
from deploy.enhancement.frames import EnhancedFrame, PredictedFrame
from deploy.enhancement.importance import Importance, on_grid, value_for_area
from deploy.enhancement.interpolation import Bicubic
from deploy.enhancement.regions import Region, find_regions
from deploy.enhancement.upscaler import NO_MARGINS, Mode, Runtime, Upscaler
from deploy.prediction.feedback import Boxes, boxes_of
from deploy.prediction.predictor import Colors, Prediction, Predictor
from deploy.prediction.preprocess import require_frame

if TYPE_CHECKING:  # PyAV is behind it, which a caller with frames of its own does not need
    from deploy.inputs.video import FrameSelection

AnyPredictor = Callable[[NDArray[np.uint8]], "Prediction | Importance"]
"""Returns the importance of a frame's blocks: (rows, cols) float32 in [0, 1], on any grid."""


class Enhancer(Closing):
    """Super-resolves the regions of frames that detection gains from.

        with Enhancer(budget="20%") as enhancer:
            for frame in enhancer.video("camera.mp4"):
                detections = my_detector(frame.image)
                enhancer.feedback(detections)

    Args:
        predictor: an .onnx file, a `Predictor`, or any function that takes an (H, W, 3) uint8 RGB frame and returns a
            `Prediction` or (rows, cols) importance. None uses the included predictor.
        upscaler: an .onnx file of ``export/export_upscaler.py`` or an `Upscaler`; None uses the included EDSR, x3.
        budget: "20%" of the blocks, "3000/s" blocks per second, "threshold-0.5" (importance), or "15ms" per frame
            for prediction and enhancement.
        mode: margin of regions. "fast" uses the smallest one for which regions of real frames differ from the whole
            super-resolved frame by at most 1 of 255, per the card; "exact" includes every pixel that matters.
        colors: channel order of input and output frames: "rgb" or "bgr".
        threads: CPU threads; None uses one per CPU of this process.
        runtime: runtime of the upscaler: "onnxruntime" or "openvino".
        predict_every: predict every Nth frame, reuse the importance in between.

    Raises:
        WeightsError: a model or its card is missing or broken, or the model does not support regions.
        OptionError: a budget, mode or number is invalid.
    """

    def __init__(
        self,
        predictor: str | Path | Predictor | AnyPredictor | None = None,
        upscaler: str | Path | Upscaler | None = None,
        *,
        budget: str | Budget = "20%",
        mode: Mode = "fast",
        colors: Colors = "rgb",
        threads: int | None = None,
        runtime: Runtime = "onnxruntime",
        predict_every: int = 1,
    ) -> None:
        require_choice("mode", mode, get_args(Mode))
        require_choice("colors", colors, get_args(Colors))
        require_range("predict_every", predict_every, 1)
        self.budget = Budget.parse(budget) if isinstance(budget, str) else budget
        self.colors, self.mode, self.predict_every = colors, mode, predict_every
        self.previous: Boxes | None = None
        """The last detections passed to `feedback`, for predictors that use them."""
        self.relief = 1.0
        """Fraction of the budget that is used: less than 1 if the machine cannot keep up."""
        self._own: list[Closing] = []
        try:
            self.upscaler = (
                upscaler
                if isinstance(upscaler, Upscaler)
                else self._keep(Upscaler(upscaler, runtime=runtime, threads=threads))
            )
            # All or nothing needs no importance, and no surroundings.
            self._is_settled = self.budget.kind == "share" and self.budget.amount in (0, 1)
            self._in_one_piece = self._is_settled and self.upscaler.card.whole_frame
            self._halo_px = 0 if self._in_one_piece else self.upscaler.halo_px(mode)
            self.predictor = None if self._is_settled and predictor is None else self._opened(predictor, threads)
            self._chooser = Chooser(self.budget, self.upscaler)
        except BaseException:
            self.close()
            raise
        self._bicubic: Bicubic | None = None
        self._grid = Grid(1, 1)
        self._importance: Importance | None = None
        self._num_frames = self._num_since = 0

    @property
    def scale(self) -> int:
        """Size of the enhanced frame over that of the frame."""
        return self.upscaler.scale

    def frame(self, image: NDArray[np.uint8], *, pts_seconds: Fraction | None = None) -> EnhancedFrame:
        """Enhance one frame of a stream.

        Args:
            image: (H, W, 3) uint8 of any size; a change of size starts a new stream.
            pts_seconds: its time; required for a budget per second.

        Raises:
            InputError: the image is invalid, or the predictor does not accept it.
            OptionError: the budget is per second, but the time is missing.
        """
        predicted = self.predict(image, pts_seconds=pts_seconds)
        return self.enhance(predicted, self.choose(predicted))

    def predict(self, image: NDArray[np.uint8], *, pts_seconds: Fraction | None = None) -> PredictedFrame:
        """The first step of `frame`: how important each macroblock is."""
        require_frame(image)
        rgb = np.ascontiguousarray(image[..., ::-1] if self.colors == "bgr" else image)
        if rgb.shape[:2] != (self._grid.height_px, self._grid.width_px):
            self.reset()
            self._grid = Grid(rgb.shape[0], rgb.shape[1], scale=self.scale)
        seconds: dict[str, float] = {}
        with _timed(seconds, "predict"):
            is_own = self._importance is None or self._num_since % self.predict_every == 0
            importance = self._predicted(rgb) if self._importance is None or is_own else self._importance
        self._importance = importance
        self._num_frames, self._num_since = self._num_frames + 1, self._num_since + 1
        return PredictedFrame(rgb, importance.copy(), self._grid, seconds, is_own, pts_seconds, self._num_frames - 1)

    def choose(self, predicted: PredictedFrame) -> NDArray[np.bool_]:
        """The second step: (rows, cols) bool, the macroblocks that the budget allows."""
        with _timed(predicted.seconds, "select"):
            selected = self._chooser.choose(
                predicted.importance,
                predicted.pts_seconds,
                lambda chosen: sum(region.padded_px for region in self._regions(chosen, predicted.grid)),
            )
            if self.relief < 1:
                among = np.where(selected, value_for_area(predicted.importance), -np.inf)
                selected = highest(among, int(self.relief * selected.sum()))
        return selected

    def enhance(self, predicted: PredictedFrame, selected: NDArray[np.bool_]) -> EnhancedFrame:
        """The last step: super-resolve the selected macroblocks."""
        seconds, grid = predicted.seconds, predicted.grid
        with _timed(seconds, "regions"):
            regions = self._regions(selected, grid)
        result = np.empty((grid.height_px * self.scale, grid.width_px * self.scale, 3), np.uint8)
        with _timed(seconds, "paste"):
            if sum(region.height * region.width for region in regions) < grid.height_px * grid.width_px:
                self._bicubic_of(grid)(predicted.rgb, result)
        for region in regions:
            with _timed(seconds, "pack"):
                canvas = np.ascontiguousarray(predicted.rgb[region.padded])[None]
            with _timed(seconds, "network"):
                enlarged = self.upscaler(canvas, region.margins)[0]
            with _timed(seconds, "paste"):
                result[region.enlarged(self.scale)] = enlarged
        self._chooser.learn(regions, seconds)
        return EnhancedFrame(
            image=np.ascontiguousarray(result[..., ::-1]) if self.colors == "bgr" else result,
            selected=selected,
            importance=predicted.importance,
            grid=grid,
            regions=tuple(regions),
            seconds=seconds,
            is_predicted=predicted.is_own,
            pts_seconds=predicted.pts_seconds,
            index=predicted.index,
        )

    def video(self, path: str | Path, *, selection: FrameSelection | None = None) -> Iterator[EnhancedFrame]:
        """Decode and enhance the frames of a video in presentation order, one at a time.

        Args:
            path: the video.
            selection: which frames; None selects all.

        Raises:
            InputError: the video cannot be read, or the predictor does not accept its frames.
        """
        from deploy.inputs.video import FrameSelection, read_frames

        self.reset()
        frames = read_frames(path, selection=selection or FrameSelection())
        while True:
            started = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            decode = time.perf_counter() - started
            image = frame.image[..., ::-1] if self.colors == "bgr" else frame.image
            enhanced = self.frame(image, pts_seconds=frame.pts_seconds)
            yield replace(enhanced, index=frame.index, seconds={"decode": decode, **enhanced.seconds})

    def feedback(self, detections: Any) -> None:
        """Pass the detections in the last enhanced frame to predictors that take ``previous``.

        Args:
            detections: an object with ``xyxy`` (N, 4) in pixels of the enhanced frame, ``confidence`` (N,) and
                ``class_id`` (N,), such as supervision's Detections, or these three arrays. They are stored in pixels
                of the low-resolution frame.

        Raises:
            OptionError: the detections have another form.
        """
        self.previous = boxes_of(detections, self.scale)

    def reset(self) -> None:
        """Start a new stream: discard all state of previous frames."""
        self.predict_anew()
        self.previous, self._num_frames = None, 0
        self._chooser.reset()

    def predict_anew(self) -> None:
        """Predict the next frame, and every Nth from there: discard the importance of previous frames."""
        self._importance, self._num_since = None, 0

    def close(self) -> None:
        """Free the models opened by this object. Can be called more than once."""
        while self._own:
            self._own.pop().close()

    def _keep(self, model: Any) -> Any:
        self._own.append(model)
        return model

    def _opened(self, predictor: Any, threads: int | None) -> Callable[..., Any]:
        if not callable(predictor):
            predictor = self._keep(Predictor(*([] if predictor is None else [predictor]), threads=threads))
        self._takes_previous = "previous" in inspect.signature(predictor).parameters
        return predictor  # type: ignore[no-any-return]

    def _bicubic_of(self, grid: Grid) -> Bicubic:
        """Buffers are reused as long as the frame size stays the same."""
        size = grid.height_px, grid.width_px
        if self._bicubic is None or self._bicubic.size != size:
            self._bicubic = Bicubic(*size, self.scale)
        return self._bicubic

    def _predicted(self, rgb: NDArray[np.uint8]) -> Importance:
        if self.predictor is None:
            return np.zeros((self._grid.rows, self._grid.cols), np.float32)
        given = {"previous": self.previous} if self._takes_previous else {}
        found = self.predictor(rgb, **given)
        if isinstance(found, Prediction):
            return on_grid(found.importance, found.grid, self._grid)
        return on_grid(np.asarray(found, np.float32), None, self._grid)

    def _regions(self, selected: NDArray[np.bool_], grid: Grid) -> list[Region]:
        if self._in_one_piece and selected.any():
            return [Region(0, 0, grid.height_px, grid.width_px, NO_MARGINS)]
        return find_regions(selected, grid, self._halo_px)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the time that passes to a stage."""
    started = time.perf_counter()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - started
