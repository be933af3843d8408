"""Train ladder models on one dataset by one schedule, export and measure them, and compare them by what they are for.

    python paddleseg_configs/compare.py DATASET --minutes 4 --report runs/results/zoo

Writes REPORT.json, REPORT.md and REPORT.html: for every model and every baseline how much detection accuracy comes
back when only the top k % of the macroblocks are enhanced, with bootstrap intervals; levels, parameters, operations and
the time a frame takes on one core. The same command goes on where it was stopped. A model that fails is a row that says
why.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from paddleseg_configs.ladder.options import CompareOptions


def main() -> None:
    """Parse the command line and compare."""
    options = tyro.cli(CompareOptions, description=__doc__)
    from paddleseg_configs.ladder.comparison import compare

    compare(options)


if __name__ == "__main__":
    run(main, resumes=True)
