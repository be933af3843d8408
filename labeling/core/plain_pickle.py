"""Read pickles of plain data (arrays, dicts, sequences, numbers, strings) without running code in them.

The pickle format can call any function. Here it can only reach stand-ins, which store their arguments; arrays are
rebuilt from bytes afterwards. NumPy's own classes are excluded, too: a forged dtype state can make NumPy follow
wild pointers.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Factories = Mapping[tuple[str, str], Callable[..., Any]]
"""(module, name) as requested by a pickle -> its replacement."""
_NUMBERS = frozenset("biufc")
_MAX_DEPTH = 32


class StandIn:
    """Base class of placeholders for objects while the pickle is read."""

    _resolved: NDArray[Any] | None = None

    def resolve(self) -> Any:
        """Return the represented array, the same object on every call."""
        if self._resolved is None:
            self._resolved = self._make()
        return self._resolved

    def _make(self) -> Any:
        raise NotImplementedError


class _Dtype:
    """Replaces numpy.dtype: a type code and whether it is big-endian."""

    def __init__(self, code: str, *_flags: object) -> None:
        self.code, self.big_endian = code, False

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.big_endian = state[1] == ">"

    def resolve(self) -> np.dtype[Any]:
        dtype = np.dtype(str(self.code))
        if dtype.kind not in _NUMBERS:
            raise pickle.UnpicklingError(f"an array of {dtype}")
        return dtype.newbyteorder(">" if self.big_endian else "<")


class _Array(StandIn):
    """Replaces numpy.ndarray."""

    def __init__(self, *_arguments: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def _make(self) -> NDArray[Any]:
        _version, shape, dtype, fortran, raw = self.state
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        flat = np.frombuffer(data, dtype.resolve())
        return flat.reshape(shape, order="F" if fortran else "C").astype(flat.dtype.newbyteorder("="), order="C")


class _Left(StandIn):
    """Replaces an object of an excluded package; its contents are discarded."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def _make(self) -> Any:
        return None


def _array(shape: tuple[int, ...], dtype: _Dtype, raw: bytes | str, *, fortran: bool = False) -> _Array:
    array = _Array()
    array.state = (1, shape, dtype, fortran, raw)
    return array


def _scalar(dtype: _Dtype, raw: bytes | str) -> _Array:
    return _array((), dtype, raw)


def _from_buffer(raw: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    return _array(shape, dtype, bytes(raw), fortran=order == "F")


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What Python 3 writes for an empty array in protocol 2."""
    return b""


_ALLOWED: Factories = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): dict,
}


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, factories: Factories, leave_out: frozenset[str]) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._factories, self._leave_out = factories, leave_out

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in self._leave_out:
            return _Left
        try:
            return self._factories[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def load_plain(data: bytes, more: Factories | None = None, leave_out: frozenset[str] = frozenset()) -> Any:
    """Read a pickle that contains only plain data.

    Args:
        data: content of the pickle.
        more: functions that it may call besides those for NumPy arrays; they return `StandIn`s or plain data.
        leave_out: packages whose objects are replaced with None. They are not imported.

    Returns:
        Arrays as numpy arrays, everything else as built-in Python types.

    Raises:
        pickle.UnpicklingError: the pickle is damaged or contains anything else.
    """
    try:
        _check_memo(data)
        factories = {**_ALLOWED, **(more or {})}
        return _Resolver(len(data)).resolve(_PlainUnpickler(data, factories, leave_out).load(), 0)
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise pickle.UnpicklingError(str(error) or type(error).__name__) from None


def _check_memo(data: bytes) -> None:
    """Reject large memo indices: the unpickler reserves memory up to the largest one."""
    for opcode, number, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(number, int) and number > len(data):
            raise pickle.UnpicklingError(f"it stores a value under the number {number}")


class _Resolver:
    """Replaces stand-ins with arrays.

    Args:
        most_values: limit on the number of values, since nested lists that repeat one list can grow without bound.
    """

    def __init__(self, most_values: int) -> None:
        self._left = most_values

    def resolve(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            raise pickle.UnpicklingError(f"nested deeper than {_MAX_DEPTH}, or more values than bytes")
        if isinstance(value, StandIn):
            return value.resolve()
        if isinstance(value, dict):
            return {self.resolve(key, depth + 1): self.resolve(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.resolve(item, depth + 1) for item in value)
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        raise pickle.UnpicklingError(f"a {type(value).__name__}")
