"""Measure how much detection accuracy is regained when only the top blocks are enhanced.

    python labeling/evaluate_utility.py DATASET --models MODEL.onnx --out utility.json

For frames of the test split, enhances the top k % of the macroblocks by each ranking (raw importance, label, each
model, |SR - IN|, edges, detector boxes, random) and measures F1 against the detections on the super-resolved frame and,
where there is one, on the true high-resolution frame.
"""

from __future__ import annotations

import tyro

from deploy.core.cli import run
from labeling.utility.options import EvaluateUtilityOptions


def main() -> None:
    """Parse the command line and evaluate."""
    options = tyro.cli(EvaluateUtilityOptions, description=__doc__)
    from labeling.utility.evaluation import evaluate_utility

    evaluate_utility(options)


if __name__ == "__main__":
    run(main, resumes=True)
