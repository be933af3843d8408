"""Read pickles of plain data and PyTorch tensors without running code in them; see `plain_pickle`."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import InputError
from labeling.core.plain_pickle import Factories, StandIn, load_plain


class _Storage(StandIn):
    """Replaces a tensor's storage: bytes in a file written by torch.save."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def _make(self) -> NDArray[Any]:
        import torch

        with warnings.catch_warnings():  # old files contain typed storages
            warnings.simplefilter("ignore")
            stored = torch.load(io.BytesIO(self.data), map_location="cpu", weights_only=True)
            flat = torch.tensor([], dtype=stored.dtype).set_(stored.untyped())
        return flat.numpy()


class _Tensor(StandIn):
    """Replaces torch.Tensor: a storage and its layout."""

    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def _make(self) -> NDArray[Any]:
        flat = self.storage.resolve()
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        count = int(np.prod(self.size, dtype=object))  # repeated elements could fill any memory
        if min((self.offset, *self.size, *self.stride)) < 0 or count > flat.size or (count and last >= flat.size):
            raise pickle.UnpicklingError("a tensor that reaches outside its storage")
        steps = [step * flat.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, steps).copy()


_TENSORS: Factories = {
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch.storage", "_load_from_bytes"): _Storage,
}


def read_plain_pickle(path: Path, *, leave_out: frozenset[str] = frozenset()) -> Any:
    """Read a pickle that contains only plain data and tensors.

    Args:
        path: the file.
        leave_out: packages whose objects are replaced with None. They are not imported.

    Returns:
        Tensors and arrays as numpy arrays, everything else as built-in Python types.

    Raises:
        InputError: the file is missing or damaged, or contains anything else.
    """
    try:
        return load_plain(path.read_bytes(), _TENSORS, leave_out)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="Check the path.") from None
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is not a pickle of plain data: {error}",
            hint="Only tensors, arrays, dicts, sequences, numbers and strings are accepted; create the file again.",
        ) from None
