"""Checkpoints to resume training from, for all PyTorch training in this project.

The same command resumes from its newest checkpoint and produces the same weights as an uninterrupted run. Another
command does not find it: the file name is a hash of everything that determines the result. (PaddleSeg's layout, a
folder for each checkpoint, is in `paddleseg_configs/training/run/checkpoint.py`.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from deploy.core.files import atomic_path


class Stateful(Protocol):
    """A network, an optimizer or a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Restore the saved state."""
        ...


class TrainingCheckpoint:
    """The state of a training run on disk.

    Args:
        folder: folder of the checkpoint; created when needed.
        made_of: everything that determines the result, as plain values.
        parts: objects with a state, by name.
    """

    def __init__(self, folder: Path, made_of: object, parts: Mapping[str, Stateful]) -> None:
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()
        self._path, self._parts = folder / f"{digest[:12]}.pt", parts

    def save(self, **progress: float) -> None:
        """Save the state of all parts, and numbers such as the step."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self._parts.items()}
        with atomic_path(self._path) as temporary:
            torch.save(state | progress, temporary)

    def restore(self, device: str = "cpu") -> dict[str, float] | None:
        """Restore the saved state of all parts.

        Returns:
            The numbers passed to `save`; None if there is no checkpoint.
        """
        if not self._path.is_file():
            return None
        state = torch.load(self._path, map_location=device, weights_only=True)
        for name, part in self._parts.items():
            part.load_state_dict(state.pop(name))
        return state  # type: ignore[no-any-return]
