"""Read ``.pdparams`` and ``.pdopt`` files without running what is in them.

Paddle stores state as a pickle, and ``paddle.load`` unpickles it without restriction: a file from elsewhere can run
any code. Here the pickle machine can only reach the few stand-ins below, which hold plain numbers; they become arrays
afterwards. Even numpy's own classes stay out of reach: a forged dtype state can make numpy follow wild pointers.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import WeightsError

NAME_TABLE = "StructuredToParameterName@@"
"""Key under which Paddle keeps the parameters' internal names."""
_NUMBERS = frozenset("biufc")


class _Dtype:
    """Stands in for numpy.dtype: a type code and whether it is big-endian."""

    def __init__(self, code: str, *_flags: object) -> None:
        self.code, self.swapped = code, False

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.swapped = state[1] == ">"

    def resolve(self) -> np.dtype[Any]:
        dtype = np.dtype(self.code)
        if dtype.kind not in _NUMBERS:
            raise pickle.UnpicklingError(f"arrays of {dtype} are not weights")
        return dtype.newbyteorder(">" if self.swapped else "<")


class _Array:
    """Stands in for numpy.ndarray: what is needed to rebuild one."""

    def __init__(self, *_arguments: object) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def resolve(self) -> NDArray[Any]:
        _version, shape, dtype, fortran, raw = self.state
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        flat = np.frombuffer(data, dtype.resolve())
        return flat.reshape(shape, order="F" if fortran else "C").astype(flat.dtype.newbyteorder("="), order="C")


def _scalar(dtype: _Dtype, raw: bytes | str) -> _Array:
    array = _Array()
    array.state = (1, (), dtype, False, raw)
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not used by weight files")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """What Python 3 writes for an empty array in protocol 2."""
    return b""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): dict,
}


class _StateUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which weights never need") from None


def read_state(path: Path) -> dict[str, Any]:
    """Read a file written by ``paddle.save`` of a state dict.

    Returns:
        name -> array, number or nested dict; without Paddle's name table.

    Raises:
        WeightsError: missing, damaged, or more than arrays, numbers and text.
    """
    try:
        with path.open("rb") as stream:
            state = _resolve(_StateUnpickler(stream, encoding="latin1").load())
    except OSError as error:
        raise WeightsError(f"cannot read weights {path}: {error.strerror}", hint="Check the path.") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise WeightsError(
            f"{path} is not a safe Paddle weight file: {error}",
            hint="Use a .pdparams file written by paddle.save(layer.state_dict()), from a source that you trust.",
        ) from None
    if not isinstance(state, dict):
        raise WeightsError(f"{path} holds a {type(state).__name__}, not a state dict", hint="Use model.pdparams.")
    state.pop(NAME_TABLE, None)
    return state


def _resolve(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.resolve()
    if isinstance(value, dict):
        return {str(key): _resolve(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise pickle.UnpicklingError(f"a {type(value).__name__} is no part of a state dict")


def load_weights(model: Any, path: Path) -> None:
    """Load every parameter and statistic of `model`, a ``paddle.nn.Layer``.

    Raises:
        WeightsError: the file cannot be used, or a parameter is missing or of another shape.
    """
    state, own = read_state(path), model.state_dict()
    hint = "Use the configuration and the number of levels with which the weights were trained."
    missing = sorted(set(own) - set(state))
    if missing:
        raise WeightsError(f"{path} lacks {len(missing)} parameters, the first is {missing[0]}", hint=hint)
    for name, parameter in own.items():
        shape = np.shape(state[name])
        if shape != tuple(parameter.shape):
            raise WeightsError(f"{path}: {name} is {shape}, the model needs {tuple(parameter.shape)}", hint=hint)
    model.set_state_dict({name: state[name] for name in own})
