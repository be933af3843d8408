"""Train AccModel; see `labeling/train_accmodel.py`."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import DatasetError, OptionError, RegenError
from deploy.core.files import read_image, sha256_of, write_text
from deploy.core.grid import Grid
from deploy.core.progress import track
from deploy.core.work_folder import hold
from deploy.prediction.postprocess import count_of
from labeling.accmodel.features import load_features
from labeling.accmodel.network import AccModel, AccModelSpec, HeadName, load_accmodel, save_accmodel, to_images
from labeling.accmodel.onnx_export import export_accmodel
from labeling.accmodel.options import TrainAccModelOptions
from labeling.core.training_checkpoint import Stateful, TrainingCheckpoint
from labeling.dataset.layout import IGNORE_LEVEL
from labeling.dataset.manifest import MANIFEST_NAME, Manifest, read_manifest
from labeling.dataset.padding import pad_to
from labeling.dataset.reader import LabelledFrame, read_levels, read_split
from labeling.maths.rank_correlation import rank_correlation
from labeling.maths.split import SplitName
from labeling.networks.devices import pick_device

MODEL_NAME = "accmodel.safetensors"
Levels = NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """The frames of a split with their levels."""

    frames: Sequence[LabelledFrame]
    levels: Levels
    """(N, rows, cols); `IGNORE_LEVEL` where a smaller frame is padded."""
    grid: Grid
    """The size to which all are padded, and its macroblocks."""

    def image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; padding is black."""
        return pad_to(read_image(self.frames[index].image), self.grid.height_px, self.grid.width_px, fill=0)

    def images(self, indices: Sequence[int], device: str) -> Tensor:
        """(len(indices), 3, H, W) float32 RGB in [0, 1]."""
        return to_images([self.image(index) for index in indices], device)


def train_accmodel(options: TrainAccModelOptions) -> Path:
    """Train, write the model, its record and optional files, and return the model's path.

    Raises:
        RegenError: the dataset or the weights cannot be used, or the loss is not finite.
    """
    manifest = read_manifest(options.dataset)
    train, validation = (_examples(options.dataset, manifest, split) for split in ("train", "val"))
    device = pick_device(options.device)
    torch.manual_seed(options.seed)
    features, origin = load_features(options.features, offline=options.offline)
    model = AccModel(_spec(options.head, manifest, origin), features).to(device)
    run = _Training(options, manifest, model, train, validation, device)
    with hold(options.out / ".lock"):
        run.optimise()
    best = load_accmodel(options.out / MODEL_NAME)
    if options.onnx is not None:
        frames = [validation.image(index) for index in range(min(8, len(validation.frames)))]
        export_accmodel(best, options.onnx, options.name, manifest, sha256_of(options.dataset / MANIFEST_NAME), frames)
    record = {
        "parameters": sum(tensor.numel() for tensor in model.parameters()),
        "iters": run.step,
        "epochs": run.step * options.batch_size / len(train.frames),
        "seconds_per_iter": run.seconds / run.step,
    }
    write_text(options.out / "training.json", json.dumps(record, indent=2) + "\n")
    print(f"wrote {options.out / MODEL_NAME}: rank correlation {run.best:.3f} on the validation split")
    return options.out / MODEL_NAME


class _Training:
    """State of a training run."""

    def __init__(
        self,
        options: TrainAccModelOptions,
        manifest: Manifest,
        model: AccModel,
        train: Examples,
        validation: Examples,
        device: str,
    ) -> None:
        self.options, self.model, self.train, self.validation, self.device = options, model, train, validation, device
        self.targets = _targets(train.levels, options, manifest.num_levels).to(device)
        self.weight = _class_weights(self.targets, model.spec)
        self.optimiser = torch.optim.Adam(model.head.parameters(), lr=options.learning_rate)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, options.iters)
        self.step, self.seconds, self.best = 0, 0.0, -math.inf
        self.diary = options.out / "metrics.jsonl"
        parts: dict[str, Stateful] = {"model": model, "optimizer": self.optimiser, "schedule": self.schedule}
        self.checkpoint = TrainingCheckpoint(options.out / ".partial", _made_of(options), parts)

    def optimise(self) -> None:
        self._restore()
        options = self.options
        steps = range(self.step, self.step if self._is_spent() else options.iters)
        for step in track(steps, total=options.iters, done=self.step, label="training", unit="step"):
            started = time.monotonic()
            loss = self._one_step(step)
            self.step, self.seconds = step + 1, self.seconds + time.monotonic() - started
            if self.step % options.evaluate_every == 0 or self.step == options.iters or self._is_spent():
                self._evaluate(loss)
            if self._is_spent():
                break

    def _is_spent(self) -> bool:
        return self.options.minutes is not None and self.seconds >= 60 * self.options.minutes

    def _one_step(self, step: int) -> float:
        self.model.train()
        random = np.random.default_rng((self.options.seed, step))
        chosen = random.integers(len(self.train.frames), size=self.options.batch_size).tolist()
        logits = self.model(self.train.images(chosen, self.device))
        loss = _loss(logits, self.targets[chosen], self.model.spec.head, self.weight)
        value = loss.item()
        if not math.isfinite(value):
            raise RegenError(f"the loss became {value} at step {step + 1}", hint="Use a lower --learning-rate.")
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.schedule.step()
        return value

    def _evaluate(self, loss: float) -> None:
        correlation = mean_rank_correlation(self.model, self.validation, self.device)
        line = {"iter": self.step, "loss": loss, "rank_correlation": correlation}
        with self.diary.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        print(f"step {self.step}: loss {loss:.4f}, rank correlation {correlation:.4f}", flush=True)
        if correlation > self.best or not (self.options.out / MODEL_NAME).is_file():
            self.best = correlation
            save_accmodel(self.model, self.options.out / MODEL_NAME)
        self._save()

    def _save(self) -> None:
        self.checkpoint.save(step=self.step, seconds=self.seconds, best=self.best)

    def _restore(self) -> None:
        progress = self.checkpoint.restore(self.device)
        if progress is None:
            if (self.options.out / MODEL_NAME).is_file():
                raise OptionError(f"{self.options.out} contains another training run", hint="Choose another --out.")
            self._save()  # before the first model, so that a model without a checkpoint belongs to another training run
            return
        self.step, self.seconds, self.best = int(progress["step"]), progress["seconds"], progress["best"]
        # A run that was killed between its log line and its checkpoint evaluates again.
        lines = self.diary.read_text(encoding="utf-8").splitlines(keepends=True) if self.diary.is_file() else []
        write_text(self.diary, "".join(lines[: math.ceil(self.step / self.options.evaluate_every)]))
        print(f"resuming from step {self.step}")


