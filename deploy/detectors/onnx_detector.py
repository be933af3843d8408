"""Run an object detector from its ONNX file: needs only numpy and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends.base import usable_threads
from deploy.core.endless import require_an_end
from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.core.ranges import require_range
from deploy.core.runtimes import open_session
from deploy.detectors.classes import class_indices, kept_by_default, names_in_metadata, settle_class_names
from deploy.detectors.detections import Detections, best_boxes
from deploy.detectors.framing import prepare_frame
from deploy.detectors.geometry import Size, place, rounded_up
from deploy.detectors.resizing import at_size
from deploy.detectors.trial import find_layout, known_input

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class OnnxDetector:
    """Finds objects in frames. Suppression inside of the file is welcome: nothing is differentiated here.

    Args:
        path: the ONNX file.
        size: height and width to run it at; None takes its own, or where that is free the frame's, rounded up.
        layout: of its outputs (`deploy.detectors.layouts.LAYOUTS`); None finds it out.
        classes: names to keep; None keeps people and vehicles of COCO's classes, all of any others.
        class_names: of all its classes, in order; None uses those in the file, COCO's for 80 classes, or numbers.
        score_threshold: detections below are dropped.
        threads: CPU threads; None takes one a CPU of this process.

    Raises:
        OptionError: an option that does not fit the file.
        WeightsError: the file is missing, not an ONNX detector, or of no known layout.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        size: Size | None = None,
        layout: str | None = None,
        classes: tuple[str, ...] | None = None,
        class_names: tuple[str, ...] | None = None,
        score_threshold: float = 0.3,
        threads: int | None = None,
    ) -> None:
        require_range("score_threshold", score_threshold, 0, 1, open_ends=True)
        self.path, self.score_threshold = Path(path), score_threshold
        self._network = _Network(self.path, size, usable_threads(threads))
        own = self._network.own_size
        self.layout, num_classes = find_layout(self._network.run, self.path, own, size, layout)
        self.class_names = settle_class_names(num_classes, class_names or (), names_in_metadata(self._network.names))
        self.classes = classes or kept_by_default(self.class_names)
        self.input_size = size or own
        """Height and width of the network's frame; None follows the frames."""
        self._kept = np.array(class_indices(self.classes, self.class_names))

    def __call__(self, image: NDArray[np.uint8]) -> Detections:
        """Find objects.

        Args:
            image: (H, W, 3) uint8 RGB.
        """
        frame = image.shape[0], image.shape[1]
        size = self.size_for(frame)
        prepared, placement = prepare_frame(image, self.layout.preparation, size)
        outputs = self._network.run(prepared)
        boxes = placement.to_frame(self.layout.boxes(outputs, size))
        scores = self.layout.scores(outputs, len(self.class_names))
        scores = np.where(scores == scores.max(axis=1, keepdims=True), scores, 0)[:, self._kept]  # a box has one class
        nms_iou = 0.5 if self.layout.suppress else 1.0
        found, confidence, column = best_boxes(boxes, scores, frame, self.score_threshold, nms_iou)
        return Detections(found, confidence, self._kept[column], self.class_names)

    def size_for(self, frame: Size) -> Size:
        """Height and width of the network's frame for a frame of this height and width."""
        return self.input_size or rounded_up(frame)

    def zoom(self, frame: Size) -> float:
        """Network pixels to a pixel of such a frame, along the axis that loses more; below 1 detail is lost."""
        placement = place(*frame, self.size_for(frame), self.layout.preparation.fit)
        return min(placement.scale_x, placement.scale_y)


class _Network:
    """The file in ONNX Runtime."""

    def __init__(self, path: Path, size: Size | None, threads: int) -> None:
        if not path.is_file():
            raise WeightsError(f"detector not found: {path}", hint="Check the path.")
        self._path = path
        self._session = self._open(path, threads)
        inputs = self._session.get_inputs()
        frames = [value for value in inputs if len(value.shape) == 4 and _side(value.shape[1]) in (None, 3)]
        if len(frames) != 1:
            shapes = ", ".join(f"{value.name} {value.shape}" for value in inputs)
            raise WeightsError(
                f"{path} has no single input 1 x 3 x H x W: {shapes}", hint="Export it with a single image input."
            )
        self._frame = frames[0]
        self._others = [value for value in inputs if value.name != self._frame.name]
        height, width = map(_side, self._frame.shape[2:])
        self.own_size = (height, width) if height and width else None
        """Height and width of the file's input; None if dynamic."""
        self.names: str = self._session.get_modelmeta().custom_metadata_map.get("names", "")
        """The class names in the file's metadata."""
        if size is not None and self.own_size not in (None, size):
            self._session = self._open(at_size(path, self._frame.name, size), threads)

    def run(self, frame: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Outputs for a frame (1, 3, H, W), in the file's order.

        Raises:
            WeightsError: it does not run at this size.
        """
        height, width = frame.shape[2:]
        fed = {self._frame.name: frame.astype(self._type(self._frame), copy=False)}
        for value in self._others:
            fed[value.name] = np.array([known_input(value.name, (height, width), self._path)], self._type(value))
        try:
            outputs = self._session.run(None, fed)
        except Exception as error:  # ONNX Runtime's exceptions have no common base but this
            raise WeightsError(
                f"{self._path} failed on a frame of {width} x {height}: {first_line(error)}",
                hint="Use its own size.",
            ) from None
        # Halves become floats; labels of an end-to-end head stay whole numbers.
        return [output.astype(np.float32) if output.dtype == np.float16 else output for output in outputs]

    def _open(self, model: Path | bytes, threads: int) -> Any:
        require_an_end(model, "detector", self._path)
        try:
            return open_session(model, threads)
        except Exception as error:
            raise WeightsError(
                f"cannot use {self._path} as a detector: {first_line(error)}", hint="Export it again."
            ) from None

    def _type(self, value: Any) -> type[np.generic]:
        if value.type not in _TYPES:
            raise OptionError(f"{self._path}: input {value.name!r} is a {value.type}", hint="Export it in float32.")
        return _TYPES[value.type]


def _side(dimension: Any) -> int | None:
    """A dimension of the file; None if dynamic."""
    return dimension if isinstance(dimension, int) and dimension > 0 else None
