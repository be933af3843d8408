"""Check a dataset: print every problem with its file and how to fix it.

    python -m labeling.check DATASET [--json FILE]

Exit code 0: no problems. 2: at least one problem.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deploy.core.cli import EXIT_USER_ERROR, run


@dataclass(frozen=True)
class CheckOptions:
    """Options of the check."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Dataset folder made by make_labels.py."""
    json: Path | None = None
    """Write the problems to this file."""


def main() -> None:
    """Parse the command line, check the dataset and print the problems."""
    options = tyro.cli(CheckOptions, description=__doc__)
    from deploy.core.files import write_text
    from labeling.dataset.checking import check_dataset

    problems = []
    for problem in check_dataset(options.dataset):
        problems.append(problem)
        print(f"{problem.file}: {problem.message}\n  fix: {problem.fix}")
    if options.json:
        write_text(options.json, json.dumps([asdict(problem) for problem in problems], indent=2) + "\n")
    print(f"{options.dataset}: {len(problems) or 'no'} problem{'s' if len(problems) != 1 else ''}")
    if problems:
        sys.exit(EXIT_USER_ERROR)


if __name__ == "__main__":
    run(main)