def mean_rank_correlation(model: AccModel, examples: Examples, device: str) -> float:
    """Mean over frames of Spearman's correlation between predicted and raw importance; 0 where one is constant."""
    model.eval()
    found = []
    for index, frame in enumerate(examples.frames):
        with torch.no_grad():
            predicted = model.importance(examples.images([index], device))[0, 0].cpu().numpy()
        rows, cols = frame.importance.shape  # without its padding
        found.append(rank_correlation(predicted[:rows, :cols], frame.importance))
    return float(np.mean(np.nan_to_num(found)))


def _examples(dataset: Path, manifest: Manifest, split: SplitName) -> Examples:
    frames = list(read_split(dataset, manifest, split))
    if not frames:
        raise DatasetError(f"{dataset} has no {split} frames", hint="Label more videos.")
    grid = manifest.make_grid()
    levels = [pad_to(read_levels(frame, manifest), grid.rows, grid.cols, fill=IGNORE_LEVEL) for frame in frames]
    return Examples(frames, np.stack(levels).astype(np.int64), grid)


def _spec(head: HeadName, manifest: Manifest, origin: str) -> AccModelSpec:
    return AccModelSpec(
        head=head,
        level_values=manifest.level_values if head == "levels" else (0.0, 1.0),
        scale=manifest.grid.scale,
        block_px=manifest.grid.block_px,
        grid=manifest.grid.name,
        height_px=manifest.frame_height_px,
        features=origin,
        reduction=manifest.reduction,
    )


def _targets(levels: Levels, options: TrainAccModelOptions, num_levels: int) -> Tensor:
    """Targets of the head for each block: (N, rows, cols) classes, or values in [0, 1].

    `IGNORE_LEVEL` is kept: it is neither a class nor a value in that range.
    """
    if options.head == "levels":
        return torch.from_numpy(levels)
    known = levels != IGNORE_LEVEL
    if options.head == "regression":
        return torch.from_numpy(np.where(known, (levels + 0.5) / num_levels, IGNORE_LEVEL).astype(np.float32))
    limit = np.sort(levels[known])[-count_of(options.share, int(known.sum()))]
    return torch.from_numpy(np.where(known, levels >= limit, IGNORE_LEVEL).astype(np.int64))


def _class_weights(targets: Tensor, spec: AccModelSpec) -> Tensor | None:
    """Class weights: the square root of the inverse frequency."""
    if spec.head == "regression":
        return None
    counts = torch.bincount(targets[targets != IGNORE_LEVEL], minlength=len(spec.level_values)).float()
    weight = torch.where(counts > 0, counts.clamp(min=1).rsqrt(), torch.zeros_like(counts))
    return weight / weight[counts > 0].mean()


def _loss(logits: Tensor, targets: Tensor, head: HeadName, weight: Tensor | None) -> Tensor:
    if head == "regression":
        known = targets != IGNORE_LEVEL
        return functional.binary_cross_entropy_with_logits(logits[:, 1][known], targets[known])
    return functional.cross_entropy(logits, targets, weight=weight, ignore_index=IGNORE_LEVEL)


def _made_of(options: TrainAccModelOptions) -> list[object]:
    """Everything that determines the result, so that checkpoints of other training runs are not used."""
    record = {key: str(value) for key, value in asdict(options).items() if key not in ("out", "onnx", "name", "device")}
    weights = Path(options.features)
    return [record, sha256_of(options.dataset / MANIFEST_NAME), sha256_of(weights) if weights.is_file() else ""]
