"""Train EDSR on frames; see `labeling/train_upscaler.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import InputError, OptionError, WeightsError
from deploy.core.files import sha256_of
from deploy.core.progress import track
from deploy.core.ranges import require_ranges
from deploy.core.work_folder import clear, hold
from deploy.outputs.lr_codec import LrCodec
from labeling.core.frames import to_tensor
from labeling.core.training_checkpoint import TrainingCheckpoint
from labeling.detectors.places import DenseDetector
from labeling.upscalers.detector_loss import detector_loss, object_centers, open_dense_detectors
from labeling.upscalers.edsr import Edsr, read_edsr, save_edsr
from labeling.upscalers.simple import interpolate
from labeling.upscalers.training_frames import TrainingFrame, sample_batch, training_frames
from labeling.upscalers.training_options import UNCODED, TrainUpscalerOptions


def train_upscaler(options: TrainUpscalerOptions) -> None:
    """Train, save the weights to ``options.out`` and print the PSNR on the validation frames."""
    _check(options)
    record = _record(options)
    torch.manual_seed(options.seed)
    network = _network(options)
    detectors = open_dense_detectors(options.detectors)
    work = options.out.with_name(f".{options.out.name}.partial")
    with hold(work / "lock"):
        frames = _frames(options, work / "lr", detectors)
        print(f"{len(frames)} training frames")
        _optimise(network, frames, detectors, options, work, record)
        network.eval()
        record["psnr_db"] = {
            name: value for path in options.validate for name, value in _psnr_of(network, path, options, work).items()
        }
        save_edsr(network, options.out, record)
        clear(work)
    print(f"wrote {options.out}: {sum(p.numel() for p in network.parameters())} parameters")
    for name, value in record["psnr_db"].items():  # type: ignore[attr-defined]
        print(f"{name}: PSNR {value['edsr']:.2f} dB, bicubic {value['bicubic']:.2f} dB")


def _check(options: TrainUpscalerOptions) -> None:
    """Raise OptionError for options that cannot be."""
    if options.scale not in (2, 3, 4):
        raise OptionError(f"scale={options.scale} is not 2, 3 or 4", hint="Use --scale 2, 3 or 4.")
    if options.out.suffix != ".safetensors":
        raise OptionError(f"--out {options.out} must end in .safetensors", hint="Rename it.")
    require_ranges(options, "features", "blocks", "steps", "batch", "patch_px", "every", "checkpoint_every", low=1)
    require_ranges(options, "detector_weight", low=0)
    for name in ("reduce", "lr_codec"):
        if not getattr(options, name):
            raise OptionError(f"{name} is empty", hint="Leave it out for the default.")
    for height in options.height:
        if height < options.patch_px:
            raise OptionError(f"height={height} is less than patch_px={options.patch_px}", hint="Give larger heights.")
    if options.detectors and options.patch_px < 64:
        side = options.patch_px * options.scale
        print(f"warning: few whole objects fit into patches of {side} x {side} px: use --patch-px 96 for --detectors")
    for codec in options.lr_codec:
        if codec != UNCODED:
            LrCodec.parse(codec)


def _network(options: TrainUpscalerOptions) -> Edsr:
    network = (
        read_edsr(options.init).train().requires_grad_(True)
        if options.init
        else Edsr(scale=options.scale, features=options.features, blocks=options.blocks)
    )
    if network.scale != options.scale:
        raise WeightsError(
            f"{options.init} is EDSR x{network.scale}, asked for x{options.scale}", hint=f"Use --scale {network.scale}."
        )
    for shift in (network.sub_mean, network.add_mean):
        shift.requires_grad_(False)
    return network


def _frames(options: TrainUpscalerOptions, folder: Path, detectors: Sequence[DenseDetector]) -> list[TrainingFrame]:
    """All frames that hold a patch, with their objects where there are detectors.

    Raises:
        InputError: there is none.
    """
    sources = track(options.sources, total=len(options.sources), label="reading", unit="source")
    frames = [frame for path in sources for frame in training_frames(path, options, folder)]
    frames = [frame for frame in frames if min(frame.hr.shape[:2]) >= options.patch_px * options.scale]
    if not frames:
        raise InputError(
            f"no source frame is at least {options.patch_px * options.scale} px on both sides",
            hint="Give larger frames or a smaller --patch-px.",
        )
    if detectors:
        for frame in track(frames, total=len(frames), label="looking for objects", unit="frame"):
            centers = object_centers(detectors[0], to_tensor(frame.hr, "cpu")) / options.scale
            frame.objects.extend((int(y), int(x)) for x, y in centers.tolist())
    return frames


def _optimise(
    network: Edsr,
    frames: Sequence[TrainingFrame],
    detectors: Sequence[DenseDetector],
    options: TrainUpscalerOptions,
    work: Path,
    record: dict[str, object],
) -> None:
    if options.precision == "bfloat16":
        network.to(memory_format=torch.channels_last)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=options.learning_rate)
    warm_up = max(1, options.steps // 50)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / options.steps))
    )
    made_of = {name: value for name, value in record.items() if name != "validate"}
    checkpoint = TrainingCheckpoint(work, made_of, {"network": network, "optimizer": optimiser, "schedule": schedule})
    progress = checkpoint.restore()
    first = 0 if progress is None else int(progress["step"])
    if progress is not None:
        print(f"going on from step {first}")
    steps = range(first, options.steps)
    for step in track(steps, total=options.steps, done=first, label="training", unit="step"):
        lr, hr = sample_batch(frames, options, step, upright=bool(detectors))
        sr = _forward(network, lr, options)
        pixels = functional.l1_loss(sr, hr)
        loss, shown = pixels, f"L1 loss {pixels.item():.3f} of 255"
        if detectors:  # one after the other
            answer = detector_loss(detectors[step % len(detectors)], sr / 255, hr / 255)
            loss, shown = pixels + options.detector_weight * answer, f"{shown}, detector loss {answer.item():.3f}"
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 20.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % options.checkpoint_every == 0 or step + 1 == options.steps:
            checkpoint.save(step=step + 1)
            print(f"step {step + 1}: {shown}")


def _forward(network: Edsr, lr: Tensor, options: TrainUpscalerOptions) -> Tensor:
    """The network's answer, its body in the precision that was asked for; colors stay float32."""
    if options.precision == "float32":
        return network(lr)  # type: ignore[no-any-return]
    x = network.head(network.sub_mean(lr.contiguous(memory_format=torch.channels_last)))
    with torch.autocast("cpu", torch.bfloat16):
        enlarged = network.tail[0](x + network.body(x))
    return network.add_mean(network.tail[1](enlarged.float()))  # type: ignore[no-any-return]


