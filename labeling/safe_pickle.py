"""Read pickles of plain data without running what is in them: arrays, tensors, dicts, sequences, numbers, strings.

Python's pickle machine can call anything. Here it reaches only the stand-ins below, which keep what they are given;
numbers are rebuilt from bytes afterwards. Even numpy's and PyTorch's own classes stay out of reach.
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import InputError

_NUMBERS = frozenset("biuf")
MAX_DEPTH = 32


class _Dtype:
    """Stands in for numpy.dtype."""

    def __init__(self, code: str, *_flags: object) -> None:
        self.code, self.big_endian = code, False

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.big_endian = state[1] == ">"

    def resolve(self) -> np.dtype[Any]:
        dtype = np.dtype(self.code)
        if dtype.kind not in _NUMBERS:
            raise pickle.UnpicklingError(f"an array of {dtype}")
        return dtype.newbyteorder(">" if self.big_endian else "<")


class _Array:
    """Stands in for numpy.ndarray."""

    def __init__(self, *_arguments: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def resolve(self) -> NDArray[Any]:
        _version, shape, dtype, fortran, raw = self.state
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        flat = np.frombuffer(data, dtype.resolve())
        return _native(flat.reshape(shape, order="F" if fortran else "C"))


class _Storage:
    """Stands in for a tensor's storage: the bytes of a file of torch.save."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def resolve(self) -> NDArray[Any]:
        import torch

        with warnings.catch_warnings():  # typed storages are what old files hold
            warnings.simplefilter("ignore")
            stored = torch.load(io.BytesIO(self.data), map_location="cpu", weights_only=True)
            flat = torch.tensor([], dtype=stored.dtype).set_(stored.untyped())
        return flat.numpy()


class _Tensor:
    """Stands in for torch.Tensor: a storage and how it is laid out."""

    def __init__(self, storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> None:
        self.storage, self.offset, self.size, self.stride = storage, offset, tuple(size), tuple(stride)

    def resolve(self) -> NDArray[Any]:
        flat = self.storage.resolve()
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        count = int(np.prod(self.size, dtype=object))  # repeated elements could fill any memory
        if min((self.offset, *self.size, *self.stride)) < 0 or count > flat.size or (count and last >= flat.size):
            raise pickle.UnpicklingError("a tensor that reaches out of its storage")
        steps = [step * flat.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, steps).copy()


class _Left:
    """Stands in for an object of a package whose objects are left out: whatever it is given is dropped."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _scalar(dtype: _Dtype, raw: bytes | str) -> _Array:
    array = _Array()
    array.state = (1, (), dtype, False, raw)
    return array


def _from_buffer(raw: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    array = _Array()
    array.state = (1, shape, dtype, order == "F", bytes(raw))
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch.storage", "_load_from_bytes"): _Storage,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
}


class _PlainUnpickler(pickle.Unpickler):
    leave_out: frozenset[str] = frozenset()

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in self.leave_out:
            return _Left
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_plain_pickle(path: Path, *, leave_out: frozenset[str] = frozenset()) -> Any:
    """Read a pickle that holds nothing but plain data.

    Args:
        path: the file.
        leave_out: packages whose objects are expected in it. None comes in their place; nothing of them is imported.

    Returns:
        Tensors and arrays as numpy arrays, everything else as Python's own types.

    Raises:
        InputError: missing, damaged, or it holds anything else.
    """
    try:
        with path.open("rb") as stream:
            unpickler = _PlainUnpickler(stream, encoding="latin1")
            unpickler.leave_out = leave_out
            return _resolve(unpickler.load(), 0)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="Check the path.") from None
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise InputError(
            f"{path} is no pickle of plain data: {error}",
            hint="Only tensors, arrays, dicts, sequences, numbers and strings are read; make it again from its source.",
        ) from None


def _resolve(value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise pickle.UnpicklingError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, _Array | _Tensor):
        return value.resolve()
    if isinstance(value, _Left):
        return None
    if isinstance(value, dict):
        return {_resolve(key, depth + 1): _resolve(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_resolve(item, depth + 1) for item in value)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise pickle.UnpicklingError(f"a {type(value).__name__}")


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), order="C")
