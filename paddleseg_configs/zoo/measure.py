"""Measure one exported model: operations, time a frame on one thread, and its levels against a split's labels.

python -m paddleseg_configs.zoo.measure MODEL.onnx --dataset DIR --out measured.json
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from deploy.core.cli import run
from deploy.core.errors import DatasetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deploy.predictor import Prediction
    from labeling.maths.split import SplitName
    from paddleseg_configs.zoo.record import Latency, Measurement

BACKENDS_TO_TIME = ("onnxruntime", "openvino")
"""On the CPU; those that are missing are left out."""


@dataclass(frozen=True)
class MeasureOptions:
    """Options of one measurement."""

    model: Annotated[Path, tyro.conf.Positional]
    """An .onnx file, its card beside it."""
    dataset: Path
    """Dataset folder."""
    out: Path
    """The .json file to write."""
    split: Literal["train", "val", "test"] = "test"
    """Whose labels the levels are compared with."""
    runs: int = 100
    """How many frames are timed; those of the split, again and again."""


def main() -> None:
    """Parse the command line and measure."""
    options = tyro.cli(MeasureOptions, description=__doc__)
    from deploy.core.files import write_text

    text = measure(options.model, options.dataset, split=options.split, runs=options.runs).model_dump_json(indent=2)
    write_text(options.out, text + "\n")
    print(text)


def measure(model: Path, dataset: Path, *, split: SplitName, runs: int) -> Measurement:
    """Count, time and compare; see `MeasureOptions`.

    Raises:
        RegenError: the model or the dataset cannot be used, or the split has no frames.
    """
    from deploy.core.files import read_image
    from labeling.dataset.manifest import read_manifest
    from labeling.dataset.reader import read_split
    from paddleseg_configs.zoo.macs import count_macs
    from paddleseg_configs.zoo.record import Measurement

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
    from deploy.backends import BACKENDS
    from deploy.core.errors import OptionError

    found = {}
    for name in BACKENDS_TO_TIME:
        if name in BACKENDS.names:
            try:
                found[name] = _latency(model, name, images)
            except OptionError as error:  # the library is not installed
                print(f"{name} is left out: {error}")
    return found


def _latency(model: Path, backend: str, images: list[NDArray[np.uint8]]) -> Latency:
    from deploy.latency import StageClock
    from deploy.predictor import Predictor
    from paddleseg_configs.zoo.record import Latency

    clock = StageClock()
    with Predictor(model, backend, threads=1) as predictor:
        for image in images:
            with clock.stage("frame"):
                batch = predictor.preprocess(image)
                with clock.stage("network"):
                    output = predictor.backend.run(batch)
                predictor.postprocess(output)
        runtime = predictor.backend.description
    summary = clock.summary()
    return Latency(
        p50_ms=summary["frame"]["p50_ms"],
        p95_ms=summary["frame"]["p95_ms"],
        network_p50_ms=summary["network"]["p50_ms"],
        runtime=runtime,
    )


def _metrics(model: Path, frames: list[Any], images: list[NDArray[np.uint8]], manifest: Any) -> dict[str, float | None]:
    from deploy.predictor import Predictor
    from labeling.dataset.reader import read_levels
    from paddleseg_configs.training import metrics

    with Predictor(model, "onnxruntime", threads=1) as predictor:
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
        "top_block_recall": metrics.known_mean(map(metrics.top_block_recall, labels, importance)),
        "rank_correlation": metrics.known_mean(
            metrics.rank_correlation(frame.importance, guess) for frame, guess in zip(frames, importance, strict=True)
        ),
    }
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def _levels(prediction: Prediction, num_levels: int, *, own: bool) -> NDArray[np.uint8]:
    """The model's levels, or for a model with another number of them its importance cut into the dataset's."""
    if own:
        return prediction.levels
    return np.minimum(prediction.importance * num_levels, num_levels - 1).astype(np.uint8)


if __name__ == "__main__":
    run(main)
