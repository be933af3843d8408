"""An evaluation that was killed goes on, and nothing of other models or datasets is reused."""

from __future__ import annotations

from pathlib import Path

from deploy.detectors.matching import MatchCounts
from labeling.utility.cache import UtilityCache

BUDGETS = (0.1, 0.2)
FRAME = ("video", 3)


def counts_of(*methods: str) -> dict[tuple[str, float], MatchCounts]:
    return {(name, budget): MatchCounts(1, 2, 3) for name in methods for budget in (0.0, *BUDGETS, 1.0)}


def test_what_was_found_is_found_again(tmp_path: Path) -> None:
    path, methods = tmp_path / ".u.cache", {"a": "a 1", "b": "b"}
    cache = UtilityCache(path, ["data"], methods)
    assert cache.missing(FRAME, BUDGETS) == ["a", "b"] and cache.counts(FRAME) == {}
    cache.add(FRAME, {"true": counts_of("a"), "sr": counts_of("a")})
    assert cache.missing(FRAME, BUDGETS) == ["b"]
    with path.open("a") as stream:
        stream.write('\n{"key": "half a li')
    again = UtilityCache(path, ["data"], methods)
    assert again.counts(FRAME) == {"true": counts_of("a"), "sr": counts_of("a")}
    again.add(FRAME, {"true": counts_of("b"), "sr": counts_of("b")})
    whole = UtilityCache(path, ["data"], methods)
    assert whole.missing(FRAME, BUDGETS) == [] and whole.counts(FRAME)["sr"] == counts_of("a", "b")
    assert whole.missing(FRAME, (*BUDGETS, 0.3)) == ["a", "b"] and whole.missing(("video", 4), BUDGETS) == ["a", "b"]


def test_nothing_of_other_data_or_models_is_reused(tmp_path: Path) -> None:
    path = tmp_path / ".u.cache"
    UtilityCache(path, ["data"], {"a": "a 1"}).add(FRAME, {"sr": counts_of("a")})
    assert UtilityCache(path, ["other data"], {"a": "a 1"}).missing(FRAME, BUDGETS) == ["a"]
    assert UtilityCache(path, ["data"], {"a": "a 2"}).missing(FRAME, BUDGETS) == ["a"]
    assert UtilityCache(path, ["data"], {"renamed": "a 1"}).missing(FRAME, BUDGETS) == []
