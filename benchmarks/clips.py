"""What super-resolution gains on clips of many cameras, and how much of that the blocks of a predictor bring.

    python benchmarks/clips.py --detectors yolox=yolox_nano.onnx@960x544 picodet=picodet_s.onnx --page clips.md

Each clip goes with each detector through what deploy/worth.py does and leaves a file in --out: the same command goes on
where it was stopped. Then come the tables.
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import tyro
import yaml
from clip_rankings import Labels, Rank, by_difference, by_edges
from fine_tuning import fine_tune, half_seconds
from numpy.typing import NDArray

from deploy.core.cli import run
from deploy.core.errors import InputError, OptionError, first_line
from deploy.core.files import sha256_of, write_text
from deploy.core.resize import Reduction
from deploy.core.statistics import middle_95, resampled_means
from deploy.core.tables import Table
from deploy.enhancement.upscaler import EMBEDDED
from deploy.prediction.predictor import GENERAL
from deploy.worth_it.detectors import LARGER, AnyDetector
from deploy.worth_it.engine import EnhancerEngine
from deploy.worth_it.options import WorthOptions
from deploy.worth_it.run import SHOWN, find_out
from deploy.worth_it.samples import Sample
from deploy.worth_it.verdict import Verdict
from deploy.worth_it.ways import BUDGETS, CONTROL_BUDGET, BoxesBefore, Engine, Found, Ranking, Way
from labeling.networks.array_detector import open_any_detector

ASSETS = Path(__file__).resolve().parents[2] / "shared" / "assets"
LIST = Path(__file__).with_suffix(".yml")
NOTHING, WHOLE = "nothing (interpolated)", "everything super-resolved"
LABEL, EDGES, DIFFERENCE = "label, 20%", "edges, 20%", "|SR - IN|, 20%"
OTHER_LABELS = (
    "label by F1, 20%",
    "label by F1, with sign, 20%",
    "measured gain of regions, 20%",
)
FINE_TUNED = "top 20% by fine-tuned predictor"
RANKED = ("random 20%", "boxes of the frame before, 20%", EDGES, DIFFERENCE, LABEL)
WAYS = ("top 10% by predictor", "top 20% by predictor", FINE_TUNED, *RANKED, *OTHER_LABELS)
UNCODED = "none"
LEAST_GAIN = 0.03  # clips on which the whole frame gains less are not worth it
Entry = dict[str, Any]  # what was measured of one clip with one detector


@dataclass(frozen=True)
class ClipsOptions:
    """What to measure."""

    detectors: tuple[str, ...]
    """NAME=FILE.onnx, or NAME=FILE.onnx@WxH for a network of that size; FILE may be what labeling/worth.py takes."""
    clips: Path | None = None
    """YAML list of path, role, source, license and perhaps sha256; the default is benchmarks/clips.yml, with files in
    ../shared/assets/clips or $REGEN_ASSETS/clips."""
    roles: tuple[str, ...] = ()
    """Measure only clips of these roles; by default all."""
    out: Path = Path("runs/results/clips")
    """Folder of one JSON a clip and detector."""
    upscaler: Path | None = None
    """An exported upscaler; the default is the embedded one."""
    earlier_upscalers: tuple[Path, ...] = ()
    """Exported upscalers to compare with it; only their whole frames are measured."""
    predictor: Path | None = None
    """An exported predictor; the default is the embedded one."""
    frames: int = 20
    """Frames of each clip."""
    height: int | None = None
    """Of the low-resolution frames; the default is the most that leaves a true frame, up to 288."""
    reduce: Reduction = "area"
    """How they are made."""
    lr_codecs: tuple[str, ...] = (UNCODED,)
    """How low-resolution videos are encoded: none, or for example h264:crf30; each is a comparison of its own."""
    ways: Literal["all", "labels", "whole"] = "all"
    """All ways; all and other labels, one of which takes hundreds of detections per frame; or only the interpolated and
    the whole super-resolved frame."""
    fine_tune: int = 0
    """Iterations by which to fine-tune the included predictor on the first half of each clip; 0 does not. All ways are
    then measured on the second half."""
    threads: int = 1
    """CPU threads of the networks."""
    page: Path | None = None
    """Markdown file for the tables."""
    json: Path | None = None
    """File for the figures."""


def read_clips(listed: Path | None) -> list[dict[str, str]]:
    """Path (relative to the folder of the list), role, source and license of each clip."""
    if listed is None:
        listed, folder = LIST, Path(os.environ.get("REGEN_ASSETS", ASSETS)) / "clips"
    else:
        folder = listed.parent
    try:
        entries = yaml.safe_load(listed.read_text("utf-8"))
        clips = [{key: str(entry[key]) for key in ("path", "role", "source", "license")} for entry in entries]
        wanted = [str(entry.get("sha256", "")) for entry in entries]
        if not len({Path(clip["path"]).stem for clip in clips}) == len(clips) > 0:
            raise ValueError("no clips, or two of one name")
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        hint = "Write a list of entries, each with path, role, source and license; no two files of one name."
        raise InputError(f"cannot read clips {listed}: {first_line(error)}", hint=hint) from None
    clips = [clip | {"path": str(folder / clip["path"])} for clip in clips]
    for clip, sha256 in zip(clips, wanted, strict=True):
        path = Path(clip["path"])
        if sha256 and path.is_file() and sha256_of(path) != sha256:
            raise InputError(f"{path} is not the file that {listed} lists", hint="Remove its sha256, or get that file.")
    return clips


def parse_detectors(texts: Sequence[str]) -> dict[str, tuple[Path, str | None]]:
    """Name -> file and, where given, width x height."""
    matches = [re.fullmatch(r"([\w-]+)=([^@]+)(?:@(\d+x\d+))?", text) for text in texts]
    found = {match[1]: (Path(match[2]), match[3]) for match in matches if match}
    if len(found) < len(texts) or not found:
        message = f"detectors={' '.join(texts)} must each be NAME=FILE.onnx or NAME=FILE.onnx@WxH, no name twice"
        raise OptionError(message, hint="For example yolox=yolox_nano.onnx@960x544.")
    return found


def measure(options: ClipsOptions) -> list[Entry]:
    """All clips with all detectors; what is in the folder is not measured again."""
    clips, detectors = read_clips(options.clips), parse_detectors(options.detectors)
    clips = [clip for clip in clips if not options.roles or clip["role"] in options.roles]
    if not clips:
        raise OptionError(f"roles={' '.join(options.roles)}: the list has no such clips", hint="Use train or test.")
    options.out.mkdir(parents=True, exist_ok=True)
    entries = []
    for upscaler in (None, *options.earlier_upscalers):
        of_this = replace(options, upscaler=upscaler, ways="whole") if upscaler else options
        known = {"earlier": upscaler.stem} if upscaler else {}
        with EnhancerEngine(of_this.predictor, of_this.upscaler, of_this.threads) as engine:
            for clip, codec, name in itertools.product(clips, options.lr_codecs, detectors):
                entries.append(_one(of_this, engine, clip | known, codec, name, *detectors[name]))
    return entries


def _one(
    options: ClipsOptions, engine: EnhancerEngine, clip: Entry, codec: str, name: str, file: Path, size: str | None
) -> Entry:
    """Read it, or measure and write it; what cannot be measured is said and tried again the next time."""
    source = Path(clip["path"])
    asked = {key: getattr(options, key) for key in ("frames", "height", "reduce", "threads")}
    asked["lr_codec"] = None if codec == UNCODED else codec
    worth = WorthOptions(video=source, detector=file, detector_size=size, **asked)
    asked["ways"] = options.ways
    asked["fine_tune"] = options.fine_tune or None
    networks = {"upscaler": options.upscaler or EMBEDDED, "predictor": options.predictor or GENERAL}
    used = networks | {"clip": source, "detector": file}
    asked |= {key: sha256_of(path) if path.is_file() else str(path) for key, path in used.items()} | {"size": size}
    facts: Entry = clip | {"path": source.name, "clip": source.stem, "detector": name, "lr": codec}
    kind = "" if codec == UNCODED else "-" + codec.replace(":", "-")
    kind += f"-{clip['earlier']}" if "earlier" in clip else ""
    path = options.out / f"{source.stem}-{name}{kind}.json"
    if path.is_file():
        stored: Entry = json.loads(path.read_text("utf-8"))
        if others := ", ".join(key for key in asked if stored["settings"].get(key) != asked[key]):
            raise InputError(f"{path} was measured with another {others}", hint="Remove it, or give another --out.")
        return stored | facts
    try:
        verdict = _measured(options, worth, engine)
    except (InputError, OptionError) as error:
        return facts | {"verdict": f"left out: {error}".replace(str(source), source.name), "worth_it": None, "rows": []}
    rows = [asdict(row) for row in verdict.rows]
    for row, factor in zip((row for row in rows if row["way"].startswith("detector at ")), LARGER, strict=False):
        row["way"] = f"detector input x {factor:g}, interpolated"  # in pixels it is another size for each clip
    entry = facts | {"verdict": verdict.sentence, "worth_it": verdict.worth_it, "settings": asked, "rows": rows}
    write_text(path, json.dumps(entry, indent=1) + "\n")
    print(f"{source.stem}, {name}, {codec}: {verdict.sentence}", flush=True)
    return entry


def _measured(options: ClipsOptions, worth: WorthOptions, engine: EnhancerEngine) -> Verdict:
    choose = partial(_chosen, options.ways, worth)
    if not options.fine_tune:
        return find_out(worth, engine, open_any_detector, choose=partial(choose, None)).verdict
    with TemporaryDirectory() as folder:
        model = fine_tune(worth, options.fine_tune, engine.scale, Path(folder))
        with EnhancerEngine(model, options.upscaler, options.threads) as tuned:
            worth = replace(worth, start_seconds=half_seconds(worth.video))
            return find_out(worth, engine, open_any_detector, choose=partial(choose, tuned)).verdict


def _chosen(
    wanted: str, worth: WorthOptions, tuned: Engine | None, engine: Engine, detector: AnyDetector, ways: list[Way]
) -> list[Way]:
    """Choose the ways to measure: those of `deploy/worth.py` and more rankings, whose own time does not count.

    Args:
        wanted: `ClipsOptions.ways`.
        worth: the comparison.
        tuned: with a fine-tuned predictor.
        engine: with the included one.
        detector: the detector.
        ways: those of `deploy/worth.py`.
    """
    if wanted == "whole":
        return [way for way in ways if way.name == SHOWN or way.kind in ("nothing", "everything")]
    labels = Labels(worth)
    rankings = {EDGES: by_edges, DIFFERENCE: by_difference, LABEL: labels.label("scores", "delta")}
    if wanted == "labels":
        others = labels.label("f1", "delta"), labels.label("f1", "path"), labels.measured_gain
        rankings |= dict(zip(OTHER_LABELS, others, strict=True))

    def way_of(name: str, rank: Rank) -> Way:
        ranked: list[Ranking] = []  # of the sample that comes next

        def prepare(sample: Sample) -> None:
            ranked[:] = [np.asarray(rank(engine, sample), np.float32)]

        def run(sample: Sample) -> Found:
            enhanced = engine.enhance(sample.lr, CONTROL_BUDGET, ranked[0])
            return Found(detector(enhanced.image), enhanced)

        return Way(name, "control", run, prepare, CONTROL_BUDGET)

    ways = [*ways, *itertools.starmap(way_of, rankings.items())]
    return ways if tuned is None else [*ways, _tuned_way(tuned, detector, worth.score_threshold)]


def _tuned_way(engine: Engine, detector: AnyDetector, least_score: float) -> Way:
    before = BoxesBefore(engine, detector, least_score)

    def run(sample: Sample) -> Found:
        enhanced = engine.enhance(sample.lr, CONTROL_BUDGET, previous=before.found)
        return Found(detector(enhanced.image), enhanced)

    return Way(FINE_TUNED, "control", run, before.look, CONTROL_BUDGET)


def recovery(entries: Sequence[Entry], way: str) -> str:
    """Sum of a way's gains over that of the whole frame, and of several clips its 95 % interval, resampling them."""
    gains = [(entry["clip"], {row["way"]: row["gain"] for row in entry["rows"]}) for entry in entries]
    pairs = np.array([(gain[way], gain[WHOLE]) for _, gain in gains if way in gain])
    if not len(pairs):
        return "-"
    clips, groups = np.unique([clip for clip, gain in gains if way in gain], return_inverse=True)
    share = f"{pairs[:, 0].sum() / pairs[:, 1].sum():.0%}"
    draws = resampled_means(pairs, groups)
    return share if len(clips) < 2 else "{} ({:.0%} to {:.0%})".format(share, *middle_95(draws[:, 0] / draws[:, 1]))


