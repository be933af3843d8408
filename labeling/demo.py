"""Run the whole pipeline on one video: labels, training, export, inference, evaluation and a page of results.

    python -m labeling.demo [--video PATH]

Runs the documented scripts in order and prints each command first. Skips a stage if its command, input files and
outputs are unchanged.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from deploy.core.cli import run
from deploy.core.errors import InputError
from deploy.core.ranges import require_ranges
from deploy.inputs.video import probe
from labeling.core.stages import ROOT, Stage, execute, run_stage
from labeling.dataset.manifest import read_manifest
from labeling.dataset.reader import read_split

CLIP = Path("datasets/cache/vtest.avi")
GENERAL = Path("deploy/models/general.onnx")
"""The predictor that comes with the project: it predicts before anything is trained."""
UPSCALER = Path("deploy/models/edsr_x3.onnx")
"""The upscaler that comes with the project."""
SCALE = 3
MAX_HEIGHT_PX = 360
DEMO_PIXELS = 256 * 192


@dataclass(frozen=True)
class DemoOptions:
    """Options of the demo."""

    video: Path | None = None
    """Your own video; by default vtest.avi, which is downloaded."""
    out: Path | None = None
    """Folder for all results; by default runs/demo, or runs/demo-NAME for your own video."""
    detector: str = "hog"
    """hog or centernet (downloaded from npm)."""
    config: Path = Path("paddleseg_configs/mobileseg_mobilenetv3_small_x035.yml")
    """Ladder model to train."""
    frames: int = 120
    """Approximate number of frames to label (fewer if they are large)."""
    iters: int = 300
    """Training iterations."""
    evaluate_frames: int = 12
    """Number of test frames to evaluate on."""

    def __post_init__(self) -> None:
        require_ranges(self, "frames", "iters", "evaluate_frames", low=1)


def main() -> None:
    """Parse the command line and run."""
    run_demo(tyro.cli(DemoOptions, description=__doc__))


def run_demo(options: DemoOptions) -> None:
    """Run every stage that is not up to date.

    Raises:
        RegenError: a stage failed after printing the reason.
    """
    started = time.monotonic()
    if options.video is None:
        execute(Stage("clip", ("datasets/get_demo_clip.py", "--out", str(CLIP)), (), (CLIP,)))
    if options.detector == "centernet":
        execute(Stage("detector", ("datasets/get_demo_detector.py",), (), ()))
    video = (options.video or ROOT / CLIP).resolve()
    out = (options.out or _default_folder(options.video)).resolve()
    stamps = out / "stamps"
    dataset, model = out / "dataset", out / "model.onnx"
    labels = _label_stage(video, dataset, options)
    run_stage(_zero_shot_stage(video, out, labels), stamps)
    run_stage(labels, stamps)
    training = out / f"train-{read_manifest(dataset).job_sha256[:8]}"
    for stage in _later_stages(video, dataset, training, model, out, options):
        run_stage(stage, stamps)
    print(f"\ndone in {time.monotonic() - started:.0f} s; open {out / 'report.html'}")


def _label_stage(video: Path, dataset: Path, options: DemoOptions) -> Stage:
    info = probe(video)
    height = min(MAX_HEIGHT_PX, info.height_px // SCALE)
    if height < 32:
        raise InputError(f"{video} is only {info.height_px} px high", hint=f"Use a video of at least {32 * SCALE} px.")
    pixels = height * height * info.width_px / info.height_px
    frames = max(min(40, options.frames), min(options.frames, round(options.frames * DEMO_PIXELS / pixels)))
    every = max(1, info.num_frames // frames)
    gap_seconds = min(2.0, round(float(info.seconds[-1]) / 20, 3))
    command = (
        "labeling/make_labels.py", str(video), "--out", str(dataset), "--height", str(height), "--scale", str(SCALE),
        "--every", str(every), "--gap-seconds", str(gap_seconds), "--detector", options.detector, "--overwrite",
    )  # fmt: skip
    return Stage("labels", command, (video,), (dataset / "manifest.json",))


def _zero_shot_stage(video: Path, out: Path, labels: Stage) -> Stage:
    """The stage that runs the general predictor on the same frames."""
    every = labels.command[labels.command.index("--every") + 1]
    folder = out / "zero-shot"
    command = (
        "deploy/trt_infer.py", "--input", str(video), "--every", every, "--out", str(folder), "--overwrite",
    )  # fmt: skip
    return Stage("zero-shot", command, (video, ROOT / GENERAL), (folder / "importance.npz", folder / "overlay.mp4"))


def _later_stages(
    video: Path, dataset: Path, training: Path, model: Path, out: Path, options: DemoOptions
) -> tuple[Stage, ...]:
    manifest, weights = dataset / "manifest.json", training / "best_model" / "model.pdparams"
    predictions, utility, report = out / "predictions", out / "utility.json", out / "report.html"
    enhanced, whole, test_frames = out / "enhanced", out / "whole-frame", _test_frames(video, dataset)
    every = str(read_manifest(dataset).options["every"])
    config = str(options.config)
    return (
        Stage(
            "train",
            ("-m", "paddleseg.tools.train", "--config", config, "--dataset", str(dataset), "--save_dir", str(training),
             "--iters", str(options.iters), "--do_eval"),
            (manifest, ROOT / options.config),
            (weights, training / "metrics.jsonl"),
        ),
        Stage(
            "export",
            ("export/export_onnx.py", "--config", config, "--weights", str(weights), "--dataset", str(dataset),
             "--out", str(model)),
            (weights, manifest),
            (model, model.with_suffix(".json")),
        ),
        Stage(
            "infer",
            ("deploy/trt_infer.py", "--model", str(model), "--input", str(video), "--every", every,
             "--out", str(predictions), "--overwrite"),
            (model, video),
            (predictions / "importance.npz", predictions / "overlay.mp4"),
        ),
        _enhance_stage("enhance", test_frames, enhanced, ("--predictor", str(model)), video, manifest, model),
        _enhance_stage("whole-frame", test_frames, whole, ("--budget", "100%"), video, manifest),
        Stage(
            "utility",
            ("labeling/evaluate_utility.py", str(dataset), "--models", str(model), f"zero-shot={GENERAL}",
             "--out", str(utility), "--max-frames", str(options.evaluate_frames)),
            (model, ROOT / GENERAL, manifest),
            (utility,),
        ),
        Stage(
            "report",
            ("labeling/make_report.py", str(dataset), "--out", str(report), "--utility", str(utility), "--predictions",
             str(predictions), "--training", str(training), "--model", str(model), "--enhanced", str(enhanced),
             "--whole", str(whole)),
            (utility, predictions / "importance.npz", training / "metrics.jsonl", manifest,
             enhanced / "latency.json", whole / "latency.json"),
            (report,),
        ),
    )  # fmt: skip


def _enhance_stage(name: str, common: tuple[str, ...], out: Path, options: tuple[str, ...], *inputs: Path) -> Stage:
    command = ("deploy/enhance.py", *common, *options, "--out", str(out), "--overwrite")
    return Stage(name, command, (*inputs, ROOT / UPSCALER), (out / "blocks.jsonl", out / "latency.json"))


def _test_frames(video: Path, dataset: Path) -> tuple[str, ...]:
    """Options of enhance.py that select the test frames, as labeled, and write each as an image."""
    manifest, seconds = read_manifest(dataset), probe(video).seconds
    milliseconds = [math.floor(seconds[frame.index] * 1000) for frame in read_split(dataset, manifest, "test")]
    return (
        "--input", str(video), "--input-height", str(manifest.frame_height_px),
        "--every", str(manifest.options["every"]), "--frames", "png", "--no-video",
        "--start-seconds", str(min(milliseconds) / 1000), "--stop-seconds", str((max(milliseconds) + 1) / 1000),
    )  # fmt: skip


def _default_folder(video: Path | None) -> Path:
    return ROOT / "runs" / ("demo" if video is None else f"demo-{video.stem}")


if __name__ == "__main__":
    run(main, resumes=True)
