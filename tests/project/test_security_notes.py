"""Every line of SECURITY.md's table names tests, and they exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_threat_has_its_test() -> None:
    lines = [line for line in (REPOSITORY / "SECURITY.md").read_text().splitlines() if line.startswith("| ")][1:]
    rows = [line.split("|") for line in lines]
    assert len(rows) >= 10
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row[3])
        assert named, row[1]
        for file, test in named:
            assert f"def {test}(" in (REPOSITORY / "tests" / file).read_text(), f"{file}::{test}"
