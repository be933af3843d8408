"""Damaged files of every kind are read or refused by name: no traceback, crash, hang, or gigabyte.

REGEN_FUZZ_EXAMPLES says how many in all; `make faults` takes 100,000. REGEN_FUZZ_JSON names a file for the counts.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.fuzz_targets import GROUPS, NATIVE, PURE
from tests.helpers.label_helpers import REPOSITORY

EXAMPLES = math.ceil(
    int(os.environ.get("REGEN_FUZZ_EXAMPLES", "400")) / sum(1 / target.cost for target in (*PURE, *NATIVE))
)
"""Of a target whose cost is 1."""
SECONDS_AN_INPUT = 10
LIMIT_SECONDS = 300 + EXAMPLES * len(NATIVE)


def fuzz(group: str, examples: int, seconds: int, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Run a worker; what came of each target, and how the worker ended if not well."""
    command = [sys.executable, "-m", "tests.helpers.fuzz_worker", group, str(examples), str(seconds), str(folder)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    lines = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    found = [line for line in lines if "failure" in line]
    if ended.returncode == 0:
        return found, ""
    cause = signal.Signals(-ended.returncode).name if ended.returncode < 0 else f"code {ended.returncode}"
    at_work = lines[-1]["input"] if lines else "the start"
    return found, f"{cause} at {at_work}\n{ended.stderr[-2000:]}"


@pytest.mark.timeout(LIMIT_SECONDS + 60)
@pytest.mark.parametrize("group", ["pure", "native"])
def test_damaged_files_are_read_or_refused(group: str, tmp_path: Path) -> None:
    found, ended = fuzz(group, EXAMPLES, SECONDS_AN_INPUT, tmp_path)
    if "REGEN_FUZZ_JSON" in os.environ:
        path = Path(os.environ["REGEN_FUZZ_JSON"])
        path.with_stem(f"{path.stem}-{group}").write_text(
            json.dumps({"counts": found, "ended": ended}, indent=1) + "\n"
        )
    assert not ended
    assert [record["failure"] for record in found if record["failure"]] == []
    for target, record in zip(GROUPS[group], found, strict=True):
        assert record["target"] == target.title
        assert record["refused"] + record.get("read", 0) >= max(1, EXAMPLES // target.cost) > 0, record


@pytest.mark.parametrize(
    ("group", "words"),
    [("raises", "KeyError"), ("eats", "MemoryError"), ("hangs", "SIGALRM"), ("dies", "SIGSEGV")],
)
def test_what_must_not_happen_would_be_seen(group: str, words: str, tmp_path: Path) -> None:
    found, ended = fuzz(group, 20, 1, tmp_path)
    assert words in ended + "".join(record["failure"] for record in found)
    assert not ended or str(tmp_path / "0-damaged" / "anything") in ended
