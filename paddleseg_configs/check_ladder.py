"""Is every configuration still a part of the ladder? Trains each a few steps, exports, converts, compares and times it.

    python paddleseg_configs/check_ladder.py DATASET --readme

Ends with an error if one of them does not train, does not convert, or does not compute the same afterwards. `--readme`
writes what was measured into the table of paddleseg_configs/README.md. What is done is not done again.
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
