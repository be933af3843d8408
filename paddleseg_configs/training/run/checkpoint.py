"""Checkpoints, complete or absent: ``iter_N`` folders with weights, optimizer state and a record of the run."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import paddle

from deploy.core.errors import WeightsError
from deploy.core.files import atomic_path, sha256_of, write_text
from deploy.core.work_folder import remove_temporaries
from paddleseg_configs.training.config.origin import ORIGIN, Origin
from paddleseg_configs.training.paddle_fixes.weights import load_weights, read_state

PARAMETERS, OPTIMIZER, STATE = "model.pdparams", "model.pdopt", "state.json"
BEST = "best_model"


@dataclass(frozen=True)
class TrainingState:
    """State of a run, apart from its tensors."""

    iteration: int
    """Finished iterations."""
    fingerprint: str
    """Hash of configuration, dataset and seed."""
    best_score: float
    """Best value of the evaluation metric so far; -1 before the first evaluation."""
    stale_evaluations: int = 0
    """Evaluations since the best one."""


def save_checkpoint(folder: Path, model: Any, optimizer: Any, state: TrainingState, origin: Origin) -> None:
    """Write a checkpoint to a temporary folder next to `folder` and rename it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        paddle.save(model.state_dict(), str(temporary / PARAMETERS))
        paddle.save(optimizer.state_dict(), str(temporary / OPTIMIZER))
        (temporary / STATE).write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
        (temporary / ORIGIN).write_text(origin.text(), encoding="utf-8")
        temporary.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def save_best(save_dir: Path, model: Any, origin: Origin) -> Path:
    """Write ``best_model/model.pdparams`` and its origin, each atomically."""
    path = save_dir / BEST / PARAMETERS
    with atomic_path(path) as temporary:
        paddle.save(model.state_dict(), str(temporary))
    write_text(path.with_name(ORIGIN), origin.text())
    return path


def restore(folder: Path, model: Any, optimizer: Any) -> TrainingState:
    """Load a checkpoint into `model` and `optimizer`.

    Raises:
        WeightsError: incomplete, damaged, or of a different model.
    """
    state = read_training_state(folder)
    load_weights(model, folder / PARAMETERS)
    with warnings.catch_warnings():
        # Paddle warns that the state of the schedule inside a warm-up is unused, but uses it.
        warnings.filterwarnings("ignore", message="There are some unused values in state_dict")
        optimizer.set_state_dict(read_state(folder / OPTIMIZER))
    return state


def read_training_state(folder: Path) -> TrainingState:
    """Read the state of a checkpoint folder.

    Raises:
        WeightsError: not a checkpoint of this project.
    """
    try:
        return TrainingState(**json.loads((folder / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{folder} is not a training checkpoint: {error}",
            hint=f"It must contain {PARAMETERS}, {OPTIMIZER} and {STATE}.",
        ) from None


def parameters_sha256(folder: Path) -> str:
    """Hash of a checkpoint's weights."""
    read_training_state(folder)
    return sha256_of(folder / PARAMETERS)


def checkpoints_in(save_dir: Path) -> list[Path]:
    """List complete checkpoints, oldest first."""
    found = [path for path in save_dir.glob("iter_*") if path.name[5:].isdigit() and (path / STATE).is_file()]
    return sorted(found, key=lambda path: int(path.name[5:]))


def prune(save_dir: Path, keep: int) -> None:
    """Delete the oldest checkpoints and remains of killed runs."""
    for path in checkpoints_in(save_dir)[:-keep]:
        shutil.rmtree(path, ignore_errors=True)
    for folder in (save_dir, save_dir / BEST):
        remove_temporaries(folder)
