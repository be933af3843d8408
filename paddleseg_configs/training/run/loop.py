"""The training loop: PaddleSeg's components, a reproducible order of samples, resumable checkpoints."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import paddle

from deploy.core.errors import OptionError, RegenError
from deploy.core.interrupts import on_interrupt
from deploy.core.progress import track
from deploy.core.work_folder import hold
from paddleseg_configs.training.config.origin import Origin, read_origin
from paddleseg_configs.training.config.settings import Settings
from paddleseg_configs.training.data.samples import batches, seed_iteration
from paddleseg_configs.training.models.block_logits import block_labels, block_logits
from paddleseg_configs.training.models.components import LevelBuilder, loss_terms
from paddleseg_configs.training.run import checkpoint
from paddleseg_configs.training.run.checkpoint import TrainingState
from paddleseg_configs.training.run.evaluation import METRIC_NAMES, evaluate, require_frames
from paddleseg_configs.training.run.metrics_log import METRICS_NAME, MetricsLog
from paddleseg_configs.training.run.processes import join_processes

DEFAULT_BEST_METRIC = "quadratic_kappa"
EVALUATIONS = 10
"""Minimum number of evaluations to choose the best model from."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training run; see `Settings` for what is trained."""

    save_dir: Path
    """Folder of checkpoints, best model and metrics."""
    save_interval: int = 200
    """Maximum number of iterations between checkpoints and evaluations; with `do_eval`, there are at least ten."""
    keep_checkpoint_max: int = 2
    """Number of checkpoints to keep."""
    log_iters: int = 10
    """Number of iterations between lines of metrics.jsonl."""
    num_workers: int = 0
    """Number of processes that load samples; 0 loads in this one."""
    do_eval: bool = False
    """Evaluate on the validation split whenever a checkpoint is saved, and keep the best model."""
    seed: int = 0
    """Seed of initial weights, order of samples, augmentation and dropout."""
    resume_model: Path | None = None
    """Checkpoint to start from, even if its settings differ."""
    patience: int | None = None
    """Stop after this many evaluations in a row without improvement; None never stops early."""
    use_vdl: bool = False
    """Write event files for VisualDL into ``vdl`` next to the checkpoints."""


def train(settings: Settings, options: TrainOptions) -> Path:
    """Train, or resume an interrupted training. Returns the folder of the last checkpoint.

    Raises:
        OptionError: the save folder contains a different training run.
        RegenError: the loss is not finite.
    """
    start = checkpoint.parameters_sha256(options.resume_model) if options.resume_model else ""
    fingerprint = settings.fingerprint(options.seed, start)
    origin = _origin(options, fingerprint)
    if origin and _is_finished(checkpoint.read_training_state(origin), settings, options, fingerprint):
        print(f"this training is finished: {origin}")
        return origin
    # Optimizer states are keyed by generated names: reset the counters to those of a fresh process.
    with paddle.utils.unique_name.guard():
        training = _Training(settings, options, fingerprint)
        with ExitStack() as stack:
            if training.processes.is_first:
                stack.enter_context(hold(options.save_dir / ".lock"))
            stack.callback(training.log.close)
            return training.run(origin)


