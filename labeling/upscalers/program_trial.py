"""Inputs and outputs of a saved network, determined by running it on a known frame: channels, factor, value range."""

from __future__ import annotations

from functools import partial
from itertools import product

from torch import Tensor

from deploy.core.errors import OptionError, WeightsError
from deploy.core.files import sha256_of
from labeling.upscalers.consistency import consistency_db, known_frame
from labeling.upscalers.luma import enlarge_luma, luma_of
from labeling.upscalers.network import NetworkUpscaler
from labeling.upscalers.program import OVERLAP_PX, Program, Size, call_once, enlarge, reason_of, rounded_up, shape_of
from labeling.upscalers.tiling import pad_to

MULTIPLES_PX = (1, 2, 4, 8, 16, 32, 64)
"""The sides of a frame may have to be multiples of one: the first that runs is taken."""
_CLEARLY_BETTER_DB = 0.5
"""A network without biases gives the same for values of any range: the first is taken."""


def program_upscaler(name: str, program: Program, scale: int, colors: str | float | None) -> NetworkUpscaler:
    """A program behind the `Upscaler` protocol.

    Args:
        name: the registry's name.
        program: the file.
        scale: the wanted factor.
        colors: "rgb", "bgr", or None, which is RGB: results do not tell the order, since networks enlarge both alike.

    Raises:
        OptionError: `colors` is neither, or the network takes luma alone.
        WeightsError: it does not enlarge frames.
    """
    if colors not in (None, "rgb", "bgr"):
        raise OptionError(f"--upscaler-option colors={colors} is not rgb or bgr", hint="Use bgr for OpenCV's order.")
    channels, factor, multiple_px = _find_shape(program)
    if channels == 1 and colors:
        raise OptionError(f"{program.path} takes only luma, not colors", hint="Omit the option.")
    values_in, values_out = _find_ranges(program, factor, multiple_px, _known(channels))

    def run(lr: Tensor) -> Tensor:
        return enlarge(program, factor, multiple_px, lr * values_in) / values_out

    def run_in_colors(lr: Tensor) -> Tensor:
        try:
            if channels == 1:
                return enlarge_luma(run, lr, factor)
            return run(lr.flip(1)).flip(1) if colors == "bgr" else run(lr)
        except Exception as error:  # what networks raise has no common base
            raise WeightsError(
                f"{program.path} failed on {shape_of(lr)}: {reason_of(error)}",
                hint="Export it for any size, or for one fixed size.",
            ) from None

    return NetworkUpscaler(
        name,
        program.network,
        run_in_colors,
        native_scale=factor,
        scale=scale,
        weights_sha256=sha256_of(program.path),
        overlap_px=OVERLAP_PX,
        tile_px=None if program.size else 256,
        record={"colors": colors} if colors else {},
        description=f"x{factor}, {'luma' if channels == 1 else (str(colors or 'rgb')).upper()}, "
        f"values to {values_in:.0f}, {_shown_size(program, multiple_px)}",
    )


def _shown_size(program: Program, multiple_px: int) -> str:
    if program.size:
        return f"only {program.size[1]} x {program.size[0]}: frames are processed in tiles"
    return "any size" if multiple_px == 1 else f"sides that are multiples of {multiple_px}: frames are padded"


def _find_shape(program: Program) -> tuple[int, int, int]:
    """Channels, factor, and the multiple that sides must be of.

    Raises:
        WeightsError: nothing runs.
    """
    complaints: dict[int, str] = {}
    for channels, multiple_px in product(program.channels, (1,) if program.size else MULTIPLES_PX):
        frame = _known(channels)
        size = program.size or _not_also_twice(rounded_up(frame, multiple_px), multiple_px)
        frame = pad_to(frame[..., : size[0], : size[1]], size)
        try:
            return channels, call_once(program, frame).shape[2] // frame.shape[2], multiple_px
        except Exception as error:  # what networks raise has no common base
            complaints[channels] = f"{shape_of(frame)}: {reason_of(error)}"
    raise WeightsError(
        f"{program.path} does not enlarge a frame of {complaints[program.channels[0]]}",
        hint="It must take 1 x 3 x H x W RGB, or 1 x 1 x H x W luma, and return it 2 to 8 times as large.",
    )


def _find_ranges(program: Program, factor: int, multiple_px: int, frame: Tensor) -> tuple[float, float]:
    """The greatest values of input and output: those whose result, reduced again, is most like the frame."""
    run = partial(enlarge, program, factor, multiple_px)
    best, best_db = (program.ranges[0], program.ranges[0]), 0.0
    for values_in in program.ranges:
        enlarged = run(frame * values_in)
        for values_out in (1.0, 255.0):
            found_db = consistency_db(frame, enlarged / values_out)
            if found_db > best_db + _CLEARLY_BETTER_DB:
                best, best_db = (values_in, values_out), found_db
    return best


def _not_also_twice(size: Size, multiple_px: int) -> Size:
    """Sides that are odd multiples: what runs on them runs on all multiples."""
    height, width = (side + (1 - side // multiple_px % 2) * multiple_px for side in size)
    return height, width


def _known(channels: int) -> Tensor:
    return known_frame() if channels == 3 else luma_of(known_frame())
