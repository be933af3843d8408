"""Make PaddleSeg 2.8 run on Paddle 3 safely: patches in memory, without changing their files.

* Paddle 3 refuses arithmetic between integer and floating-point tensors, which PaddleSeg's losses and heads use: the
  operators of eager tensors and of graph values cast the integer operand. Labels that pass through them reach
  ``one_hot`` as floats, so it casts them back to integers.
* ``paddle.load`` unpickles any input, and PaddleSeg calls it for every ``pretrained:`` path: it is replaced
  by the reader of `paddleseg_configs.training.paddle_fixes.weights`, which can only make arrays.
* PaddleSeg's loading and downloading of pretrained weights, which check nothing, are replaced, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
from paddleseg.utils import utils as paddleseg_utils

from paddleseg_configs.training.paddle_fixes.pretrained import fetch_pretrained, load_pretrained
from paddleseg_configs.training.paddle_fixes.weights import read_state

_OPERATORS = ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "lt", "le", "gt", "ge")
_INTEGERS = frozenset({paddle.bool, paddle.uint8, paddle.int8, paddle.int16, paddle.int32, paddle.int64})
_FLOATS = frozenset({paddle.float16, paddle.bfloat16, paddle.float32, paddle.float64})
_APPLIED = "_regen_casting"


def apply_compat() -> None:
    """Patch Paddle for this process. Can be called more than once."""
    tensor_classes: tuple[Any, ...] = (paddle.Tensor, paddle.pir.Value)  # type: ignore[attr-defined]
    for tensor_class in tensor_classes:
        for operator in _OPERATORS:
            name = f"__{operator}__"
            method = getattr(tensor_class, name)
            if not getattr(method, _APPLIED, False):
                setattr(tensor_class, name, _casting(method, tensor_class))
    functional: Any = paddle.nn.functional
    if not getattr(functional.one_hot, _APPLIED, False):
        functional.one_hot = _one_hot_of_any(functional.one_hot)
    paddle.load = _load  # type: ignore[assignment]
    paddleseg_utils.load_pretrained_model = load_pretrained
    paddleseg_utils.download_pretrained_model = fetch_pretrained


def _casting(method: Callable[[Any, Any], Any], tensor_class: Any) -> Callable[[Any, Any], Any]:
    def operate(self: Any, other: Any) -> Any:
        if isinstance(other, tensor_class):
            if self.dtype in _INTEGERS and other.dtype in _FLOATS:
                self = self.astype(other.dtype)
            elif self.dtype in _FLOATS and other.dtype in _INTEGERS:
                other = other.astype(self.dtype)
        return method(self, other)

    setattr(operate, _APPLIED, True)
    return operate


def _one_hot_of_any(stock: Callable[..., Any]) -> Callable[..., Any]:
    def one_hot(x: Any, *arguments: Any, **options: Any) -> Any:
        return stock(x.astype("int64") if x.dtype in _FLOATS else x, *arguments, **options)

    setattr(one_hot, _APPLIED, True)
    return one_hot


def _load(path: str | Path, **_configs: Any) -> dict[str, Any]:
    return read_state(Path(path))
