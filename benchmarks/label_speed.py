"""Labeling against the released procedure: seconds a frame by stage, in turn, in one process.

    python benchmarks/label_speed.py VIDEO [--frames 5] [--json FILE]           the comparison, 360p to 1080p
    python benchmarks/label_speed.py VIDEO --detector hog --baseline none       stages of any detector, no comparison

The released procedure (RegenHance, NSDI 2025, after its description): EfficientDet-D0 on SR frames that lie ready,
padded to a square of their longer side rounded up to 128 (1920 x 1920), float32, gradients of all parameters computed
along with that of the pixels, |gradient| summed over tiles of 16 px. Ours does the same for the same frames without the
square, without the gradients of the parameters, and otherwise as ``labeling/make_labels.py`` does.

Without --detector-weights and without weights in the cache, those of EfficientDet are random, scaled so that they
detect: as fast as trained ones, and the labels mean nothing but can be compared. Times are of the process's processor
seconds over the number of threads with --clock cpu, which other programs disturb less than the wall's.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from deploy.core.cli import run
from deploy.core.errors import OptionError, WeightsError
from deploy.core.files import write_text

NETWORKS = ("upscale", "forward", "backward")
BLOCK_PX = 16


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options of the benchmark."""

    video: Annotated[Path, tyro.conf.Positional] = Path(__file__).parents[1] / "datasets" / "cache" / "vtest.avi"
    """Video to label; it is enlarged if it is too small for true SR-size frames."""
    height: int = 360
    """Height of the low-resolution frame."""
    scale: int = 3
    """Super-resolution factor."""
    detector: str = "efficientdet-d0"
    """Name of the detector; the baseline is defined only for efficientdet-d0."""
    detector_weights: Path | None = None
    """Weights file of the detector, if it needs one."""
    upscaler: str = "edsr"
    """Name of the upscaler."""
    frames: int = 5
    """Frames to time, after one for warm-up."""
    baseline: Literal["released", "none"] = "released"
    """Baseline to compare with."""
    precisions: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    """Number types of our procedure, each timed."""
    device: str = "cpu"
    """cpu or cuda."""
    clock: Literal["wall", "cpu"] = "wall"
    """Time to measure: wall or CPU time."""
    json: Path | None = None
    """Write the figures to this file."""


