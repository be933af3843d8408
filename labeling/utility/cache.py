"""Cache the results of an evaluation of rankings, to resume it and to add rankings quickly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deploy.detectors.matching import MatchCounts
from labeling.dataset.reader import FrameKey
from labeling.utility.curves import Counts, ReferenceName


class UtilityCache:
    """Match counts by frame, method and budget, as lines of JSON next to the report.

    Args:
        path: the file.
        made_of: everything that affects results, except for the methods.
        methods: name -> identity, such as the hash of a model; results of another identity are not reused.
    """

    def __init__(self, path: Path, made_of: Sequence[str], methods: Mapping[str, str]) -> None:
        self.path, self.methods = path, methods
        self.key = hashlib.sha256(json.dumps(list(made_of)).encode()).hexdigest()
        names = {identity: name for name, identity in methods.items()}
        self._found: dict[FrameKey, dict[ReferenceName, Counts]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                record = json.loads(line)
            except ValueError:  # incomplete line of a killed run
                continue
            if record["key"] == self.key:
                self._adopt(record, names)

    def missing(self, frame: FrameKey, budgets: Iterable[float]) -> list[str]:
        """Methods without results at every budget for that frame."""
        counts = next(iter(self.counts(frame).values()), {})
        wanted = (0.0, *budgets, 1.0)
        return [name for name in self.methods if not all((name, budget) in counts for budget in wanted)]

    def counts(self, frame: FrameKey) -> dict[ReferenceName, Counts]:
        """The cached results of a frame."""
        return self._found.get(frame, {})

    def add(self, frame: FrameKey, found: Mapping[ReferenceName, Counts]) -> None:
        """Store the results of a frame, in memory and in the file."""
        rows = {
            reference: [
                [self.methods[name], budget, counts.matched, counts.found, counts.wanted]
                for (name, budget), counts in by_method.items()
            ]
            for reference, by_method in found.items()
        }
        record = {"key": self.key, "video": frame[0], "index": frame[1], "found": rows}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps(record))
        self._adopt(record, {identity: name for name, identity in self.methods.items()})

    def _adopt(self, record: Mapping[str, object], names: Mapping[str, str]) -> None:
        known = self._found.setdefault((str(record["video"]), int(str(record["index"]))), {})
        found: dict[ReferenceName, list[tuple[str, float, int, int, int]]] = record["found"]  # type: ignore[assignment]
        for reference, rows in found.items():
            counts = known.setdefault(reference, {})
            for identity, budget, *numbers in rows:
                if identity in names:
                    counts[names[identity], budget] = MatchCounts(*numbers)
