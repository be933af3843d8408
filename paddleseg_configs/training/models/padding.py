"""Run models on frames whose sides are not multiples of 32: pad at the right and bottom, never resize.

The deepest features of most models are 32 times smaller than the frame. If the sides are not divisible, decoders
resize, for example, 12 rows of features to 23, and so shift them relative to the macroblocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paddle

MULTIPLE_PX = 32
_cutting = [True]
"""Whether models crop their outputs to the frame, in this process."""


def padded_size(height_px: int, width_px: int, multiple_px: int = MULTIPLE_PX) -> tuple[int, int]:
    """Height and width of a frame after padding."""
    return -(-height_px // multiple_px) * multiple_px, -(-width_px // multiple_px) * multiple_px


@contextmanager
def keeping_padding() -> Iterator[None]:
    """In this context, outputs cover the padded frame: they are not cropped."""
    _cutting[0] = False
    try:
        yield
    finally:
        _cutting[0] = True


def pad_to_multiple(model: Any, *, height_px: int, width_px: int, multiple_px: int = MULTIPLE_PX) -> None:
    """Make `model` pad its input and crop its outputs, in training, in evaluation and in the exported graph.

    The border repeats the last row and column, as codecs do. Outputs of lower resolution keep the part that covers the
    frame. (``functional.pad`` does not work: Paddle2ONNX 2.1 writes its fill value from uninitialized memory.)

    Args:
        model: a ``paddle.nn.Layer`` from (N, 3, H, W) images to a list of (N, C, h, w) outputs.
        height_px: H, of every image.
        width_px: W, of every image.
        multiple_px: padded sides are multiples of this.
    """
    padded = padded_size(height_px, width_px, multiple_px)
    below, right = padded[0] - height_px, padded[1] - width_px
    if not (below or right):
        return

    def pad(_model: Any, inputs: tuple[paddle.Tensor]) -> paddle.Tensor:
        return _repeat_last(_repeat_last(inputs[0], 2, below), 3, right)

    def crop(_model: Any, _inputs: Any, outputs: list[paddle.Tensor]) -> list[paddle.Tensor]:
        return [_covering(output, (height_px, width_px), padded) for output in outputs] if _cutting[0] else outputs

    model.register_forward_pre_hook(pad)
    model.register_forward_post_hook(crop)


def _repeat_last(image: paddle.Tensor, axis: int, count: int) -> paddle.Tensor:
    """Append the last slice along `axis` `count` times."""
    if not count:
        return image
    last = image[:, :, -1:] if axis == 2 else image[:, :, :, -1:]
    return paddle.concat([image, *[last] * count], axis=axis)


def _covering(output: paddle.Tensor, frame: tuple[int, int], padded: tuple[int, int]) -> paddle.Tensor:
    """Crop an output to the upper left part, which covers the frame.

    While a graph is traced, an output that the model resized to its input's size has an unknown size, -1.
    """
    sizes = [whole if size < 0 else size for size, whole in zip(output.shape[2:], padded, strict=True)]
    rows, cols = (-(-size * part // whole) for size, part, whole in zip(sizes, frame, padded, strict=True))
    return output[:, :, :rows, :cols]
