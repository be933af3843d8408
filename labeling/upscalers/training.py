"""Train EDSR on frames; see `labeling/train_upscaler.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import InputError, OptionError, WeightsError
from deploy.core.files import IMAGE_SUFFIXES, read_image, sha256_of
from deploy.core.progress import track
from deploy.core.ranges import require_ranges
from deploy.core.resize import reduce_frame
from deploy.core.work_folder import clear, hold
from deploy.inputs.video import FrameSelection, read_frames
from labeling.core.training_checkpoint import TrainingCheckpoint
from labeling.upscalers.edsr import Edsr, read_edsr, save_edsr
from labeling.upscalers.simple import interpolate
from labeling.upscalers.training_options import TrainUpscalerOptions

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""An LR frame (H, W, 3) and its HR twin (H * scale, W * scale, 3), RGB."""


def train_upscaler(options: TrainUpscalerOptions) -> None:
    """Train, save the weights to ``options.out`` and print the PSNR on the validation frames."""
    if options.scale not in (2, 3, 4):
        raise OptionError(f"scale={options.scale} is not 2, 3 or 4", hint="Use --scale 2, 3 or 4.")
    if options.out.suffix != ".safetensors":
        raise OptionError(f"--out {options.out} must end in .safetensors", hint="Rename it.")
    require_ranges(options, "features", "blocks", "steps", "batch", "patch_px", "every", "checkpoint_every", low=1)
    record = _record(options)
    pairs = [pair for path in options.sources for pair in _pairs_of(path, options)]
    pairs = [pair for pair in pairs if min(pair[0].shape[:2]) >= options.patch_px]
    if not pairs:
        raise InputError(
            f"no source frame is at least {options.patch_px * options.scale} px on both sides",
            hint="Give larger frames or a smaller --patch-px.",
        )
    print(f"{len(pairs)} training frames")
    torch.manual_seed(options.seed)
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
    work = options.out.with_name(f".{options.out.name}.partial")
    with hold(work / "lock"):
        _optimise(network, pairs, options, work, record)
        network.eval()
        record["psnr_db"] = {str(path.name): _psnr_of(network, path, options) for path in options.validate}
        save_edsr(network, options.out, record)
        clear(work)
    print(f"wrote {options.out}: {sum(p.numel() for p in network.parameters())} parameters")
    for name, value in record["psnr_db"].items():  # type: ignore[attr-defined]
        print(f"{name}: PSNR {value['edsr']:.2f} dB, bicubic {value['bicubic']:.2f} dB")


def _optimise(
    network: Edsr, pairs: Sequence[Pair], options: TrainUpscalerOptions, work: Path, record: dict[str, object]
) -> None:
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(trained, lr=options.learning_rate)
    warm_up = max(1, options.steps // 50)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / options.steps))
    )
    checkpoint = TrainingCheckpoint(work, record, {"network": network, "optimizer": optimiser, "schedule": schedule})
    progress = checkpoint.restore()
    first = 0 if progress is None else int(progress["step"])
    if progress is not None:
        print(f"going on from step {first}")
    steps = range(first, options.steps)
    for step in track(steps, total=options.steps, done=first, label="training", unit="step"):
        lr, hr = _sample(pairs, options, step)
        loss = functional.l1_loss(network(lr), hr)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, 20.0)
        optimiser.step()
        schedule.step()
        if (step + 1) % options.checkpoint_every == 0 or step + 1 == options.steps:
            checkpoint.save(step=step + 1)
            print(f"step {step + 1}: L1 loss {loss.item():.3f} of 255")


def _sample(pairs: Sequence[Pair], options: TrainUpscalerOptions, step: int) -> tuple[Tensor, Tensor]:
    """A batch that depends only on the seed and the step: (N, 3, p, p) LR and its HR, RGB in [0, 255]."""
    random = np.random.default_rng((options.seed, step))
    side, scale = options.patch_px, options.scale
    patches = []
    for number in random.integers(len(pairs), size=options.batch):
        lr, hr = pairs[number]
        y = random.integers(lr.shape[0] - side + 1)
        x = random.integers(lr.shape[1] - side + 1)
        turn, flip = int(random.integers(4)), bool(random.integers(2))
        patch = (lr[y : y + side, x : x + side], hr[y * scale : (y + side) * scale, x * scale : (x + side) * scale])
        patches.append([np.rot90(p[:, ::-1] if flip else p, turn) for p in patch])
    lr_batch, hr_batch = (np.stack(column).transpose(0, 3, 1, 2) for column in zip(*patches, strict=True))
    return torch.from_numpy(lr_batch.astype(np.float32)), torch.from_numpy(hr_batch.astype(np.float32))


def _psnr_of(network: Edsr, path: Path, options: TrainUpscalerOptions) -> dict[str, float]:
    """Mean PSNR over frames, in dB, RGB rounded to 8 bits, `scale` pixels cut off each side."""
    psnr: dict[str, list[float]] = {"edsr": [], "bicubic": []}
    cut = slice(options.scale, -options.scale)
    for lr_frame, hr_frame in _pairs_of(path, options):
        lr = torch.from_numpy(lr_frame.copy()).permute(2, 0, 1)[None].float()
        hr = torch.from_numpy(hr_frame.copy()).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            enlarged = {"edsr": network(lr), "bicubic": interpolate(lr / 255, options.scale) * 255}
        for name, sr in enlarged.items():
            error = (sr.round().clamp(0, 255) - hr)[..., cut, cut].square().mean()
            psnr[name].append(10 * math.log10(255**2 / max(float(error), 1e-9)))
    return {name: round(float(np.mean(values)), 3) for name, values in psnr.items()}


def _pairs_of(path: Path, options: TrainUpscalerOptions) -> list[Pair]:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        frames = [read_image(path)]
    else:
        frames = [frame.image for frame in read_frames(path, selection=FrameSelection(every=options.every))]
    pairs, scale = [], options.scale
    for hr in frames:
        height, width = hr.shape[0] // scale, hr.shape[1] // scale
        hr = np.ascontiguousarray(hr[: height * scale, : width * scale])
        pairs.append((reduce_frame(hr, height_px=height, width_px=width, reduction=options.reduce), hr))
    return pairs


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
    return record
