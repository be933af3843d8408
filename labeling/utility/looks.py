"""Sample frames with their detections: lost in the interpolated frame, regained where blocks are enhanced."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from deploy.detectors.matching import Boxes
from deploy.prediction.postprocess import top_blocks
from labeling.core.frames import FramePair
from labeling.dataset.reader import LabelledFrame
from labeling.maths.split import evenly_spaced
from labeling.utility.enhanced_detection import detect_boxes, enhance_blocks
from labeling.utility.pairs import enlarge, with_pairs
from labeling.utility.ranking_methods import Rankers
from labeling.utility.record import BoxRecord, DetectionLook

NUM_LOOKS = 3
BUDGET = 0.2
"""Share of the blocks that are enhanced."""


def look_at(frames: Sequence[LabelledFrame], rankers: Rankers) -> tuple[DetectionLook, ...]:
    """Detect in some of the frames, enhanced by the first predictor, or by raw importance if there is none."""
    chosen = evenly_spaced(frames, NUM_LOOKS)
    return tuple(_look(frame, pair, rankers) for frame, pair in with_pairs(chosen, rankers.bench.manifest))


def _look(frame: LabelledFrame, pair: FramePair, rankers: Rankers) -> DetectionLook:
    bench, grid = rankers.bench, rankers.bench.manifest.make_grid(frame.video_id)
    method = next(iter(rankers.predictors), "importance")
    enlarged = enlarge(pair, bench, grid.scale)
    reference = enlarged.sr if enlarged.true is None else enlarged.true
    wanted, nothing = detect_boxes(bench.detector, torch.cat([reference, enlarged.interpolated]))
    ranking = rankers.rank(frame, enlarged.interpolated[0], enlarged.sr[0], nothing)[method]
    blocks = top_blocks(ranking.astype("float32"), BUDGET)
    mixed = enhance_blocks(enlarged.interpolated, enlarged.sr, blocks, grid)
    return DetectionLook(
        video_id=frame.video_id,
        index=frame.index,
        method=method,
        budget=BUDGET,
        is_true=enlarged.true is not None,
        selected=tuple((int(row), int(col)) for row, col in zip(*blocks.nonzero(), strict=True)),
        wanted=_records(wanted),
        nothing=_records(nothing),
        enhanced=_records(detect_boxes(bench.detector, mixed)[0]),
    )


def _records(found: Boxes) -> tuple[BoxRecord, ...]:
    return tuple(
        BoxRecord(xyxy=(box[0], box[1], box[2], box[3]), class_id=int(kind))
        for box, kind in zip(found.boxes.round(1).tolist(), found.classes, strict=True)
    )
