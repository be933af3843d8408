"""Convert ground truth of AccMPEG or RegenHance (``gt.pickle``, ``gt.pickle.0``, ...) to npz, safely.

    python labeling/import_pickle.py gt.pickle.0 gt.pickle.1 --out importance.npz [--block-px 16]

These files are Python pickles, one per process that wrote them. AccMPEG's contain {frame number: tensor (1, 1, rows,
cols)}, RegenHance's {(data set, number): {"saliency": tensor, ...}} with detectron2 objects, which are ignored. No code
in them is run: anything that is not a tensor, an array, a dict, a sequence, a number or a string is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from deploy.core.cli import run
from deploy.core.errors import InputError, OptionError
from deploy.core.files import write_npz
from deploy.core.ranges import require_range

_HINT = "Expected {frame number: tensor (1, 1, rows, cols)}, or {(data set, number): {'saliency': that tensor}}."
_OTHERS_OBJECTS = frozenset({"detectron2"})


@dataclass(frozen=True)
class ImportPickleOptions:
    """Options of the conversion."""

    pickles: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The pickles of one video."""
    out: Path
    """The .npz to write: importance (N, rows, cols) float32, frame_index (N,), block_px."""
    block_px: int = 16
    """Side of a macroblock in pixels of the super-resolved frame; the old files do not say it."""

    def __post_init__(self) -> None:
        if not self.pickles:
            raise OptionError("no pickle given", hint="Specify at least one: import_pickle.py gt.pickle --out FILE.npz")
        require_range("block_px", self.block_px, 1)


def main() -> None:
    """Parse the command line and convert."""
    options = tyro.cli(ImportPickleOptions, description=__doc__)
    maps = read_ground_truth(options.pickles)
    index = np.array(sorted(maps), np.int64)
    importance = np.stack([maps[frame] for frame in index.tolist()])
    write_npz(
        options.out,
        schema_version=np.array(1),
        importance=importance,
        frame_index=index,
        grid=np.array("sr"),
        block_px=np.array(options.block_px),
    )
    print(f"wrote {options.out}: {len(index)} frames of {importance.shape[1]} x {importance.shape[2]} macroblocks")


def read_ground_truth(pickles: tuple[Path, ...]) -> dict[int, NDArray[np.float32]]:
    """Read files together: frame number -> (rows, cols) importance.

    Raises:
        InputError: a file contains something else, frames of different shapes, or a frame that is also in another file.
    """
    from labeling.core.safe_pickle import read_plain_pickle

    maps: dict[int, NDArray[np.float32]] = {}
    for path in pickles:
        content = read_plain_pickle(path, leave_out=_OTHERS_OBJECTS)
        if not isinstance(content, dict):
            raise InputError(f"{path} contains a {type(content).__name__}, not a dict", hint=_HINT)
        for key, value in content.items():
            frame = _frame_number(path, key)
            values = value.get("saliency") if isinstance(value, dict) else value
            if frame in maps:
                raise InputError(f"{path}: frame {frame} is also in an earlier file", hint="Specify each file once.")
            maps[frame] = _importance(path, frame, values)
    shapes = {values.shape for values in maps.values()}
    if len(shapes) != 1:
        raise InputError(
            f"frames of {len(shapes)} different grids in {pickles[0]} ...", hint="Convert one video at a time."
        )
    return maps


def _frame_number(path: Path, key: Any) -> int:
    """Frame number of a key: the key itself, or its second part if the first is a data set."""
    named = isinstance(key, tuple) and len(key) == 2 and isinstance(key[0], str)
    frame = key[1] if named else key
    if not isinstance(frame, int) or isinstance(frame, bool) or frame < 0:
        raise InputError(f"{path}: {key!r} is not a frame number", hint=_HINT)
    return frame


def _importance(path: Path, frame: int, values: Any) -> NDArray[np.float32]:
    what = f"{path}: frame {frame}"
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim < 2 or array.size == 0 or any(n != 1 for n in array.shape[:-2]):
        raise InputError(f"{what} is {array.dtype} of shape {array.shape}", hint=_HINT)
    if not np.isfinite(array).all():
        raise InputError(f"{what} contains values that are not finite", hint="Create the ground truth again.")
    return array.reshape(array.shape[-2:]).astype(np.float32)


if __name__ == "__main__":
    run(main)