@dataclass
class Stopwatch:
    """Seconds of each stage of each frame."""

    clock: str
    threads: int
    synchronise: Any
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the enclosed block."""
        started = self._now()
        yield
        self.synchronise()
        self.seconds[name].append(self._now() - started)

    def _now(self) -> float:
        return time.perf_counter() if self.clock == "wall" else time.process_time() / self.threads

    def medians(self) -> dict[str, float]:
        """By stage, without the first frame."""
        return {name: float(np.median(values[1:])) for name, values in self.seconds.items()}


def main() -> None:
    """Parse the command line, time, print."""
    options = tyro.cli(BenchmarkOptions, description=__doc__)
    if options.baseline == "released" and options.detector != "efficientdet-d0":
        raise OptionError(
            "the released procedure is defined for efficientdet-d0", hint="Add --baseline none, or remove --detector."
        )
    figures = compare(options)
    for name, stages in figures["seconds_per_frame"].items():
        total = sum(stages.values())
        print(f"{name}: {total:.3f} s a frame")
        for stage, seconds in stages.items():
            print(f"  {stage:10s} {seconds * 1e3:10.1f} ms  {100 * seconds / total:5.1f} %")
    for key in ("ratio_to_released_procedure", "ratio_with_upscaling", "overhead_fraction", "spearman_to_float32"):
        for name, value in figures.get(key, {}).items():
            print(f"{key}, {name}: {value:.3f}")
    if options.json:
        write_text(options.json, json.dumps(figures, indent=2) + "\n")


def compare(options: BenchmarkOptions) -> dict[str, Any]:
    """Label frames both ways, one way after the other on each frame."""
    import torch
    from scipy.stats import spearmanr

    from deploy.inputs.video import FrameSelection, probe, read_frames

    with tempfile.TemporaryDirectory() as folder:
        video = probe(options.video)
        size = (options.height, round(video.width_px * options.height / video.height_px))
        first = next(iter(read_frames(options.video, selection=FrameSelection())))
        weights, source = find_weights(options, two_sizes(first.image, size, options.scale)[1], Path(folder))
        ways: dict[str, Any] = {
            f"ours, {precision}": Ours(options, weights, size, precision, Path(folder))
            for precision in options.precisions
        }
        if options.baseline == "released":
            ways = {"released procedure": Released(options, weights)} | ways
        step = max(1, video.num_frames // (options.frames + 1))
        maps: dict[str, list[Any]] = defaultdict(list)
        for count, frame in enumerate(read_frames(options.video, selection=FrameSelection(every=step))):
            if count > options.frames:
                break
            lr, sr = two_sizes(frame.image, size, options.scale)
            for name, way in ways.items():
                maps[name].append(way(frame.index, lr, sr))
    seconds = {name: way.watch.medians() for name, way in ways.items()}
    figures: dict[str, Any] = {
        "seconds_per_frame": seconds,
        "overhead_fraction": {
            name: 1 - sum(stages.get(stage, 0) for stage in NETWORKS) / sum(stages.values())
            for name, stages in seconds.items() if name.startswith("ours")
        },
        "lr_size": [size[1], size[0]], "scale": options.scale, "detector": options.detector,
        "weights": source, "upscaler": options.upscaler, "device": options.device, "clock": options.clock,
        "threads": torch.get_num_threads(), "torch": torch.__version__,
    }  # fmt: skip
    if reference := maps.get("ours, float32"):
        figures["spearman_to_float32"] = {
            name: min(float(spearmanr(a, b, axis=None).statistic) for a, b in zip(found, reference, strict=True))
            for name, found in maps.items() if name.startswith("ours")
        }  # fmt: skip
    if options.baseline == "released":
        released = sum(seconds["released procedure"].values())
        labels = ("forward", "backward", "pooling")
        figures["ratio_to_released_procedure"] = {
            name: released / sum(stages[stage] for stage in labels)
            for name, stages in seconds.items() if name.startswith("ours")
        }  # fmt: skip
        figures["ratio_with_upscaling"] = {
            name: (released + stages["upscale"]) / sum(stages.values())
            for name, stages in seconds.items() if name.startswith("ours")
        }  # fmt: skip
    return figures


class Ours:
    """The stages of ``labeling/make_labels.py --variant gradient``, timed apart."""

    def __init__(
        self, options: BenchmarkOptions, weights: Path | None, size: tuple[int, int], precision: Any, folder: Path
    ) -> None:
        from deploy.core.grid import Grid
        from labeling.labels.draft import WorkFolder
        from labeling.labels.labeller import make_labeller
        from labeling.labels.options import LabelOptions

        self.options = LabelOptions(
            videos=(options.video,), out=Path("unused"), height=options.height, scale=options.scale,
            upscaler=options.upscaler, detector=options.detector, detector_weights=weights, device=options.device,
            variant="gradient", precision=precision, grid="sr",
        )  # fmt: skip
        self.grid = Grid(size[0], size[1], options.scale, BLOCK_PX, "sr")
        self.labeller = make_labeller(self.options)
        self.work = WorkFolder(folder / "work")
        self.watch = _stopwatch(options)

    def __call__(self, index: int, lr_image: Any, sr_image: Any) -> Any:
        """(rows, cols) importance of one frame; the stages are timed."""
        import torch

        from labeling.core.frames import to_tensor
        from labeling.maths.importance import block_importance
        from labeling.networks.devices import autocast

        watch, device = self.watch, self.labeller.device
        with watch.stage("copy"):
            lr, sr = to_tensor(lr_image, device), to_tensor(sr_image, device)
        with watch.stage("upscale"), torch.no_grad(), autocast(device, self.options.precision):
            self.labeller.upscaler.upscale(lr, sr)
        pixels = sr.requires_grad_(True)
        with watch.stage("forward"), autocast(device, self.options.precision):
            scores = self.labeller.detector.detect(pixels)[0].scores
        with watch.stage("backward"):
            gradient = torch.autograd.grad(scores.sum(), pixels)[0][0] if len(scores) else torch.zeros_like(sr[0])
        with watch.stage("pooling"):
            blocks = block_importance(gradient, sr[0].detach(), sr[0].detach(), self.grid, "gradient")
        with watch.stage("write"):
            self.work.store_image("benchmark", index, lr_image)
            self.work.store_frame("benchmark", index, blocks, len(scores))
        return blocks


class Released:
    """The released procedure, written after its description."""

    def __init__(self, options: BenchmarkOptions, weights: Path | None) -> None:
        from effdet import EfficientDet, get_efficientdet_config

        from labeling.core.weights import read_state

        assert weights is not None
        height = options.height * options.scale
        side = -(-max(height, -(-height * 16 // 9)) // 128) * 128
        config = get_efficientdet_config("tf_efficientdet_d0")
        config.image_size = (side, side)
        self.network, self.side = EfficientDet(config, pretrained_backbone=False).eval(), side
        self.network.load_state_dict(read_state(weights))
        self.watch = _stopwatch(options)

    def __call__(self, index: int, lr_image: Any, sr_image: Any) -> Any:
        """(rows, cols) importance of one frame; the stages are timed."""
        import torch
        from torch.nn import functional

        from labeling.core.frames import to_tensor

        frame = _normalised(to_tensor(sr_image, "cpu"))
        pixels = functional.pad(frame, (0, self.side - frame.shape[3], 0, self.side - frame.shape[2]))
        pixels.requires_grad_(True)
        with self.watch.stage("forward"):
            logits, _ = self.network(pixels)
            scores = torch.cat([level.flatten() for level in logits]).sigmoid()
            kept = scores[scores >= 0.3].sum()
        with self.watch.stage("backward"):
            self.network.zero_grad()
            kept.backward()
        with self.watch.stage("pooling"):
            assert pixels.grad is not None
            tiles = functional.avg_pool2d(pixels.grad.abs().sum(dim=1, keepdim=True), BLOCK_PX) * BLOCK_PX**2
        return tiles[0, 0].numpy()


def _normalised(frame: Any) -> Any:
    """By ImageNet's mean and deviation, as EfficientDet takes it."""
    import torch

    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (frame - mean) / deviation


