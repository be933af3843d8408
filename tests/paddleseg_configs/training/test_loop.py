"""Training: it learns, survives kills, and refuses to mix trainings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import yaml

from deploy.core.errors import DatasetError, OptionError, RegenError, WeightsError
from deploy.core.interrupts import on_interrupt
from paddleseg_configs.training.config.settings import Settings, load_settings
from paddleseg_configs.training.data.samples import batches
from paddleseg_configs.training.models.components import LevelBuilder
from paddleseg_configs.training.models.trained_model import load_trained, split_dataset
from paddleseg_configs.training.paddle_fixes.weights import read_state
from paddleseg_configs.training.run import loop
from paddleseg_configs.training.run.checkpoint import checkpoints_in
from paddleseg_configs.training.run.evaluation import Evaluation, evaluate
from paddleseg_configs.training.run.loop import TrainOptions, train
from tests.helpers.paddle_helpers import (
    FRAMES,
    HEIGHT,
    LEVELS,
    REPOSITORY,
    ULTRA_LIGHT,
    WIDTH,
    make_dataset,
    shared_run,
    write_level_png,
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    dataset = make_dataset(tmp_path_factory.mktemp("loop") / "dataset")
    return load_settings(ULTRA_LIGHT, dataset=dataset, overrides=[("iters", "6"), ("batch_size", "2")])


def same_tensors(first: Path, second: Path) -> bool:
    states = [[read_state(folder / name) for name in ("model.pdparams", "model.pdopt")] for folder in (first, second)]
    return all(
        one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
        for one, other in zip(*states, strict=True)
    )


def kill_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make training end like a killed process: nothing of ours runs afterwards."""
    step = loop._Training._step

    def mortal(self: Any, index: int, *batch: Any) -> float:
        if index >= steps:
            raise ZeroDivisionError("killed")
        return step(self, index, *batch)

    monkeypatch.setattr(loop._Training, "_step", mortal)


def test_loss_falls_and_the_model_beats_chance(tmp_path_factory: pytest.TempPathFactory) -> None:
    dataset, weights = shared_run(tmp_path_factory.getbasetemp())
    lines = [json.loads(line) for line in (weights.parents[1] / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert [line["iter"] for line in lines if "loss" in line] == list(range(1, 81))
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])
    assert lines[-1]["eval"]["num_frames"] == FRAMES["val"]
    assert (weights.parents[1] / "best_model" / "model.pdparams").is_file()

    settings = load_settings(ULTRA_LIGHT, dataset=dataset)
    result = evaluate(load_trained(settings, weights), split_dataset(settings, "train"))
    assert result.num_frames == FRAMES["train"]
    assert result.quadratic_kappa > 0.05
    assert len(result.level_recall) == LEVELS
    assert json.loads(json.dumps(result.as_json()))["pixel_accuracy"] == pytest.approx(result.pixel_accuracy)