_GAIN = ("F1, nothing", "F1, everything", "gain, points", "95 %", "clips that gain")
_HOW_GAIN = "Means over clips, the true frame being 1; in brackets 95 % over clips."


def mean_gain(entries: Sequence[Entry], whole: Mapping[int, Entry]) -> tuple[str, ...]:
    """The cells under `_GAIN`."""
    rows = [whole[id(entry)] for entry in entries]
    f1, gain = (np.array([row[key] for row in rows]) for key in ("f1", "gain"))
    clips = np.unique([entry["clip"] for entry in entries], return_inverse=True)[1]
    low, high = middle_95(resampled_means(gain[:, None], clips)[:, 0])
    wins = f"{(gain > 0).sum()} of {len(gain)}"
    return (
        f"{(f1 - gain).mean():.3f}",
        f"{f1.mean():.3f}",
        f"{100 * gain.mean():+.1f}",
        f"{100 * low:+.1f} to {100 * high:+.1f}",
        wins,
    )


BEFORE = "boxes of the frame before, 20%"
DUELS = (
    *itertools.product((SHOWN, LABEL), (EDGES, DIFFERENCE)),
    (SHOWN, BEFORE),
    (LABEL, SHOWN),
    (FINE_TUNED, SHOWN),
    *itertools.product(OTHER_LABELS, (LABEL, EDGES, DIFFERENCE)),
)
"""Pairs of ways whose difference is a column."""


