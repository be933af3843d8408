"""Damage files and read them, in a process of its own: what crashes, hangs or takes too much memory is seen outside.

    python -m tests.helpers.fuzz_worker GROUP EXAMPLES SECONDS FOLDER

Prints two lines of JSON for each target: which one begins, and where its inputs lie (one after the other in one file,
so that it is there after a crash); then how many were read and how many refused, and what else happened.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from deploy.core.errors import RegenError
from tests.helpers.fuzz_targets import GROUPS, Target

MOST_BYTES = 2**30
"""What reading one input may take besides what was taken before."""
_RUNS = [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0" * 64, b"\n", b" ", b"../", b"\x80"]
_WORDS = [b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"-Infinity", b"99999999999999999999", b"[]", b"{}", b'""']
_WORDS += [b"[" * 5000, b'"\\ud800"', b"2147483648", b"0.5", b"1e-320"]


@dataclass(frozen=True)
class Damage:
    """One: small, because Hypothesis keeps all that it ever drew."""

    kind: str
    at: int
    length: int
    value: int
    run: bytes
    word: bytes
    times: int

    def apply(self, data: bytearray) -> None:
        """Overwrite, take out or double bytes, runs or words, or cut off the end."""
        at = min(self.at, max(0, len(data) - 1))
        if self.kind == "byte":
            data[at : at + 1] = bytes([self.value])
        elif self.kind == "bit" and data:
            data[at] ^= 1 << self.value % 8
        elif self.kind == "over":
            data[at : at + len(self.run)] = self.run
        elif self.kind == "drop":
            del data[at : at + self.length]
        elif self.kind == "double":
            data[at:at] = data[at : at + self.length] * self.times
        elif self.kind == "cut":
            del data[at:]
        elif self.kind == "word":
            _replace_word(data, at, self.word)


def damages(size: int, is_text: bool) -> st.SearchStrategy[list[Damage]]:
    """Up to three damages of a file of so many bytes."""
    kinds = ["byte", "bit", "over", "byte", "bit", "over", "drop", "double", "cut", *(["word"] * 9 if is_text else [])]
    # Headers decide more than payloads do.
    anywhere, header = st.integers(0, max(0, size - 1)), st.integers(0, max(0, min(size, 512) - 1))
    damage = st.builds(
        Damage,
        kind=st.sampled_from(kinds),
        at=st.one_of(anywhere, header),
        length=st.integers(1, 16),
        value=st.integers(0, 255),
        run=st.sampled_from(_RUNS),
        word=st.sampled_from(_WORDS),
        times=st.sampled_from([1, 2, 50]),
    )
    return st.lists(damage, min_size=1, max_size=3)


def _replace_word(data: bytearray, at: int, word: bytes) -> None:
    """Put a word in the place of the one at this position: up to the next comma, bracket or line's end."""
    ends = b',:[]{}\n "'
    start, end = at, at
    while start > 0 and data[start - 1] not in ends:
        start -= 1
    while end < len(data) and data[end] not in ends:
        end += 1
    data[start:end] = word


def fuzz(target: Target, examples: int, seconds: int, folder: Path) -> dict[str, object]:
    """Read so many damaged files; see the module."""
    target.make(folder)
    path = folder / target.name
    whole = path.read_bytes()
    target.read(path)  # the whole file is read
    counts: Counter[str] = Counter()
    failure = None

    @seed(0)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(damages(len(whole), target.is_text))
    def read_one(found: list[Damage]) -> None:
        data = bytearray(whole)
        for damage in found:
            damage.apply(data)
        path.write_bytes(target.repair(bytes(data)))
        signal.alarm(seconds)  # nobody handles it: it ends this process
        try:
            target.read(path)
            counts["read"] += 1
        except RegenError as error:
            counts["refused"] += 1
            assert str(error) and error.hint, "an error without a message or a hint"
        finally:
            signal.alarm(0)

    try:
        read_one()
    except BaseException:  # a panic of a native library is no Exception
        failure = traceback.format_exc(limit=-4)
    return {"target": target.title, **counts, "failure": failure}


def main(group: str, examples: int, seconds: int, folder: Path) -> None:
    """Fuzz every target of a group, each under a limit on memory."""
    warnings.simplefilter("ignore")
    for number, target in enumerate(GROUPS[group]):
        _warm(target, folder / f"{number}-whole")
    for number, target in enumerate(GROUPS[group]):
        _limit_memory()
        place = folder / f"{number}-damaged"
        print(json.dumps({"target": target.title, "input": str(place / target.name)}), flush=True)
        place.mkdir()
        print(json.dumps(fuzz(target, max(1, examples // target.cost), seconds, place)), flush=True)


def _warm(target: Target, folder: Path) -> None:
    """Import all that reading needs, which takes memory of its own."""
    folder.mkdir(parents=True)
    target.make(folder)
    target.read(folder / target.name)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_BYTES, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
