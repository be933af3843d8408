"""Kill the project's commands at random instants: does the same command, given again, end as if nothing had happened?

    python benchmarks/faults.py --kills 200 --seed 0 [--stages label train] [--json FILE]

A trial runs one command in a fresh folder, kills its process group (SIGKILL) one to eight times, then lets it end, and
compares every file with those of an undisturbed run. One kill in four comes at any instant of the undisturbed run's
time, the others after the run's first write: start-up, which changes nothing, is most of the time of so small a job.
Left out of the comparison: times (`fault_runs.TIME_KEYS`), and the content of files with times or paths of the folder
in them (`fault_runs.NAMES_ONLY`). Exit code 0: all trials ended equal.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import cycle, pairwise
from pathlib import Path

import tyro
from fault_runs import (
    FORKS,
    ROOT,
    Stage,
    contents,
    differences,
    ends_before_it_writes,
    ends_within,
    kill,
    said_last,
    start,
)

from deploy.core.cli import run
from deploy.core.errors import OptionError, RegenError
from deploy.core.files import write_text
from deploy.core.resize import reduce_frame
from deploy.inputs.video import FrameSelection, read_frames
from deploy.outputs.video_writer import VideoWriter

MODEL = "mobileseg_mobilenetv3_small_x035"
CLIP = "clip.mp4"
MOST_KILLS_A_TRIAL = 8
LIMIT_SECONDS = 900
_COUNTED = """
import os, runpy, sys
from labeling.labels.labeller import Labeller
label = Labeller.label
def counted(self, pair):
    with open(os.environ["REGEN_BEGUN"], "a") as stream:
        stream.write(f"{pair.frame.index}\\n")
    return label(self, pair)