def measured_ways(entries: Sequence[Entry]) -> tuple[str, ...]:
    """`WAYS` without those optional ones that no entry has."""
    measured = {row["way"] for entry in entries for row in entry["rows"]}
    return tuple(way for way in WAYS if way in measured or way not in (FINE_TUNED, *OTHER_LABELS))


def with_interval(points: NDArray[np.float64], clips: NDArray[np.intp]) -> str:
    """Mean of (N, 1) points of F1, and its 95 % interval over clips."""
    low, high = middle_95(resampled_means(points, clips)[:, 0])
    return f"{points.mean():+.1f} ({low:+.1f} to {high:+.1f})"


def difference(entries: Sequence[Entry], one: str, other: str) -> str:
    """Points of F1 by which one way gains more than another, with a 95 % interval over clips."""
    gains = [(entry["clip"], {row["way"]: row["gain"] for row in entry["rows"]}) for entry in entries]
    pairs = [(clip, gain[one] - gain[other]) for clip, gain in gains if {one, other} <= gain.keys()]
    if not pairs:
        return "-"
    clips, groups = np.unique([clip for clip, _ in pairs], return_inverse=True)
    values = 100 * np.array([[value] for _, value in pairs])
    if len(clips) < 2:
        return f"{values.mean():+.1f}"
    return with_interval(values, groups)