def _stopwatch(options: BenchmarkOptions) -> Stopwatch:
    import torch

    return Stopwatch(
        options.clock, torch.get_num_threads(), torch.cuda.synchronize if options.device != "cpu" else lambda: None
    )


def two_sizes(image: Any, size: tuple[int, int], scale: int) -> tuple[Any, Any]:
    """The frame at the LR and at the SR size, whatever the video's own; only the time matters here."""
    from PIL import Image

    frame = Image.fromarray(image)
    sr_size = (size[1] * scale, size[0] * scale)
    return tuple(np.asarray(frame.resize(s, Image.Resampling.BICUBIC)) for s in ((size[1], size[0]), sr_size))  # type: ignore[return-value]


def find_weights(options: BenchmarkOptions, frame: Any, folder: Path) -> tuple[Path | None, str]:
    """The detector's weights and where they are from: a file, the cache, or random ones for EfficientDet."""
    if options.detector_weights or not options.detector.startswith("efficientdet"):
        return options.detector_weights, "file" if options.detector_weights else "the detector's own"
    from effdet import get_efficientdet_config

    from labeling.core.weights import cached_download

    try:
        name = "tf_" + options.detector.replace("-", "_")
        return cached_download(get_efficientdet_config(name).url, offline=True), "published"
    except WeightsError:
        return _random_weights(name, frame, folder / "random.safetensors"), "random"


def _random_weights(name: str, frame: Any, path: Path) -> Path:
    """Random weights whose signal neither dies out nor explodes on this frame, and that detect some 50 things in it."""
    import torch
    from effdet import EfficientDet, get_efficientdet_config
    from safetensors.torch import save_file
    from torch.nn import functional

    torch.manual_seed(0)
    config = get_efficientdet_config(name)
    height, width = (-(-side // 128) * 128 for side in frame.shape[:2])
    config.image_size = (height, width)
    network = EfficientDet(config, pretrained_backbone=False).eval()

    def settle(module: Any, inputs: Any) -> None:
        module.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        module.running_var.fill_(inputs[0].var() + 1e-6)

    hooks = [m.register_forward_pre_hook(settle) for m in network.modules() if hasattr(m, "running_var")]
    head = network.class_net.predict.conv_pw
    head.weight.data.normal_()
    head.bias.data.zero_()
    image = _normalised(torch.from_numpy(frame.copy()).permute(2, 0, 1)[None] / 255.0)
    with torch.no_grad():
        levels = network(functional.pad(image, (0, width - frame.shape[1], 0, height - frame.shape[0])))[0]
    people_and_vehicles = [level.unflatten(1, (-1, 90))[:, :, [0, 1, 2, 3, 5, 7]].flatten() for level in levels]
    logits = torch.cat(people_and_vehicles)
    scale = 4 / float(logits.abs().max())
    head.weight.data *= scale
    head.bias.data.fill_(float(torch.tensor(0.3).logit() - scale * logits.topk(50).values[-1]))
    for hook in hooks:
        hook.remove()
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, str(path))
    return path


if __name__ == "__main__":
    run(main)
