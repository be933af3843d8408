"""Compare ways of labeling: test every variant and objective against brute force and by detection accuracy.

    python labeling/evaluate_labels.py VIDEO --out labels.json [--detector centernet]

Measures, on frames of a video, how well each importance ranks the exact effects of enhancing single blocks (Spearman),
and the F1 when only its top blocks are enhanced, and compares with simple baselines and quantized labels. Adds a run to
labels.json, which collects videos and detectors, and writes tables (labels-tables.md) and a page (labels.html) of all
runs.
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
