"""Which way of labeling is right? Every variant and objective against brute force, and by what it is worth.

    python labeling/evaluate_labels.py VIDEO --out labels.json [--detector centernet]

For some frames of a video: how well each importance ranks the exact effects of enhancing single blocks (Spearman), and
the F1 when only the top blocks by each are enhanced, beside simple baselines and the quantized labels. Adds a run to
labels.json, which collects videos and detectors, and writes tables (labels-tables.md) and a page (labels.html) of all
its runs.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from labeling.study.options import EvaluateLabelsOptions


def main() -> None:
    """Parse the command line and compare."""
    options = tyro.cli(EvaluateLabelsOptions, description=__doc__)
    from labeling.study.label_study import evaluate_labels

    evaluate_labels(options)


if __name__ == "__main__":
    run(main, resumes=True)