SHARES = (0.5, 0.75, 0.9)
_TIMES = ("whole frame, ms", *(f"{share:.0%} of the gain" for share in SHARES))
_HOW_TIMES = (
    "Milliseconds a frame, detector included, at which the top blocks by predictor reach a share of the whole frame's "
    "gain, between the budgets that were measured, and how many times as fast that is; same clips as for recovery."
)


_HOW_DUELS = (
    "Points of F1 between two ways with 20 % of the blocks, same clips as for recovery; in brackets 95 % over clips."
)


def time_to_gain(entries: Sequence[Entry]) -> list[str]:
    """The cells under `_TIMES`, from means over clips."""
    ways = [NOTHING, *(f"top {budget:.0%} by predictor" for budget in BUDGETS), WHOLE]
    rows = [{row["way"]: row for row in entry["rows"]} for entry in entries]
    ways = [way for way in ways if all(way in of_entry for of_entry in rows)]
    gain, ms = (
        np.array([np.mean([of_entry[way][key] for of_entry in rows]) for way in ways])
        for key in ("gain", "milliseconds")
    )
    cells = [f"{ms[-1]:.0f}"]
    for share in SHARES:
        after = int(np.argmax(gain >= share * gain[-1]))  # the first way that reaches it
        found = float(np.interp(share * gain[-1], gain[after - 1 : after + 1], ms[after - 1 : after + 1]))
        cells.append(f"{found:.0f} ({ms[-1] / found:.2f}x)")
    return cells


