"""For clips.py: the included predictor, fine-tuned on the first half of a clip with the labels of one detector."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploy.core.errors import RegenError
from deploy.inputs.video import probe
from deploy.worth_it.options import WorthOptions
from deploy.worth_it.samples import plan_sizes

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "paddleseg_configs/general/anysize_previous.yml"
LABELED_FRAMES = 40
"""Approximate number of frames that are labeled in the first half; a fifth of them choose the best checkpoint."""


def half_seconds(clip: Path) -> float:
    """Half of a clip's duration."""
    return float(probe(clip).seconds[-1]) / 2


def fine_tune(worth: WorthOptions, iterations: int, scale: int, folder: Path) -> Path:
    """Label the first half of the clip, fine-tune the included predictor on it and export the result.

    Args:
        worth: the clip, the detector and the low-resolution frames.
        iterations: training iterations.
        scale: of the upscaler.
        folder: for everything that is made; it is thrown away afterwards.

    Returns:
        The exported predictor.

    Raises:
        RegenError: a command failed.
    """
    info = probe(worth.video)
    half = info.seconds[-1] / 2
    height = plan_sizes(info.height_px, info.width_px, scale, worth.height).height_px
    every = max(1, sum(seconds < half for seconds in info.seconds) // LABELED_FRAMES)
    dataset, trained, model = folder / "dataset", folder / "trained", folder / "predictor.onnx"
    is_file = worth.detector.is_file()
    label = ["labeling/make_labels.py", worth.video, "--out", dataset, "--height", height, "--scale", scale]
    label += ["--reduce", worth.reduce, "--every", every, "--stop-seconds", float(half), "--scope", "video"]
    label += ["--split", 0.8, 0.2, 0, "--gap-seconds", 0, "--detector", "onnx" if is_file else worth.detector]
    label += ["--detector-weights", worth.detector] if is_file else []
    label += ["--detector-size", worth.detector_size] if worth.detector_size else []
    label += ["--lr-codec", worth.lr_codec] if worth.lr_codec else []
    previous = ["labeling/add_previous.py", dataset, "--detector", worth.detector]
    previous += ["--detector-size", worth.detector_size] if worth.detector_size else []
    train = ["-m", "paddleseg.tools.train", "--config", CONFIG, "--dataset", dataset, "--init", "general", "--do_eval"]
    train += ["--iters", iterations, "--save_dir", trained]
    export = ["export/export_onnx.py", "--config", CONFIG, "--dataset", dataset, "--out", model]
    export += ["--weights", trained / "best_model" / "model.pdparams"]
    for command in (label, *([previous] if is_file else []), train, export):
        done = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RegenError(f"{command[0]} failed: {done.stderr[-500:]}", hint="Run it alone for the reason.")
    return model
