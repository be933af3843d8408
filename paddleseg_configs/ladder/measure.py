"""Measure one exported model: operations, time per frame on one thread, and agreement with a split's labels.

python -m paddleseg_configs.ladder.measure MODEL.onnx --dataset DIR --out measured.json
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from deploy.core.cli import run


@dataclass(frozen=True)
class MeasureOptions:
    """Options of one measurement."""

    model: Annotated[Path, tyro.conf.Positional]
    """An .onnx file, with its card next to it."""
    dataset: Path
    """Dataset folder."""
    out: Path
    """The .json file to write."""
    split: Literal["train", "val", "test"] = "test"
    """Split whose labels the levels are compared with."""
    runs: int = 100
    """Number of frames to time; the split's frames are repeated as needed."""


def main() -> None:
    """Parse the command line and measure."""
    options = tyro.cli(MeasureOptions, description=__doc__)
    from deploy.core.files import write_text
    from paddleseg_configs.ladder.measurement import measure

    text = measure(options.model, options.dataset, split=options.split, runs=options.runs).model_dump_json(indent=2)
    write_text(options.out, text + "\n")
    print(text)


if __name__ == "__main__":
    run(main)
