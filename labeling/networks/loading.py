"""Load the detector and the upscaler named in options or in a manifest."""

from __future__ import annotations

from pathlib import Path

from deploy.core.errors import WeightsError
from deploy.detectors.classes import read_class_names
from deploy.detectors.geometry import parse_size
from labeling.dataset.manifest import ModelRecord
from labeling.detectors import Detector, create_detector
from labeling.networks.options import NetworkOptions
from labeling.upscalers import UPSCALERS, Upscaler
from labeling.upscalers.registry import parse_options


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
        class_names=read_class_names(options.class_names) if options.class_names else (),
        layout=options.detector_layout,
        input_size=parse_size(options.detector_size),
    )
    upscaler = UPSCALERS.create(
        options.upscaler,
        scale=options.scale,
        weights=options.upscaler_weights,
        options=parse_options(options.upscaler_option),
    )
    return detector, upscaler


def recorded_detector(record: ModelRecord, weights: Path | None, *, offline: bool) -> Detector:
    """Load the detector named in a manifest, with the same settings.

    Raises:
        WeightsError: the weights are not those that made the labels.
    """

    def texts(name: str) -> tuple[str, ...]:
        value = record.settings.get(name, ())
        return tuple(value) if isinstance(value, tuple | list) else ()

    layout = record.settings.get("layout")
    size = record.settings.get("input_size")
    detector = create_detector(
        record.name,
        weights=weights,
        score_threshold=float(str(record.settings["score_threshold"])),
        classes=texts("classes"),
        offline=offline,
        class_names=texts("class_names"),
        layout=None if layout is None else str(layout),
        input_size=parse_size(None if size is None else str(size)),
    )
    require_weights("detector", detector.weights_sha256, record)
    return detector


def recorded_upscaler(record: ModelRecord, weights: Path | None, scale: int) -> Upscaler:
    """Load the upscaler named in a manifest, with the same settings.

    Raises:
        WeightsError: the weights are not those that made the labels.
    """
    options = {name: value for name, value in record.settings.items() if name != "scale"}
    upscaler = UPSCALERS.create(record.name, scale=scale, weights=weights, options=options)
    require_weights("upscaler", upscaler.weights_sha256, record)
    return upscaler


def require_weights(kind: str, weights_sha256: str, record: ModelRecord) -> None:
    """Raise WeightsError unless these weights made the labels."""
    if weights_sha256 != record.weights_sha256:
        raise WeightsError(
            f"the {kind}'s weights are not those that made the labels", hint=f"Use the same --{kind}-weights."
        )


def model_records(detector: Detector, upscaler: Upscaler) -> tuple[ModelRecord, ModelRecord]:
    """Make the manifest's records of the detector and the upscaler."""
    settings = {"score_threshold": detector.score_threshold, "classes": detector.classes, **detector.record}
    enlarging = {"scale": upscaler.scale, **upscaler.record}
    return (
        ModelRecord(name=detector.name, weights_sha256=detector.weights_sha256, settings=settings),
        ModelRecord(name=upscaler.name, weights_sha256=upscaler.weights_sha256, settings=enlarging),
    )