def test_resumed_run_equals_uninterrupted_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = train(settings, TrainOptions(save_dir=tmp_path / "straight"))
    options = TrainOptions(save_dir=tmp_path / "killed", save_interval=3, log_iters=1)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        kill_after(5, patch)
        train(settings, options)
    assert [folder.name for folder in checkpoints_in(options.save_dir)] == ["iter_3"]
    with (options.save_dir / "metrics.jsonl").open("a") as stream:
        stream.write('{"iter": 6, "lo')
    (options.save_dir / ".tmp-left-behind").mkdir()

    resumed = train(settings, options)
    assert same_tensors(straight, resumed)
    lines = [json.loads(line) for line in (options.save_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert not list(options.save_dir.glob(".tmp-*"))


def test_interrupt_saves_and_the_next_run_goes_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainOptions(save_dir=tmp_path)
    step = loop._Training._step

    def interrupted(self: Any, index: int, *batch: Any) -> float:
        if index == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, index, *batch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop._Training, "_step", interrupted)
        train(settings, options)
    assert [folder.name for folder in checkpoints_in(tmp_path)] == ["iter_2"]
    assert train(settings, options).name == "iter_6"


def test_patience_stops_early_and_says_so(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = iter([0.3, 0.4, 0.4, 0.2, 0.9, 0.1])

    def scored(model: Any, dataset: Any, **options: Any) -> Evaluation:
        return replace(evaluate(model, dataset, **options), quadratic_kappa=next(scores))

    monkeypatch.setattr(loop, "evaluate", scored)
    options = TrainOptions(save_dir=tmp_path, save_interval=1, log_iters=1, do_eval=True, patience=2, use_vdl=True)
    assert train(settings, options).name == "iter_4"
    assert "stopping at iteration 4" in capsys.readouterr().out
    assert train(settings, options).name == "iter_4"
    assert "finished" in capsys.readouterr().out
    assert train(settings, replace(options, patience=3)).name == "iter_6"  # goes on, and 0.9 is a new best
    assert len(list((tmp_path / "vdl").iterdir())) == 2


def test_there_are_ten_evaluations_to_choose_from(settings: Settings, tmp_path: Path) -> None:
    longer = load_settings(ULTRA_LIGHT, dataset=settings.dataset, overrides=[("iters", "21"), ("batch_size", "1")])
    train(longer, TrainOptions(save_dir=tmp_path, do_eval=True))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in lines if "eval" in line] == [*range(2, 21, 2), 21]


def test_two_processes_share_the_work(settings: Settings, tmp_path: Path) -> None:
    """Each takes every second batch; their averaged gradients move both to the same weights."""
    config = tmp_path / "two.yml"
    config.write_text(yaml.safe_dump({"_base_": str(ULTRA_LIGHT), "iters": 2, "batch_size": 2}))
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--backend", "gloo"]
    script = [REPOSITORY / "paddleseg_configs" / "training" / "train.py", "--config", config]
    arguments = ["--dataset", settings.dataset, "--save_dir", tmp_path / "run", "--device", "cpu", "--log_iters", 1]
    command = [sys.executable, *launch, "--log_dir", tmp_path / "log", *script, *arguments, "--do_eval"]
    result = subprocess.run(
        [str(part) for part in command], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    logs = {path.name: path.read_text() for path in (tmp_path / "log").glob("workerlog.*")}
    assert result.returncode == 0, result.stderr[-2000:] + str(logs)
    assert len(logs) == 2 and all("last checkpoint" in log for log in logs.values())
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in lines] == [1, 1, 2, 2]  # each evaluated
    alone = train(load_settings(config, dataset=settings.dataset), TrainOptions(save_dir=tmp_path / "alone"))
    assert not same_tensors(alone, tmp_path / "run" / "iter_2")


def test_processes_split_one_stream_of_batches(settings: Settings) -> None:
    dataset = LevelBuilder(settings).train_dataset
    common = {"seed": 5, "batch_size": 2, "num_workers": 0}
    alone = [images.numpy() for images, _ in batches(dataset, first=2, last=6, **common)]
    for rank in (0, 1):
        shared = [images.numpy() for images, _ in batches(dataset, first=1, last=3, rank=rank, world_size=2, **common)]
        assert np.array_equal(np.stack(shared), np.stack(alone[rank::2]))


def test_second_interrupt_is_not_swallowed() -> None:
    stop = Event()
    with pytest.raises(KeyboardInterrupt), on_interrupt(stop.set):
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        signal.raise_signal(signal.SIGINT)


def test_finished_and_foreign_runs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = TrainOptions(save_dir=tmp_path, save_interval=2, keep_checkpoint_max=1)
    done = train(settings, options)
    assert [folder.name for folder in checkpoints_in(tmp_path)] == ["iter_6"]
    with monkeypatch.context() as patch:
        kill_after(0, patch)
        assert train(settings, options) == done
    assert "finished" in capsys.readouterr().out

    with pytest.raises(OptionError, match="another configuration") as caught:
        train(settings, TrainOptions(save_dir=tmp_path, seed=1))
    assert "--save_dir" in caught.value.hint and "--resume_model" in caught.value.hint

    longer = load_settings(ULTRA_LIGHT, dataset=settings.dataset, overrides=[("iters", "8"), ("batch_size", "2")])
    assert train(longer, TrainOptions(save_dir=tmp_path, resume_model=done)).name == "iter_8"
    with pytest.raises(OptionError, match="has 8 iterations, but --iters is 6"):
        train(settings, TrainOptions(save_dir=tmp_path / "other", resume_model=tmp_path / "iter_8"))


def test_bad_checkpoints_are_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not a training checkpoint"):
        train(settings, TrainOptions(save_dir=tmp_path, resume_model=tmp_path / "absent"))


def test_diverging_loss_stops_with_a_message(settings: Settings, tmp_path: Path) -> None:
    overrides = [("iters", "6"), ("batch_size", "2"), ("loss.coef", "[1.0e+39]")]
    diverging = load_settings(ULTRA_LIGHT, dataset=settings.dataset, overrides=overrides)
    with pytest.raises(RegenError, match="the loss became") as caught:
        train(diverging, TrainOptions(save_dir=tmp_path))
    assert "--learning_rate" in caught.value.hint
    assert not checkpoints_in(tmp_path)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_bad_label_stops_training_by_name(settings: Settings, tmp_path: Path, num_workers: int) -> None:
    """Paddle's own loader hangs here, or hides the reason."""
    dataset = make_dataset(tmp_path / "dataset")
    name = "train_video/000003.png"
    write_level_png(dataset / "labels" / name, np.full((HEIGHT, WIDTH), LEVELS, np.uint8))
    bad = load_settings(ULTRA_LIGHT, dataset=dataset, overrides=[("iters", "6"), ("batch_size", "2")])
    with pytest.raises(DatasetError, match=f"{name} has level {LEVELS}"):
        train(bad, TrainOptions(save_dir=tmp_path / "run", num_workers=num_workers))


def test_workers_change_nothing(settings: Settings, tmp_path: Path) -> None:
    runs = [train(settings, TrainOptions(save_dir=tmp_path / str(n), num_workers=n)) for n in (0, 2)]
    assert same_tensors(*runs)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("best_metric", "beauty", "best_metric='beauty'"),
        ("lr_scheduler.type", "Nothing", "cannot build the optimizer"),
        ("lr_scheduler.powre", "2", "cannot build the optimizer"),
        ("optimizer.weight_decay", "3", "cannot build the optimizer|cannot build Adam"),
        ("loss.coef", "[1, 1, 1, 1]", "4 entries, but the model has 3 outputs"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    settings: Settings, tmp_path: Path, key: str, value: str, complaint: str
) -> None:
    changed = load_settings(ULTRA_LIGHT, dataset=settings.dataset, overrides=[("batch_size", "2"), (key, value)])
    with pytest.raises(OptionError, match=complaint):
        train(changed, TrainOptions(save_dir=tmp_path, do_eval=True))


def test_an_empty_validation_split_is_refused_before_training(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", frames={**FRAMES, "val": 0})
    with pytest.raises(DatasetError, match="val split has no frames"):
        train(load_settings(ULTRA_LIGHT, dataset=dataset), TrainOptions(save_dir=tmp_path / "run", do_eval=True))
