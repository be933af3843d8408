"""benchmarks/videos.py: equal on every kind of footage, and not blind."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.core.cli import run
from deploy.inputs.video import Frame
from tests.helpers.footage import write
from tests.helpers.footage_cases import Case, each_case
from tests.helpers.label_helpers import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))
import videos


def main(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: object) -> int:
    monkeypatch.setattr("sys.argv", ["videos.py", str(folder), *map(str, more)])
    with pytest.raises(SystemExit) as ended:
        run(videos.main)
    return int(ended.value.code or 0)


@each_case
def test_both_ways_are_equal(case: Case, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    row = videos.compare(path, tmp_path)
    assert row.is_equal and not row.refused
    assert (row.name, row.frames, row.lost) == (path.name, len(case.numbers), case.lost)


@pytest.mark.parametrize("fault", ["a frame less", "another time", "another pixel"])
def test_a_difference_is_seen(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = videos.read_frames

    def faulty(*arguments: Any, **more: Any) -> Iterator[Frame]:
        for frame in original(*arguments, **more):
            if frame.index == 3:
                if fault == "a frame less":
                    continue
                if fault == "another time":
                    frame = replace(frame, pts_seconds=frame.pts_seconds + 1)
                else:
                    frame.image[5, 5] ^= 1
            yield frame

    write(tmp_path / "v.mp4", range(8))
    assert main(tmp_path, monkeypatch, "--json", tmp_path / "found.json") == 0
    (row,) = json.loads((tmp_path / "found.json").read_text())
    assert (row["name"], row["frames"], row["plain_frames"], row["other_times"]) == ("v.mp4", 8, 8, 0)
    monkeypatch.setattr(videos, "read_frames", faulty)
    assert main(tmp_path, monkeypatch) == 1
    assert "DIFFERENT" in capsys.readouterr().out


def test_a_folder_without_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(tmp_path, monkeypatch) == 2
