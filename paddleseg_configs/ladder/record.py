"""Records of models that were trained and measured side by side: ``zoo.json``, ``row.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from deploy.core.errors import DatasetError, first_line
from labeling.dataset.manifest import Record, Sha256
from labeling.utility.record import UtilityReport


class Latency(Record):
    """Time per frame on one thread, from RGB bytes to the importance map."""

    p50_ms: float
    p95_ms: float
    network_p50_ms: float
    """Median time of the network alone."""
    runtime: str
    """Library, version, precision."""


class Measurement(Record):
    """Cost of one exported model, and agreement of its levels with the labels of a split."""

    gmac: float
    """Billions of multiply-accumulate operations per frame."""
    latency: dict[str, Latency]
    """Time by backend."""
    frames: int
    """Number of frames that the metrics cover."""
    metrics: dict[str, float | None]
    """Over macroblocks: mean_iou, accuracy, mean_level_error, quadratic_kappa, top_block_recall, rank_correlation."""


class ModelRow(Record):
    """One model of the comparison."""

    name: str
    description: str
    failure: str = ""
    """Why there are no measurements; empty if there are."""
    parameters: int | None = None
    iters: int | None = None
    epochs: float | None = None
    seconds_per_iter: float | None = None
    """Wall-clock training time, which other work on the machine increases."""
    parity: dict[str, float] = Field(default_factory=dict)
    """Agreement of the exported file with the trained model."""
    dynamic_batch: bool | None = None
    """Whether it converts with a dynamic batch size, or only with a batch of one."""
    measured: Measurement | None = None


class Settings(Record):
    """How all models were trained."""

    dataset: str
    """Names of its videos, frame size, levels and label."""
    manifest_sha256: Sha256
    max_iters: int
    minutes: float | None
    """Maximum training time per model; the number of iterations depends on its speed."""
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
    """None if detection accuracy was not evaluated."""


def read_report(path: Path) -> LadderReport:
    """Read and validate a report.

    Raises:
        DatasetError: missing or invalid.
    """
    try:
        return LadderReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DatasetError(f"cannot read {path}: {first_line(error)}", hint="Run compare.py again.") from None
