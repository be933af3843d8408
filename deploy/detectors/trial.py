"""Properties of a detector's file that are found by running it once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.geometry import Size
from deploy.detectors.layout import Layout
from deploy.detectors.layouts import choose_layout

Floats = NDArray[np.float32]
_TRIAL_SIZE = (320, 320)


def find_layout(
    run: Callable[[Floats], Sequence[Floats]], path: Path, own: Size | None, asked: Size | None, wanted: str | None
) -> tuple[Layout, int]:
    """The layout of a detector's outputs, and its number of classes; see `choose_layout`.

    Args:
        run: the network, (1, 3, H, W) -> its outputs in the file's order.
        path: its file, for messages.
        own: height and width that the file is for; None if they are free.
        asked: those that the user wants; None takes the file's.
        wanted: name of the layout, where the user gave one.

    Raises:
        OptionError: it does not run at the size that was asked for, or two layouts fit.
        WeightsError: of no known layout.
    """
    size = asked or own or _TRIAL_SIZE
    # Noise, so that no output is constant by chance.
    frame = np.random.default_rng(0).random((1, 3, *size), np.float32)
    try:
        return choose_layout(run(frame), size, wanted)
    except WeightsError as error:
        if asked in (None, own) or own is None:
            raise
        raise OptionError(
            f"{path} works only at {own[1]}x{own[0]}: {error}",
            hint="Omit --detector-size, or export it at that size.",
        ) from None


def known_input(name: str, size: Size, path: Path) -> tuple[int, int]:
    """Value of an input besides the frame, so that boxes are in pixels of the network's frame.

    Raises:
        WeightsError: nothing is known of it.
    """
    height, width = size
    known = {"im_shape": (height, width), "scale_factor": (1, 1), "orig_target_sizes": (width, height)}
    if name not in known:
        raise WeightsError(f"{path} has an unknown input {name!r}", hint="Export it with the frame as its only input.")
    return known[name]
