"""Check every configuration of the ladder: train it for a few steps, export, convert, compare and time it.

    python paddleseg_configs/check_ladder.py DATASET --readme

Fails if a model does not train, does not convert, or gives different results after conversion. `--readme` writes the
measurements into the table of paddleseg_configs/README.md. Completed steps are not repeated.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from paddleseg_configs.ladder.options import CheckOptions


def main() -> None:
    """Parse the command line and check."""
    options = tyro.cli(CheckOptions, description=__doc__)
    from paddleseg_configs.ladder.ladder_check import check_ladder

    check_ladder(options)


if __name__ == "__main__":
    run(main, resumes=True)
