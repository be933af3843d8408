"""Merge datasets to train on all of them: of several detectors, frame sizes, kinds of LR frames or machines.

    python labeling/merge_datasets.py DATASET DATASET [DATASET ...] --out DIR

The same frame may occur several times with different labels; a model then learns their mean. Levels, curve, reduction
and grid must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.cli import run


@dataclass(frozen=True)
class MergeOptions:
    """Options of the merge."""

    datasets: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Finished datasets, two or more."""
    out: Path
    """Dataset folder to write."""


def main() -> None:
    """Parse the command line and merge."""
    options = tyro.cli(MergeOptions, description=__doc__)
    from labeling.dataset.merging import merge_datasets

    merged = merge_datasets(options.datasets, options.out)
    frames = {split: record.num_frames for split, record in merged.splits.items()}
    size = f"{merged.frame_width_px} x {merged.frame_height_px}"
    print(f"wrote {options.out}: {len(merged.sources)} videos at up to {size}; frames {frames}")


if __name__ == "__main__":
    run(main)
