"""Cost and quality of one exported model: operations, time per frame, agreement with labels."""

from __future__ import annotations

import math
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.backends import BACKENDS
from deploy.core.errors import DatasetError, OptionError
from deploy.core.files import read_image
from deploy.inference.latency import StageClock
from deploy.prediction.predictor import Prediction, Predictor
from labeling.dataset.manifest import Manifest, read_manifest
from labeling.dataset.reader import LabelledFrame, read_levels, read_split
from labeling.maths.rank_correlation import known_mean, rank_correlation
from labeling.maths.split import SplitName
from paddleseg_configs.ladder.macs import count_macs
from paddleseg_configs.ladder.record import Latency, Measurement
from paddleseg_configs.training.models import metrics

BACKENDS_TO_TIME = ("onnxruntime", "openvino")
"""CPU backends; those that are not installed are skipped."""


def measure(model: Path, dataset: Path, *, split: SplitName, runs: int) -> Measurement:
    """Count operations, time inference, and compare levels with labels.

    Raises:
        RegenError: the model or the dataset cannot be used, or the split has no frames.
    """
    manifest = read_manifest(dataset)
    frames = list(read_split(dataset, manifest, split))
    if not frames:
        raise DatasetError(f"{dataset} has no {split} frames", hint="Choose another --split.")
    images = [read_image(frame.image) for frame in frames]
    return Measurement(
        gmac=count_macs(model) / 1e9,
        latency=_latencies(model, list(islice(cycle(images), runs))),
        frames=len(frames),
        metrics=_metrics(model, frames, images, manifest),
    )


def _latencies(model: Path, images: list[NDArray[np.uint8]]) -> dict[str, Latency]:
    found = {}
    for name in BACKENDS_TO_TIME:
        if name in BACKENDS.names:
            try:
                found[name] = _latency(model, name, images)
            except OptionError as error:  # the library is not installed
                print(f"skipping {name}: {error}")
    return found


def _latency(model: Path, backend: str, images: list[NDArray[np.uint8]]) -> Latency:

    clock = StageClock()
    with Predictor(model, backend=backend, threads=1) as predictor:
        for image in images:
            with clock.stage("frame"):
                view = predictor.view(*image.shape[:2])
                batch = view.to_batch(view.to_input(image))
                with clock.stage("network"):
                    output = predictor.backend.run(batch)
                view.read(output[0])
        runtime = predictor.backend.description
    summary = clock.summary()
    return Latency(
        p50_ms=summary["frame"]["p50_ms"],
        p95_ms=summary["frame"]["p95_ms"],
        network_p50_ms=summary["network"]["p50_ms"],
        runtime=runtime,
    )


def _metrics(
    model: Path, frames: list[LabelledFrame], images: list[NDArray[np.uint8]], manifest: Manifest
) -> dict[str, float | None]:

    with Predictor(model, backend="onnxruntime", threads=1) as predictor:
        predictions = [predictor(image) for image in images]
        own_levels = predictor.card.num_levels == manifest.num_levels
    labels: list[NDArray[Any]] = [read_levels(frame, manifest) for frame in frames]
    levels = [_levels(prediction, manifest.num_levels, own=own_levels) for prediction in predictions]
    confusion = metrics.confusion_of(np.stack(labels), np.stack(levels), manifest.num_levels)
    importance = [prediction.importance for prediction in predictions]
    figures = {
        "mean_iou": metrics.mean_iou(confusion),
        "accuracy": metrics.pixel_accuracy(confusion),
        "mean_level_error": metrics.mean_level_error(confusion),
        "quadratic_kappa": metrics.quadratic_kappa(confusion),
        "top_block_recall": known_mean(map(metrics.top_block_recall, labels, importance)),
        "rank_correlation": known_mean(
            rank_correlation(frame.importance, guess) for frame, guess in zip(frames, importance, strict=True)
        ),
    }
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def _levels(prediction: Prediction, num_levels: int, *, own: bool) -> NDArray[np.uint8]:
    """The model's levels, or its importance quantized to the dataset's levels if their number differs."""
    if own:
        return prediction.levels
    return np.minimum(prediction.importance * num_levels, num_levels - 1).astype(np.uint8)