def _psnr_of(network: Edsr, path: Path, options: TrainUpscalerOptions, work: Path) -> dict[str, dict[str, float]]:
    """Mean PSNR over frames, in dB, RGB rounded to 8 bits, `scale` pixels cut off each side, of each kind of LR."""
    psnr: dict[str, dict[str, list[float]]] = {}
    cut = slice(options.scale, -options.scale)
    for frame in training_frames(path, options, work / "lr"):
        hr = to_tensor(frame.hr, "cpu") * 255
        for kind, lr_frame in frame.lr.items():
            lr = to_tensor(lr_frame, "cpu") * 255
            with torch.no_grad():
                enlarged = {"edsr": network(lr), "bicubic": interpolate(lr / 255, options.scale) * 255}
            name = path.name if len(frame.lr) == 1 else f"{path.name}, {kind}"
            values = psnr.setdefault(name, {"edsr": [], "bicubic": []})
            for way, sr in enlarged.items():
                error = (sr.round().clamp(0, 255) - hr)[..., cut, cut].square().mean()
                values[way].append(10 * math.log10(255**2 / max(float(error), 1e-9)))
    return {
        name: {way: round(float(np.mean(ways)), 3) for way, ways in values.items()} for name, values in psnr.items()
    }


def _record(options: TrainUpscalerOptions) -> dict[str, object]:
    """All that determines the weights, without paths of this machine."""
    record: dict[str, object] = {k: v for k, v in asdict(options).items() if k not in ("out", "checkpoint_every")}
    init = (options.init,) if options.init else ()
    for field, paths in (("sources", options.sources), ("validate", options.validate), ("init", init)):
        for path in paths:
            if not path.is_file():
                raise InputError(f"{field}: file not found: {path}", hint="Check the path.")
        record[field] = [{"name": path.name, "sha256": sha256_of(path)} for path in paths]
    record["init"] = sha256_of(options.init) if options.init else None
    files = {name: Path(name) for name in options.detectors if Path(name).is_file()}
    record["detectors"] = [
        {"name": files[name].name, "sha256": sha256_of(files[name])}
        if name in files and files[name].is_file()
        else name
        for name in options.detectors
    ]
    return record
