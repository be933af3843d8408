"""Is every configuration still a part of the ladder? Trains each a few steps, exports, converts, compares and times it.

    python paddleseg_configs/check_ladder.py DATASET --readme

Ends with an error if one of them does not train, does not convert, or does not compute the same afterwards. `--readme`
writes what was measured into the table of paddleseg_configs/README.md. What is done is not done again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.cli import run


@dataclass(frozen=True)
class CheckOptions:
    """Options of one check."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py; `make ladder` makes one."""
    models: tuple[str, ...] = ()
    """Configurations by name; the default is all."""
    out: Path = Path("runs/ladder")
    """Folder for everything that is made on the way."""
    iters: int = 4
    """Training iterations."""
    readme: bool = False
    """Write the table of paddleseg_configs/README.md."""


def main() -> None:
    """Parse the command line and check."""
    options = tyro.cli(CheckOptions, description=__doc__)
    from paddleseg_configs.zoo.ladder_check import check_ladder

    check_ladder(options)


if __name__ == "__main__":
    run(main, resumes=True)
