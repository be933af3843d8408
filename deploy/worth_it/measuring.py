"""Run every method on every frame: its detections and its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from deploy.detectors.detections import Detections
from deploy.detectors.matching import Boxes, MatchCounts, match
from deploy.worth_it.precision import average_precision
from deploy.worth_it.samples import Sample
from deploy.worth_it.ways import Detect, Enhanced, Found, Kind, Way


@dataclass(frozen=True, eq=False)
class Measured:
    """One way on all frames."""

    name: str
    """The way."""
    kind: Kind
    """What it stands for."""
    budget: float | None
    """Share of the blocks that are super-resolved; None where blocks play no part."""
    f1: NDArray[np.float64]
    """(N,) of each frame."""
    milliseconds: float
    """Median over the frames, detector included."""
    ap50: float | None = None
    """Average precision at an IoU of 0.5 against annotations, if given."""
    mean_ap: float | None = None
    """Mean of it over IoUs of 0.5 to 0.95."""


@dataclass(frozen=True, eq=False)
class Look:
    """One frame and its detections, for pictures."""

    sample: Sample
    wanted: Detections
    """What counts as right."""
    nothing: Found
    """On the interpolated frame."""
    predicted: Found
    """With the predictor's blocks enhanced, at the control's budget."""
    enhanced: Enhanced
    """That frame."""
    gain: float
    """Its F1 over that of the interpolated frame."""


@dataclass
class Bench:
    """Collects the detections of all methods, frame by frame."""

    ways: Sequence[Way]
    """The first is the interpolated frame."""
    detect: Detect
    """Finds the objects of the true frame."""
    show: str
    """Name of the way that pictures show."""
    least_score: float = 0.0
    """Detections below count for average precision alone."""
    truth: Callable[[Sample], Detections] | None = None
    """Annotations of a frame, in pixels of the super-resolved one."""
    looks: list[Look] = field(default_factory=list)
    """The frames on which that way gains most, best first."""
    most_looks: int = 3
    """How many are kept."""
    num_wanted: int = 0
    """Objects in all frames that count as right."""
    _f1: dict[str, list[float]] = field(default_factory=dict)
    _seconds: dict[str, list[float]] = field(default_factory=dict)
    _found: dict[str, list[Detections]] = field(default_factory=dict)
    _truth: list[Detections] = field(default_factory=list)

    def run(self, samples: Iterable[Sample]) -> list[Measured]:
        """Run all methods on all frames; the first frame is run once more in advance to warm up."""
        for number, sample in enumerate(samples):
            if number == 0:
                self._all(sample)
            self._add(sample, *self._all(sample))
        return [self._measured(way) for way in self.ways]

    def _measured(self, way: Way) -> Measured:
        milliseconds = 1000 * float(np.median(self._seconds[way.name]))
        measured = Measured(way.name, way.kind, way.budget, np.array(self._f1[way.name]), milliseconds)
        if self.truth is None:
            return measured
        ap50, mean_ap = average_precision(self._found[way.name], self._truth)
        return replace(measured, ap50=ap50, mean_ap=mean_ap)

    def _all(self, sample: Sample) -> tuple[dict[str, Found], dict[str, float]]:
        found, seconds = {}, {}
        for way in self.ways:
            if way.prepare is not None:
                way.prepare(sample)
            started = time.perf_counter()
            found[way.name] = way.run(sample)
            seconds[way.name] = time.perf_counter() - started
        return found, seconds

    def _add(self, sample: Sample, found: dict[str, Found], seconds: dict[str, float]) -> None:
        if self.truth is not None:
            self._truth.append(self.truth(sample))
        for name, result in found.items():
            self._seconds.setdefault(name, []).append(seconds[name])
            self._found.setdefault(name, []).append(result.detections)
        found = {
            name: replace(result, detections=result.detections.from_score(self.least_score))
            for name, result in found.items()
        }
        everything = next(way.name for way in self.ways if way.kind == "everything")
        wanted = found[everything].detections
        if sample.true is not None:
            wanted = self.detect(sample.true).from_score(self.least_score)
        self.num_wanted += len(wanted)
        for name, result in found.items():
            self._f1.setdefault(name, []).append(agreement(result.detections, wanted).f1)
        nothing, shown = found[self.ways[0].name], found[self.show]
        if shown.enhanced is not None:
            gain = self._f1[self.show][-1] - self._f1[self.ways[0].name][-1]
            self.looks.append(Look(sample, wanted, nothing, shown, shown.enhanced, gain))
            self.looks = sorted(self.looks, key=lambda look: -look.gain)[: self.most_looks]


def agreement(found: Detections, wanted: Detections) -> MatchCounts:
    """How many detections match."""
    return match(Boxes(found.xyxy, found.class_id), Boxes(wanted.xyxy, wanted.class_id))
