"""Measure the cost of reusing predictions: recall and F1 if every nth labeled frame is predicted, or changed ones.

    python benchmarks/temporal_reuse.py --dataset runs/demo/dataset --model runs/demo/model.onnx --page reuse.md

Also whether the change measure knows when the label changes: rank correlation of `frame_change` with the
mean change of the levels, over pairs of labeled frames. One labeled frame in n is --every times n frames of the video
if the dataset took one in --every.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from scipy.stats import spearmanr

from deploy.core.cli import run
from deploy.core.files import read_image, write_text
from deploy.core.progress import track
from deploy.core.tables import Table
from deploy.detectors.matching import mean_f1
from deploy.prediction.predictor import Prediction, Predictor
from deploy.prediction.reuse import ReuseRule, frame_change
from labeling.dataset.manifest import read_manifest
from labeling.dataset.reader import LabelledFrame, read_levels, read_split
from labeling.maths.split import SPLITS
from labeling.utility.options import EvaluateUtilityOptions
from paddleseg_configs.training.models.metrics import top_block_recall

STRIDES = (1, 2, 4, 8)
BUDGET = 0.2


@dataclass(frozen=True)
class ReuseOptions:
    """Options of the benchmark."""

    dataset: Path
    """Dataset folder with consecutive labeled frames."""
    model: Path
    """An exported predictor."""
    detector_weights: Path | None = None
    """Weights file of the detector, if the labels needed one."""
    utility: bool = True
    """Also measure F1, which needs the detector and the upscaler."""
    json: Path | None = None
    """Write the figures to this file."""
    page: Path | None = None
    """Write a Markdown page to this file."""


class Replay:
    """Predictions of frames in their order, reused as a rule says; looks like a predictor to the evaluation.

    Args:
        predictor: predicts.
        rule: says when.
    """

    def __init__(self, predictor: Predictor, rule: ReuseRule) -> None:
        self._predictor, self._rule, self.card = predictor, rule, predictor.card
        self._last: Prediction | None = None
        self.num_predicted = 0

    def __call__(self, image: NDArray[np.uint8]) -> Prediction:
        """The prediction in force at the next frame."""
        if self._rule.wants(image) or self._last is None:
            self._last = self._predictor(image)
            self.num_predicted += 1
        return self._last


def main() -> None:
    """Parse the command line, measure, write."""
    options = tyro.cli(ReuseOptions, description=__doc__)
    manifest = read_manifest(options.dataset)
    held_out = {split: list(read_split(options.dataset, manifest, split)) for split in ("val", "test")}
    frames = sorted(
        (frame for split in SPLITS for frame in read_split(options.dataset, manifest, split)),
        key=lambda frame: (frame.video_id, frame.index),
    )
    with Predictor(options.model) as predictor:
        rules = rules_of(held_out)
        report: dict[str, Any] = {
            "model": predictor.card.name,
            "num_frames": sum(map(len, held_out.values())),
            "correlation": correlations(frames, manifest),
            "rules": [
                {"rule": name, **recalls(predictor, thresholds, held_out, manifest)}
                for name, thresholds in rules.items()
            ],
        }
        if options.utility:
            f1 = utilities(predictor, rules, options)
            for row in report["rules"]:
                row["f1_top20"] = f1[row["rule"]]
            report["f1_bounds"] = {name: f1[name] for name in ("nothing enhanced", "label", "random")}
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    page = page_of(report)
    if options.page:
        write_text(options.page, page)
    print(page)


def rules_of(held_out: dict[str, list[LabelledFrame]]) -> dict[str, tuple[int | None, float | None]]:
    """Every n-th frame, and thresholds of change that predict about as often."""
    rules: dict[str, tuple[int | None, float | None]] = {f"every {n}": (n, None) for n in STRIDES}
    images = [[read_image(frame.image) for frame in frames] for frames in held_out.values()]
    candidates = np.geomspace(1e-3, 0.5, 200)
    shares = [np.mean([wanted for run_ in images for wanted in _wants(run_, float(c))]) for c in candidates]
    for n in STRIDES[1:]:
        best = candidates[int(np.argmin(np.abs(np.array(shares) - 1 / n)))]
        rules[f"on change, about 1 in {n}"] = (None, float(best))
    return rules


def _wants(images: Sequence[NDArray[np.uint8]], change: float) -> list[bool]:
    rule = ReuseRule(None, change)
    return [rule.wants(image) for image in images]


def correlations(frames: list[LabelledFrame], manifest: Any) -> list[dict[str, float]]:
    """Spearman's rank correlation of the frames' change with the levels' change, over pairs k labeled frames apart."""
    images = [read_image(frame.image) for frame in frames]
    levels = [read_levels(frame, manifest).astype(float) for frame in frames]
    rows = []
    for step in STRIDES:
        pairs = [
            (frame_change(images[i], images[i - step]), np.abs(levels[i] - levels[i - step]).mean())
            for i in range(step, len(frames))
            if frames[i].video_id == frames[i - step].video_id
        ]
        result = spearmanr(*np.array(pairs).T)
        rows.append({"apart": step, "pairs": len(pairs), "spearman": round(float(result.statistic), 3)})
        rows[-1] |= {
            "p_value": float(f"{result.pvalue:.1e}"),
            "mean_level_change": round(float(np.mean(pairs, 0)[1]), 3),
        }
    return rows


