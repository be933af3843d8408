"""Any ONNX detector whose outputs have a known layout, made differentiable by onnx2torch."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.core.errors import OptionError, WeightsError
from deploy.core.files import sha256_of
from deploy.detectors.classes import names_in_metadata, settle_class_names
from deploy.detectors.geometry import Placement, Size, rounded_up
from deploy.detectors.layout import Layout
from deploy.detectors.trial import find_layout
from labeling.detectors.base import Detections, DetectorSettings
from labeling.detectors.candidates import select_detections
from labeling.detectors.coco_detector import DetectorWithClasses
from labeling.detectors.framing import prepare_frame
from labeling.detectors.onnx_graph import DetectorGraph, for_size, read_graph, run_once
from labeling.detectors.onnx_operators import convert_to_torch
from labeling.detectors.places import Places

warnings.filterwarnings("ignore", module="onnx2torch")  # its warnings about PyTorch are irrelevant to users


class OnnxDetector(DetectorWithClasses):
    """A network for one frame at a time. See `Detector`.

    Args:
        graph: graph of the file.
        layout: layout of its outputs.
        class_names: names of its classes.
        size: height and width to which every frame is resized; None means the frame's own, rounded up.
        settings: the user's settings.
    """

    name = "onnx"

    def __init__(
        self,
        graph: DetectorGraph,
        layout: Layout,
        class_names: tuple[str, ...],
        size: Size | None,
        settings: DetectorSettings,
    ) -> None:
        super().__init__(settings, class_names)
        self._graph, self._layout, self.input_size = graph, layout, size
        self._networks: dict[Size, nn.Module] = {}
        self._sizes: dict[Size, bool] = {}
        self.weights_sha256 = sha256_of(graph.path)
        shown = "any size" if size is None else f"{size[1]} x {size[0]}"
        few = ", ".join(class_names[:5]) + (", …" if len(class_names) > 5 else "")
        self.description = f"layout {layout.name}, {shown}, {len(class_names)} classes: {few}"
        self.record = {"layout": layout.name, "class_names": class_names, "fit": layout.preparation.fit}
        if size is not None:
            self.record["input_size"] = f"{size[1]}x{size[0]}"

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`."""
        return [self._detect_one(image[None], score_threshold or self.score_threshold) for image in images]

    def _detect_one(self, image: Tensor, least_score: float) -> Detections:
        frame = (image.shape[2], image.shape[3])
        size = self.input_size or rounded_up(frame)
        outputs, placement = self._run(image, size)
        with torch.no_grad():
            boxes = placement.to_frame(self._layout.boxes([output.detach() for output in outputs], size))
        kept = self._kept_classes
        scores = self._layout.scores(outputs, len(self.class_names))
        scores = scores.where(scores == scores.amax(dim=1, keepdim=True), 0.0)  # each box has one class
        scores = scores[:, kept.to(image.device)]
        nms_iou = 0.5 if self._layout.suppress else 1.0
        return select_detections(boxes, scores, kept, frame, least_score, nms_iou=nms_iou)

    def places(self, image: Tensor) -> Places:
        """See `DenseDetector.places`."""
        size = rounded_up((image.shape[2], image.shape[3]))
        if self.input_size is not None and not self._runs_at(size):
            size = self.input_size
        outputs, placement = self._run(image, size)
        scores = self._layout.scores(outputs, len(self.class_names))
        return Places(
            placement.to_frame(self._layout.boxes(outputs, size)), scores[:, self._kept_classes.to(image.device)]
        )

    def _runs_at(self, size: Size) -> bool:
        """Whether the file takes frames of this size, with the same layout."""
        if size not in self._sizes:
            frame = np.zeros((1, 3, *size), np.float32)
            try:
                outputs = run_once(for_size(self._graph, size), frame, self._graph.path)
                shapes = [output.shape for output in outputs]
                self._sizes[size] = self._layout.num_classes(shapes, size) is not None
            except WeightsError:
                self._sizes[size] = False
        return self._sizes[size]

    def _run(self, image: Tensor, size: Size) -> tuple[list[Tensor], Placement]:
        """Run the network on one frame resized to a size; returns its outputs and the frame's position in its input."""
        prepared, placement = prepare_frame(image, self._layout.preparation, size)
        found = self._network(size).to(image.device)(prepared)
        outputs = list(found) if isinstance(found, tuple | list) else [found]
        return [output.float() for output in outputs], placement

    def _network(self, size: Size) -> nn.Module:
        if size not in self._networks:
            self._networks[size] = convert_to_torch(for_size(self._graph, size), self._graph.path)
        return self._networks[size]


def load_onnx_detector(settings: DetectorSettings) -> OnnxDetector:
    """Read an ONNX detector, and detect its layout by running it once.

    Raises:
        OptionError: no file was given, or a setting does not fit it.
        WeightsError: the file is missing, is not ONNX, or has an unknown layout.
    """
    if settings.weights is None:
        raise OptionError("detector 'onnx' needs a file", hint="Add --detector-weights MODEL.onnx")
    graph = read_graph(settings.weights)
    size = settings.input_size or graph.size

    def run(frame: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return run_once(for_size(graph, (frame.shape[2], frame.shape[3])), frame, graph.path)

    layout, num_classes = find_layout(run, graph.path, graph.size, settings.input_size, settings.layout)
    names = settle_class_names(num_classes, settings.class_names, names_in_metadata(graph.names))
    return OnnxDetector(graph, layout, names, size, settings)
