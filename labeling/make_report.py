"""Write one self-contained page about a dataset, its predictor and their utility.

    python labeling/make_report.py DATASET --out report.html [--utility utility.json] [--predictions DIR] ...

The page leaves out whatever is not given.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from labeling.report.options import MakeReportOptions


def main() -> None:
    """Parse the command line and write the page."""
    options = tyro.cli(MakeReportOptions, description=__doc__)
    from labeling.report.page import make_report

    make_report(options)


if __name__ == "__main__":
    run(main)