class _Training:
    """State of a training run."""

    def __init__(self, settings: Settings, options: TrainOptions, fingerprint: str) -> None:
        self.settings, self.options, self.fingerprint = settings, options, fingerprint
        self.origin = Origin.of(settings)
        self.processes = join_processes()
        builder = LevelBuilder(settings, options.seed)
        self.dataset = builder.train_dataset
        self.validation = builder.val_dataset if options.do_eval else None
        if self.validation is not None:
            require_frames(self.validation)
        self.model = builder.model
        self.network = self.processes.spread(self.model)
        self.scheduler, self.optimizer = builder.make_optimizer()
        self.terms = loss_terms(builder, self._count_logits())
        self.best_metric = settings.config.dic.get("best_metric", DEFAULT_BEST_METRIC)
        if self.best_metric not in METRIC_NAMES:
            raise OptionError(
                f"best_metric={self.best_metric!r} is not a metric", hint=f"Known: {', '.join(METRIC_NAMES)}."
            )
        self.best_score, self.stale_evaluations = -1.0, 0
        tenth = max(1, settings.config.iters // EVALUATIONS)
        self.interval = min(options.save_interval, tenth) if options.do_eval else options.save_interval
        visualdl = options.save_dir / "vdl" if options.use_vdl else None
        self.log = MetricsLog(options.save_dir / METRICS_NAME, options.log_iters, visualdl)

    def run(self, origin: Path | None) -> Path:
        first, last = self._restore(origin), self.settings.config.iters
        if first >= last:
            raise OptionError(f"{origin} has {first} iterations, but --iters is {last}", hint="Use a larger --iters.")
        if self.processes.is_first:
            self.log.open(first)
        stream = batches(
            self.dataset,
            seed=self.options.seed,
            batch_size=self.settings.config.batch_size,
            first=first,
            last=last,
            num_workers=self.options.num_workers,
            rank=self.processes.rank,
            world_size=self.processes.count,
        )
        self.model.train()
        stop = Event()
        with on_interrupt(stop.set):
            numbered = enumerate(stream, first)
            for index, (images, levels) in track(numbered, total=last, done=first, label="training", unit="iter"):
                rate = self.optimizer.get_lr()
                loss = self._step(index, images, levels)
                if self.processes.is_first:
                    self.log.add(index + 1, loss, rate)
                    self._after(index + 1, stop)
                if self.processes.agree(self._is_stale()):
                    print(f"stopping at iteration {index + 1}: {self.best_metric} has not improved")
                    return self._folder(index + 1)
        return self._folder(last)

    def _count_logits(self) -> int:
        """Outputs of the model in training mode, from one forward pass that does not change its statistics."""
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        height, width = self.settings.manifest.frame_height_px, self.settings.manifest.frame_width_px
        self.model.train()
        with paddle.no_grad():
            channels = getattr(self.model, "in_channels", 3)
            num_logits = len(self.model(paddle.zeros([2, channels, height, width])))
        self.model.set_state_dict(state)
        return num_logits

    def _restore(self, origin: Path | None) -> int:
        if origin is None:
            return 0
        state = checkpoint.restore(origin, self.model, self.optimizer)
        if read_origin(origin) in (None, self.origin):  # scores on another dataset are not comparable
            self.best_score, self.stale_evaluations = state.best_score, state.stale_evaluations
        print(f"resuming from {origin}")
        return state.iteration

    def _step(self, index: int, images: paddle.Tensor, levels: paddle.Tensor) -> float:
        seed_iteration(self.options.seed, index)
        loss = self._loss(images, levels)
        value = float(loss)
        if not math.isfinite(value):
            raise RegenError(
                f"the loss became {value} at iteration {index + 1}; checkpoints of earlier iterations are kept",
                hint="Use a lower --learning_rate, and another --save_dir.",
            )
        loss.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        self.scheduler.step()
        return value

    def _loss(self, images: paddle.Tensor, levels: paddle.Tensor) -> paddle.Tensor:
        """Loss over macroblocks, or over pixels for outputs without one logit per level."""
        manifest = self.settings.manifest
        grid, num_levels = manifest.make_grid(), manifest.num_levels
        outputs = block_logits(self.network, images, grid, num_levels)
        labels = block_labels(levels, grid)
        terms = zip(self.terms, outputs, strict=True)
        losses = [
            weight * function(output, labels if output.shape[1] == num_levels else levels)
            for (function, weight), output in terms
        ]
        loss: paddle.Tensor = sum(losses[1:], start=losses[0])
        return loss

    def _after(self, iteration: int, stop: Event) -> None:
        """Save a checkpoint if due, and stop if the user requested it."""
        due = iteration % self.interval == 0 or iteration == self.settings.config.iters
        if due and self.validation is not None:
            self._evaluate(iteration)
        if due or stop.is_set():
            state = TrainingState(iteration, self.fingerprint, self.best_score, self.stale_evaluations)
            checkpoint.save_checkpoint(self._folder(iteration), self.model, self.optimizer, state, self.origin)
            checkpoint.prune(self.options.save_dir, self.options.keep_checkpoint_max)
        if stop.is_set() and iteration < self.settings.config.iters:
            raise KeyboardInterrupt

    def _evaluate(self, iteration: int) -> None:
        result = evaluate(self.model, self.validation, batch_size=self.settings.config.batch_size)
        self.log.add_evaluation(iteration, result)
        score = result.figures()[self.best_metric]
        self.stale_evaluations += 1
        if score > self.best_score:
            self.best_score, self.stale_evaluations = score, 0
            checkpoint.save_best(self.options.save_dir, self.model, self.origin)
        print(f"iteration {iteration}: {self.best_metric} {score:.4f}, best {self.best_score:.4f}")

    def _is_stale(self) -> bool:
        return self.options.patience is not None and self.stale_evaluations >= self.options.patience

    def _folder(self, iteration: int) -> Path:
        return self.options.save_dir / f"iter_{iteration}"


def _is_finished(state: TrainingState, settings: Settings, options: TrainOptions, fingerprint: str) -> bool:
    stopped = options.patience is not None and state.stale_evaluations >= options.patience
    return state.fingerprint == fingerprint and (stopped or state.iteration == settings.config.iters)


def _origin(options: TrainOptions, fingerprint: str) -> Path | None:
    """Find the checkpoint to resume from.

    Raises:
        OptionError: the newest one in the save folder belongs to a different training run.
    """
    newest = next(reversed(checkpoint.checkpoints_in(options.save_dir)), None)
    if newest and checkpoint.read_training_state(newest).fingerprint == fingerprint:
        return newest
    if options.resume_model:
        return options.resume_model
    if newest:
        raise OptionError(
            f"{newest} was made with another configuration, dataset or seed",
            hint=f"Use another --save_dir, delete that folder, or resume from it explicitly: --resume_model {newest}",
        )
    return None
