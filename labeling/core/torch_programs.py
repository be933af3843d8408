"""Load networks saved with their code: TorchScript files (.pt, .ts) and torch.export archives (.pt2).

Such a file is a program. Archives that contain pickles are refused, but still use only files from trusted sources.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from deploy.core.errors import WeightsError, first_line

_PLAIN_FILES = re.compile(
    r"[^/]+/(models/[^/]+\.json|data/(weights|constants)/(weight_\d+|tensor_\d+|[^/]+\.json)|data/sample_inputs/[^/]+\.pt"
    r"|archive_format|archive_version|byteorder|\.data/[^/]+|version)"
)


def load_script(path: Path) -> Any:
    """Load the module of a TorchScript file, with gradients of its weights disabled.

    Raises:
        WeightsError: it is none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated, yet files of it are about
            module: Any = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # a damaged file can raise any error
        raise _unreadable(path, error) from None
    module.eval()
    return _without_gradients(module)


def load_export(path: Path) -> tuple[Any, torch.Tensor]:
    """Load a torch.export archive, with gradients of its weights disabled, and the input it was exported for.

    Returns:
        The module, and a fake tensor of its first input; fixed sides have an int in its shape.

    Raises:
        WeightsError: the file is not such an archive, or contains pickles.
    """
    _refuse_pickles(path)
    try:
        with _quiet("torch.export"):  # it logs tracebacks of the errors that it raises
            program = torch.export.load(str(path))
        module: Any = program.module()
        (name,) = program.graph_signature.user_inputs[:1]
        node = next(node for node in program.graph.nodes if node.name == name)
        example: torch.Tensor = node.meta["val"]
    except Exception as error:  # the loader raises all kinds of exceptions
        raise _unreadable(path, error) from None
    return _without_gradients(module), example


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _without_gradients(module: Any) -> Any:
    """Freeze the module's parameters and return it."""
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _refuse_pickles(path: Path) -> None:
    """``torch.export.load`` unpickles some parts of an archive. Accept only archives without such parts.

    Raises:
        WeightsError: the archive has parts other than weights, constants and graphs, or pickled weights.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for name in names:
                if names.count(name) > 1 or not _PLAIN_FILES.fullmatch(name):
                    raise WeightsError(f"{path} carries {name!r}", hint="Export the model again without extra files.")
                if re.search(r"/data/(weights|constants)/[^/]+\.json$", name) and _has_pickle(archive.read(name)):
                    raise WeightsError(f"{path} contains pickled tensors", hint="Export it with plain float tensors.")
                if "/data/sample_inputs/" in name:
                    torch.load(BytesIO(archive.read(name)), weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # not a zip, not JSON, or more than tensors in the sample inputs
        raise _unreadable(path, error) from None


def _has_pickle(config: bytes) -> bool:
    entries = json.loads(config).get("config", {})
    return any(
        entry.get("use_pickle") or not entry["path_name"].startswith(("weight_", "tensor_"))
        for entry in entries.values()
    )


def _unreadable(path: Path, error: Exception) -> WeightsError:
    first = first_line(error)
    return WeightsError(
        f"cannot read {path} as a PyTorch program: {first}", hint="Save it with torch.export.save or torch.jit.save."
    )
