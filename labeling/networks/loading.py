"""The detector and the upscaler that options name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from labeling.dataset.manifest import ModelRecord
from labeling.detectors import Detector, create_detector
from labeling.upscalers import UPSCALERS, Upscaler


class NetworkOptions(Protocol):
    """The options that name a detector and an upscaler; see `labeling.labels.options.LabelOptions`."""

    @property
    def detector(self) -> str: ...  # noqa: D102
    @property
    def detector_weights(self) -> Path | None: ...  # noqa: D102
    @property
    def score_threshold(self) -> float | None: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def upscaler(self) -> str: ...  # noqa: D102
    @property
    def upscaler_weights(self) -> Path | None: ...  # noqa: D102
    @property
    def scale(self) -> int: ...  # noqa: D102
    @property
    def offline(self) -> bool: ...  # noqa: D102


def load_networks(options: NetworkOptions) -> tuple[Detector, Upscaler]:
    """The detector and the upscaler that options name.

    Raises:
        RegenError: an unknown name, or bad weights.
    """
    detector = create_detector(
        options.detector,
        weights=options.detector_weights,
        score_threshold=options.score_threshold,
        classes=options.classes,
        offline=options.offline,
    )
    return detector, UPSCALERS.create(options.upscaler, scale=options.scale, weights=options.upscaler_weights)


def model_records(detector: Detector, upscaler: Upscaler) -> tuple[ModelRecord, ModelRecord]:
    """What the manifest says of the detector and of the upscaler."""
    settings = {"score_threshold": detector.score_threshold, "classes": detector.classes}
    return (
        ModelRecord(name=detector.name, weights_sha256=detector.weights_sha256, settings=settings),
        ModelRecord(name=upscaler.name, weights_sha256=upscaler.weights_sha256, settings={"scale": upscaler.scale}),
    )