Labeller.label = counted
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs labeling as it is, and notes every frame that it begins."""


@dataclass(frozen=True)
class FaultOptions:
    """Options of the test."""

    kills: int = 200
    """Total number of kills."""
    seed: int = 0
    """Seed of the random instants."""
    stages: tuple[str, ...] = (*("label", "train", "deploy", "enhance") * 3, "export", "zoo", "upscaler", "utility")
    """Stages, run in turn; a stage listed twice runs twice as often."""
    video: Path = ROOT / "datasets" / "cache" / "vtest.avi"
    """Video to label."""
    frames: int = 40
    """Number of frames to label."""
    detector: Path | None = None
    """ONNX detector for the stage "worth"."""
    preload: tuple[str, ...] = ()
    """Modules to import once: runs are then forks of a process that has them, so that kills do not wait for start-up.
    Not PyTorch and Paddle together."""
    json: Path | None = None
    """Write the figures to this file."""


@dataclass
class Tally:
    """Results of one stage."""

    kills: int = 0
    trials: int = 0
    equal: int = 0
    frames_done_again: list[int] = field(default_factory=list)
    """By run: frames that an earlier run had already started; labeling only."""
    seconds_undisturbed: float = 0.0
    failures: list[str] = field(default_factory=list)


def main() -> None:
    """Parse the command line, kill, print."""
    options = tyro.cli(FaultOptions, description=__doc__)
    FORKS.preload(options.preload, options.stages)
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        tallies = kill_all(options, Path(folder))
    print(_figures(options, tallies))
    if any(tally.equal != tally.trials for tally in tallies.values()):
        raise RegenError("a killed run ended differently from an undisturbed one", hint="See failures above.")


def kill_all(options: FaultOptions, folder: Path) -> dict[str, Tally]:
    """Run trials of each stage in turn until there were enough kills."""
    stages = make_stages(options, folder)
    _write_clip(options.video, folder / CLIP)
    unknown = [name for name in options.stages if name not in stages]
    if unknown:
        raise OptionError(f"no stage {unknown[0]!r}", hint=f"Known: {', '.join(stages)}.")
    instants = random.Random(options.seed)
    tallies = {name: Tally() for name in options.stages}
    read = {part for name in options.stages for part in stages[name].reads}
    runs = {name: Undisturbed.of(stage, folder) for name, stage in stages.items() if name in read | {*options.stages}}
    for number, name in enumerate(cycle(options.stages)):
        left = options.kills - sum(tally.kills for tally in tallies.values())
        if left <= 0:
            return tallies
        tallies[name].seconds_undisturbed = round(runs[name].seconds, 1)
        most = min(left, instants.randint(1, MOST_KILLS_A_TRIAL))
        _trial(stages[name], runs[name], folder / f"{name}-{number}", most, instants, tallies[name])
        print(f"{sum(tally.kills for tally in tallies.values())} of {options.kills} kills", file=sys.stderr, flush=True)
        if options.json:  # after each, for those who stop before the end
            write_text(options.json, _figures(options, tallies))
    raise AssertionError("an endless loop ended")


def make_stages(options: FaultOptions, material: Path) -> dict[str, Stage]:
    """The commands; each reads what an undisturbed run of the one before left."""
    seconds = options.frames / 10 * 4  # the clip has ten frames a second; one in four is taken
    dataset, trained, exported = (material / f"{name}-whole" for name in ("label", "train", "export"))
    weights = trained / "train" / "best_model" / "model.pdparams"
    trained_from = ("--config", f"paddleseg_configs/{MODEL}.yml", "--dataset", dataset / "dataset")
    labelled = ("--height", 80, "--gap-seconds", 0.5, "--upscaler", "reference", "--split", 0.5, 0.25, 0.25)
    labelled += ("--every", 4, "--stop-seconds", seconds)
    seen = ("--input", options.video, "--stop-seconds", 12, "--segment-seconds", 2)
    schedule = ("--iters", 12, "--batch_size", 2, "--save_interval", 3, "--log_iters", 1, "--do_eval")
    small = ("--every", 6, "--input-height", 96, "--frames", "png", "--maps", "npz", "--threads", 1)
    taught = ("--features", 8, "--blocks", 2, "--steps", 60, "--batch", 2, "--patch-px", 16, "--checkpoint-every", 5)
    asked = ("--frames", 2, "--height", 96, "--threads", 1, "--out", "OUT/worth.html", "--json", "OUT/worth.json")
    compared = ("--models", MODEL, "--iters", 4, "--batch-size", 2, "--max-frames", 2, "--budgets", 0.1, 0.2)
    stages = [
        Stage(
            "label",
            ("-c", _COUNTED, "labeling/make_labels.py", options.video, "--out", "OUT/dataset", *labelled),
            appears_whole=True,
        ),
        Stage(
            "train",
            ("-m", "paddleseg.tools.train", *trained_from, *schedule, "--save_dir", "OUT/train"),
            reads=("label",),
        ),
        Stage(
            "export",
            ("export/export_onnx.py", *trained_from, "--weights", weights, "--out", "OUT/model.onnx"),
            reads=("label", "train"),
            appears_whole=True,
        ),
        Stage(
            "deploy",
            ("deploy/trt_infer.py", "--model", exported / "model.onnx", *seen, "--out", "OUT/maps"),
            reads=("label", "train", "export"),
            refuses_when_done=True,
        ),
        Stage(
            "zoo",
            (
                "paddleseg_configs/compare.py",
                dataset / "dataset",
                *compared,
                "--out",
                "OUT/models",
                "--report",
                "OUT/zoo",
            ),
            reads=("label",),
        ),
        Stage("enhance", ("deploy/enhance.py", *seen, *small, "--out", "OUT/enhanced"), refuses_when_done=True),
        Stage(
            "upscaler",
            ("labeling/train_upscaler.py", material / CLIP, *taught, "--out", "OUT/edsr.safetensors"),
            appears_whole=True,
        ),
        Stage(
            "utility",
            ("labeling/evaluate_utility.py", dataset / "dataset", "--out", "OUT/utility.json", "--max-frames", 3),
            reads=("label",),
            appears_whole=True,
        ),
    ]
    if options.detector is not None:
        command = ("deploy/worth.py", material / CLIP, "--detector", options.detector.resolve(), *asked)
        stages.append(Stage("worth", command, appears_whole=True))
    return {stage.name: stage for stage in stages}


def _write_clip(video: Path, path: Path) -> None:
    """A few seconds of a video, for commands that read all of one."""
    with VideoWriter(path, frame_rate=Fraction(10)) as writer:
        for frame in read_frames(video, selection=FrameSelection(stop_seconds=3)):
            writer.write(reduce_frame(frame.image, height_px=288, width_px=384), pts_seconds=frame.seconds)


@dataclass(frozen=True)
class Undisturbed:
    """An undisturbed run."""

    files: dict[str, str]
    """Hash of what counts in every file."""
    first_write_seconds: float
    """When it wrote its first file, from its start."""
    seconds: float

    @classmethod
    def of(cls, stage: Stage, material: Path) -> Undisturbed:
        """Run a stage to its end."""
        folder = material / f"{stage.name}-whole"
        folder.mkdir()
        started, first = time.monotonic(), None
        process = start(stage, folder)
        while process.poll() is None:
            if first is None and any(folder.iterdir()):
                first = time.monotonic() - started
            time.sleep(0.005)
        seconds = time.monotonic() - started
        if process.returncode:
            raise RegenError(f"{stage.name} fails undisturbed: {said_last(folder)}", hint="Fix this first.")
        return cls(contents(folder), first or 0.0, seconds)


def _trial(stage: Stage, whole: Undisturbed, folder: Path, most: int, instants: random.Random, tally: Tally) -> None:
    folder.mkdir()
    begun = [Counter[int]()]
    for number in range(most):
        process = start(stage, folder)
        if instants.random() < 0.25:
            ended = ends_within(process, instants.uniform(0, whole.seconds))
        else:  # what is left to do becomes less
            busy_seconds = (whole.seconds - whole.first_write_seconds) / (1 + number)
            ended = ends_before_it_writes(process, folder) or ends_within(process, instants.uniform(0, busy_seconds))
        if ended:
            break
        kill(process)
        tally.kills += 1
        tally.failures += [f"{folder.name}: {name} is half-written" for name in _half_written(stage, whole, folder)]
        begun.append(_begun(folder))
    process = start(stage, folder)
    code = process.wait(LIMIT_SECONDS)
    was_done = stage.refuses_when_done and "already contains results" in said_last(folder)
    fails = code != 0 and not was_done
    differing = [f"exit code {code}: {said_last(folder)}"] if fails else differences(whole.files, contents(folder))
    for before, after in pairwise([*begun, _begun(folder)]):
        tally.frames_done_again.append(sum(count - before[frame] for frame, count in after.items() if before[frame]))
    tally.trials += 1
    tally.equal += not differing
    tally.failures += [f"{folder.name}: {text}" for text in differing]


def _begun(folder: Path) -> Counter[int]:
    """How often each frame was begun so far."""
    path = folder.with_suffix(".begun")
    return Counter(map(int, path.read_text().split())) if path.is_file() else Counter()


def _half_written(stage: Stage, whole: Undisturbed, folder: Path) -> Iterator[str]:
    if stage.appears_whole:
        for name, digest in contents(folder).items():
            if not name.startswith(".") and digest != whole.files.get(name, digest):
                yield name


def _figures(options: FaultOptions, tallies: dict[str, Tally]) -> str:
    stages = {name: asdict(tally) for name, tally in tallies.items()}
    for record in stages.values():
        record["most_frames_done_again"] = max(record.pop("frames_done_again"), default=0)
    total = {key: sum(record[key] for record in stages.values()) for key in ("kills", "trials", "equal")}
    return (
        json.dumps({"seed": options.seed, "preload": options.preload, "total": total, "stages": stages}, indent=2)
        + "\n"
    )


if __name__ == "__main__":
    run(main)
