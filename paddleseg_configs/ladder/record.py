"""Records of models that were trained and measured side by side: ``zoo.json``, ``row.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from deploy.core.errors import DatasetError, first_line
from labeling.dataset.manifest import Record, Sha256
from labeling.utility.record import UtilityReport


class Latency(Record):
    """Time a frame on one thread, from RGB bytes to the importance map."""

    p50_ms: float
    p95_ms: float
    network_p50_ms: float
    """Of that, the network alone."""
    runtime: str
    """Library, version, precision."""


class Measurement(Record):
    """What one exported model costs and how its levels compare with the labels of a split."""

    gmac: float
    """Billions of multiply-accumulate operations a frame."""
    latency: dict[str, Latency]
    """By backend."""
    frames: int
    """Frames that the metrics are over."""
    metrics: dict[str, float | None]
    """By macroblock: mean_iou, accuracy, mean_level_error, quadratic_kappa, top_block_recall, rank_correlation."""


class ModelRow(Record):
    """One model of the comparison."""

    name: str
    description: str
    failure: str = ""
    """Why it has no figures; empty if it has."""
    parameters: int | None = None
    iters: int | None = None
    epochs: float | None = None
    seconds_per_iter: float | None = None
    """While training; other work on the machine counts in."""
    parity: dict[str, float] = Field(default_factory=dict)
    """Agreement of the exported file with the trained model."""
    dynamic_batch: bool | None = None
    """Whether it converts with a free batch size, or only with a batch of one."""
    measured: Measurement | None = None


class Settings(Record):
    """How all models were trained."""

    dataset: str
    """Names of its videos, frame size, levels and label."""
    manifest_sha256: Sha256
    max_iters: int
    minutes: float | None
    """Training time that each model may take; its iterations follow from its speed."""
    batch_size: int
    seed: int
    opts: tuple[str, ...]
    machine: str
    versions: dict[str, str]


class LadderReport(Record):
    """The whole comparison."""

    schema_version: Literal[1] = 1
    settings: Settings
    rows: tuple[ModelRow, ...]
    utility: UtilityReport | None = Field(default=None)
    """None where only the ladder was checked."""


def read_report(path: Path) -> LadderReport:
    """Read and validate a report.

    Raises:
        DatasetError: missing or bad.
    """
    try:
        return LadderReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(f"cannot read {path}: {first_line(error)}", hint="Run compare.py again.") from None
