"""Train ladder models on one dataset with one schedule, export them, and compare their detection accuracy and speed.

    python paddleseg_configs/compare.py DATASET --minutes 4 --report runs/results/zoo

Writes REPORT.json, REPORT.md and REPORT.html: for every model and baseline, how much detection accuracy is regained
when only the top k % of the macroblocks are enhanced, with bootstrap intervals; accuracy of the levels, parameters,
operations and time per frame on one core. After an interruption, run the same command again to resume. A model that
fails gets a row with the reason.
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
