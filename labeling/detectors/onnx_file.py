"""Any ONNX detector whose output layout has a decoder, made differentiable by onnx2torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.core.files import sha256_of
from labeling.detectors.base import Detections, DetectorSettings
from labeling.detectors.candidates import select_detections
from labeling.detectors.coco_detector import CocoDetector
from labeling.detectors.onnx_decoders import OutputDecoder, Shape, decoder_for

warnings.filterwarnings("ignore", module="onnx2torch")  # what it says of PyTorch is for its authors


class OnnxDetector(CocoDetector):
    """A fixed-size, batch-1 network; frames are stretched to its input size. See `Detector`."""

    name = "onnx"

    def __init__(
        self,
        network: nn.Module,
        decoder: type[OutputDecoder],
        input_size: tuple[int, int],
        weights_sha256: str,
        settings: DetectorSettings,
    ) -> None:
        super().__init__(settings)
        self._network = network.eval().requires_grad_(False)
        self._decoder, self._input_size = decoder, input_size
        self.weights_sha256 = weights_sha256

    def detect(self, images: Tensor, *, score_threshold: float | None = None) -> list[Detections]:
        """See `Detector.detect`."""
        return [self._detect_one(image[None], score_threshold or self.score_threshold) for image in images]

    def _detect_one(self, image: Tensor, least_score: float) -> Detections:
        height, width = self._input_size
        resized = functional.interpolate(
            image, size=self._input_size, mode="bilinear", align_corners=False, antialias=True
        )
        outputs = self._network.to(image.device)(self._decoder.normalise(resized))
        boxes, scores = self._decoder.decode(
            list(outputs) if isinstance(outputs, tuple | list) else [outputs], height, width
        )
        scores = scores[:, self._kept_classes.to(scores.device)]
        scores = scores.where(scores == scores.amax(dim=1, keepdim=True), 0.0)  # a box has one class
        zoom = torch.tensor([image.shape[3] / width, image.shape[2] / height] * 2, device=boxes.device)
        frame = (image.shape[2], image.shape[3])
        return select_detections(boxes.float() * zoom, scores, self._kept_classes, frame, least_score)


def load_onnx_detector(settings: DetectorSettings) -> OnnxDetector:
    """Read an ONNX detector of the 80 COCO classes.

    Raises:
        OptionError: no file was named.
        WeightsError: missing, not ONNX, not of a fixed size, or without a decoder.
    """
    from onnx2torch import convert

    weights = settings.weights
    if weights is None:
        raise OptionError("detector 'onnx' needs a file", hint="Add --detector-weights MODEL.onnx")
    if not weights.is_file():
        raise WeightsError(f"detector not found: {weights}", hint="Check the path.")
    try:
        model = onnx.load(str(weights), load_external_data=False)
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
            raise ValueError("it keeps tensors in other files, wherever it says they are")
        network = convert(model)
    except Exception as error:  # protobuf, onnx and onnx2torch share no exception
        message = first_line(error)
        raise WeightsError(
            f"cannot use {weights} as a detector: {message}",
            hint="It must be one file of operators that onnx2torch knows, opset 11 to 17; or wrap it as TorchScript.",
        ) from None
    initialised = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initialised]
    size = _shape(inputs[0]) if len(inputs) == 1 else ()
    if len(size) != 4 or size[1] != 3 or min(size[2:]) < 1:
        raise WeightsError(
            f"{weights} has no single fixed input 1 x 3 x H x W: {size}", hint="Export it with a fixed size."
        )
    return OnnxDetector(
        network,
        decoder_for([_shape(output) for output in model.graph.output], size[2], size[3]),
        (size[2], size[3]),
        sha256_of(weights),
        settings,
    )


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor anywhere in a model, those of inner graphs included."""
    for _, value in message.ListFields():
        for part in value if isinstance(value, Iterable) and not isinstance(value, str | bytes) else (value,):
            if isinstance(part, onnx.TensorProto):
                yield part
            elif hasattr(part, "ListFields"):
                yield from _tensors(part)


def _shape(value: object) -> Shape:
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)  # type: ignore[attr-defined]