_HOW_UPSCALERS = "Gain of the whole frame with other upscalers, and by how much the gain of this one is larger."


def upscalers_table(entries: Sequence[Entry], earlier: Sequence[Entry]) -> Table:
    """Gains of other upscalers, and the differences from them, paired by clip and detector."""
    key = itemgetter("clip", "role", "lr", "detector")
    gains = {key(entry): row["gain"] for entry in entries for row in entry["rows"] if row["way"] == WHOLE}
    whole = {id(entry): row for entry in earlier for row in entry["rows"] if row["way"] == WHOLE}
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in (entry for entry in earlier if id(entry) in whole and key(entry) in gains):
        groups.setdefault((entry["role"], entry["lr"], entry["detector"], entry["earlier"]), []).append(entry)
    rows = []
    for name, group in groups.items():
        clips = np.unique([entry["clip"] for entry in group], return_inverse=True)[1]
        more = 100 * np.array([[gains[key(entry)] - whole[id(entry)]["gain"]] for entry in group])
        rows.append((*name, *mean_gain(group, whole), with_interval(more, clips)))
    return Table(
        "Upscalers", ("role", "LR", "detector", "upscaler", *_GAIN, "this minus it"), tuple(rows), _HOW_UPSCALERS
    )


def tables_of(all_entries: Sequence[Entry]) -> list[Table]:
    """Pooled recovery, single clips, those of which nothing can be said, milliseconds."""
    entries, earlier = ([e for e in all_entries if ("earlier" in e) == other] for other in (False, True))
    ways = measured_ways(entries)
    pairs = [pair for pair in DUELS if {*pair} & {FINE_TUNED, *OTHER_LABELS} <= {*ways}]
    whole = {id(entry): row for entry in entries for row in entry["rows"] if row["way"] == WHOLE}
    said = [entry for entry in entries if entry["worth_it"] is not None]
    said.sort(key=lambda entry: -whole[id(entry)]["gain"])
    worth = [entry for entry in said if whole[id(entry)]["gain"] >= LEAST_GAIN]
    names, roles, kinds = (list(dict.fromkeys(entry[key] for entry in entries)) for key in ("detector", "role", "lr"))
    pooled, single, means, quick, duels = [], [], [], [], []
    groups = [*([name] for name in names), *([names] if len(names) > 1 else [])]
    for role, kind, chosen in itertools.product(roles, kinds, groups):
        group = [e for e in said if e["role"] == role and e["lr"] == kind and e["detector"] in chosen]
        if not group:
            continue
        means.append((role, kind, ", ".join(chosen), str(len({e["clip"] for e in group})), *mean_gain(group, whole)))
        pool = [entry for entry in group if entry in worth]
        count = len({entry["clip"] for entry in pool})
        pooled.append((role, kind, ", ".join(chosen), str(count), *(recovery(pool, way) for way in ways)))
        if pool and all({NOTHING, SHOWN, WHOLE} <= {row["way"] for row in entry["rows"]} for entry in pool):
            quick.append((role, kind, ", ".join(chosen), *time_to_gain(pool)))
            duels.append((role, kind, ", ".join(chosen), *(difference(pool, *pair) for pair in pairs)))
    for entry in said:
        gain, low, high = (f"{100 * whole[id(entry)][key]:+.1f}" for key in ("gain", "gain_low", "gain_high"))
        shares = ["not worth it", *[""] * (len(ways) - 1)]
        if entry in worth:
            shares = [recovery([entry], way) for way in ways]
        single.append((entry["clip"], entry["role"], entry["lr"], entry["detector"], gain, f"{low} to {high}", *shares))
    unsaid = [
        (entry["clip"], entry["lr"], entry["detector"], entry["verdict"])
        for entry in entries
        if entry["worth_it"] is None
    ]
    times: dict[str, dict[str, list[float]]] = {}
    for row, name in [(row, entry["detector"]) for entry in entries for row in entry["rows"]]:
        times.setdefault(row["way"], {}).setdefault(name, []).append(row["milliseconds"])
    timed = [(way, *(f"{np.mean(ms[n]):.0f}" if n in ms else "-" for n in names)) for way, ms in times.items()]
    how = f"Gain of a way over that of the whole frame, of clips where that gains {100 * LEAST_GAIN:g} points or more. "
    how += "In brackets 95 % over clips."
    head = ("clip", "role", "LR", "detector", "gain of the whole frame, points", "95 %", *ways)
    tables = (
        Table("Gain of the whole frame", ("role", "LR", "detector", "clips", *_GAIN), tuple(means), _HOW_GAIN),
        upscalers_table(entries, earlier),
        Table("Recovery", ("role", "LR", "detector", "clips", *ways), tuple(pooled), how),
        Table("Differences", ("role", "LR", "detector", *map(" minus ".join, pairs)), tuple(duels), _HOW_DUELS),
        Table("Time to a share of the gain", ("role", "LR", "detector", *_TIMES), tuple(quick), _HOW_TIMES),
        Table("Clips", head, tuple(single), f"Those that gain less than {100 * LEAST_GAIN:g} points are not worth it."),
        Table("Clips of which nothing can be said", ("clip", "LR", "detector", "reason"), tuple(unsaid)),
        Table("Milliseconds a frame, detector included", ("way", *names), tuple(timed), "Mean over clips."),
    )
    return [table for table in tables if table.rows]


def main() -> None:
    """Parse the command line, measure, write."""
    options = tyro.cli(ClipsOptions, description=__doc__)
    tables = tables_of(entries := measure(options))
    print("\n\n".join(table.text() for table in tables))
    if options.json:
        write_text(options.json, json.dumps(entries, indent=1) + "\n")
    if options.page:
        named = [path.name if path else "the embedded one" for path in (options.upscaler, options.predictor)]
        made = f"By `benchmarks/clips.py`, {options.frames} frames a clip ({options.reduce}). Upscaler: {named[0]}; "
        made += f"predictor: {named[1]}. F1 against the same detector's detections on the true frames."
        page = ["# Clips of many cameras", made, *(table.markdown() for table in tables)]
        write_text(options.page, "\n\n".join(page) + "\n")


if __name__ == "__main__":
    run(main, resumes=True)