def recalls(
    predictor: Predictor, rule: tuple[int | None, float | None], held_out: dict[str, list[LabelledFrame]], manifest: Any
) -> dict[str, float]:
    """Share of frames predicted, and mean recall of the label's top 20 % macroblocks."""
    found, predicted = [], 0
    for frames in held_out.values():
        replay = Replay(predictor, ReuseRule(*rule))
        for frame in frames:
            importance = replay(read_image(frame.image)).importance
            found.append(top_block_recall(read_levels(frame, manifest).astype(float), importance, BUDGET))
        predicted += replay.num_predicted
    return {"predicted": round(predicted / len(found), 3), "recall_top20": round(float(np.nanmean(found)), 4)}


def utilities(
    predictor: Predictor, rules: dict[str, tuple[int | None, float | None]], options: ReuseOptions
) -> dict[str, float]:
    """Mean F1 with the top 20 % enhanced by each rule's maps, on the test split, against the super-resolved frame."""
    from labeling.utility.evaluation import evaluate_frame, load_bench, with_pairs
    from labeling.utility.ranking_methods import Rankers

    choices = EvaluateUtilityOptions(
        dataset=options.dataset, out=Path("unused.json"), detector_weights=options.detector_weights, budgets=(BUDGET,)
    )
    manifest = read_manifest(options.dataset)
    bench = load_bench(choices, manifest)
    replays: Any = {name: Replay(predictor, ReuseRule(*rule)) for name, rule in rules.items()}
    rankers = Rankers(bench, replays, None, {})
    methods = [*rules, "label", "random"]
    frames = list(read_split(options.dataset, manifest, "test"))
    counts: dict[str, list[Any]] = {}
    for frame, pair in track(with_pairs(frames, bench.manifest), total=len(frames), label="evaluating"):
        for (method, budget), matched in evaluate_frame(frame, pair, rankers, methods, (BUDGET,))["sr"].items():
            if budget == BUDGET:
                counts.setdefault(method, []).append(matched)
            elif budget == 0:
                counts.setdefault("nothing enhanced", []).append(matched)
    return {method: round(mean_f1(matched), 4) for method, matched in counts.items()}


def page_of(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    rules = [
        (row["rule"], f"{row['predicted']:.0%}", f"{row['recall_top20']:.4f}", str(row.get("f1_top20", "")))
        for row in report["rules"]
    ]
    header = ("rule", "frames predicted", "recall of the label's top 20 %", "F1, top 20 % enhanced")
    lines = [
        "# Reusing predictions between frames",
        "",
        f"`{report['model']}`, {report['num_frames']} held-out labeled frames. By `benchmarks/temporal_reuse.py`.",
        "",
        Table("", header, tuple(rules)).markdown(),
    ]
    if "f1_bounds" in report:
        bounds = ", ".join(f"{name} {value}" for name, value in report["f1_bounds"].items())
        lines += ["", f"F1 on the test split against the super-resolved frame's detections; {bounds}."]
    fields = ("apart", "pairs", "spearman", "p_value", "mean_level_change")
    changes = tuple(tuple(str(row[name]) for name in fields) for row in report["correlation"])
    header = ("labeled frames apart", "pairs", "Spearman", "p", "mean change in levels")
    question = "Correlation of the change of the frame (`frame_change`) with the change of the label (mean of levels):"
    lines += ["", question, "", Table("", header, changes).markdown()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
