"""Train, export and measure one model, each in a separate process, and return the result."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.cards.model_card import read_card
from deploy.core.errors import OptionError, RegenError
from deploy.core.files import sha256_of
from labeling.core.stages import ROOT, Stage, run_stage, words_of
from labeling.dataset.manifest import MANIFEST_NAME, read_manifest
from paddleseg_configs.ladder.options import CompareOptions
from paddleseg_configs.ladder.record import Measurement, ModelRow

LADDER = ROOT / "paddleseg_configs"
TIMING_ITERS = 6
ACCMODEL_HEADS = {"accmodel": "levels", "accmodel_binary": "binary", "accmodel_regression": "regression"}


@dataclass(frozen=True)
class ModelStages:
    """The stages of one model, each in a separate process."""

    name: str
    """Name of the model."""
    dataset: Path
    """Dataset to train on."""
    folder: Path
    """Folder for its files."""

    def run(self, name: str, command: Sequence[object], inputs: Sequence[Path], outputs: Sequence[Path]) -> None:
        """Run a stage, unless it is up to date; see `run_stage`."""
        stage = Stage(
            f"{self.name}: {name}", words_of(command), (self.dataset / MANIFEST_NAME, *inputs), tuple(outputs)
        )
        run_stage(stage, self.folder / "stamps", self.folder / f"{name}.log")

    def export(self, arguments: Sequence[object], weights: Path, model: Path) -> bool:
        """Export with a dynamic batch size, or a batch of one if that fails. Returns whether it is dynamic."""
        command = ["export/export_onnx.py", *arguments, "--dataset", self.dataset]
        command += ["--weights", weights, "--out", model, "--batch"]
        try:
            self.run("export", [*command, "dynamic"], [weights], [model])
        except RegenError as error:
            print(f"{self.name} has no dynamic batch size: {error}", flush=True)
            self.run("export-1", [*command, 1], [weights], [model])
            return False
        return True


def ladder_names() -> list[str]:
    """Names of all configurations."""
    return sorted(path.stem for path in LADDER.glob("*.yml"))


def check_name(name: str) -> None:
    """Raise OptionError if the model is unknown."""
    if name not in ACCMODEL_HEADS and name not in ladder_names():
        raise OptionError(f"no model {name!r}", hint=f"Known: {', '.join([*ladder_names(), *ACCMODEL_HEADS])}.")


def run_model(name: str, options: CompareOptions) -> ModelRow:
    """Train, export and measure. Completed stages are skipped.

    Args:
        name: a configuration's, or one of `ACCMODEL_HEADS`.
        options: how to train.

    Returns:
        Its row; with the reason, if a stage failed.
    """
    stages = ModelStages(name, options.dataset, model_folder(name, options))
    row = ModelRow(name=name, description=description(name))
    try:
        made = _run_accmodel(stages, options) if name in ACCMODEL_HEADS else _run_ladder_model(stages, options)
    except RegenError as error:
        print(f"{name} failed: {error}", flush=True)
        return row.model_copy(update={"failure": str(error)})
    return row.model_copy(update=made)


def model_folder(name: str, options: CompareOptions) -> Path:
    """Folder for a model's files: each combination of dataset, configuration and schedule has its own."""
    config = LADDER / f"{name}.yml"
    parts = [config, *sorted((LADDER / "_base_").glob("*.yml"))] if config.is_file() else []
    features = [options.accmodel_features] if name in ACCMODEL_HEADS else []
    made_of = [
        *(path.read_text(encoding="utf-8") for path in parts),
        sha256_of(options.dataset / MANIFEST_NAME),
        [options.iters, options.minutes, options.batch_size, options.seed, options.opts, *features],
    ]
    return options.out / f"{name}-{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:8]}"


def model_file(name: str, options: CompareOptions) -> Path:
    """The exported predictor."""
    return model_folder(name, options) / f"{name}.onnx"


def _run_ladder_model(stages: ModelStages, options: CompareOptions) -> dict[str, object]:
    """Fields of its row."""
    folder = stages.folder
    common = ["--config", LADDER / f"{stages.name}.yml", *_opts(options)]
    command = [
        "-m",
        "paddleseg.tools.train",
        *common,
        "--dataset",
        options.dataset,
        "--batch_size",
        options.batch_size,
        "--seed",
        options.seed,
    ]
    iters = options.iters
    if options.minutes is not None:
        timing = folder / "timing" / "metrics.jsonl"
        short = ["--iters", TIMING_ITERS, "--log_iters", 1, "--save_dir", timing.parent]
        stages.run("timing", [*command, *short], [], [timing])
        iters = max(TIMING_ITERS, min(iters, int(options.minutes * 60 / _seconds_per_iter(timing))))
    train = folder / "train"
    best, metrics = train / "best_model" / "model.pdparams", train / "metrics.jsonl"
    schedule = ["--iters", iters, "--save_interval", math.ceil(iters / 6), "--log_iters", math.ceil(iters / 60)]
    stages.run("train", [*command, *schedule, "--save_dir", train, "--do_eval"], [], [best, metrics])
    model = folder / f"{stages.name}.onnx"
    return {
        "dynamic_batch": stages.export(common, best, model),
        **_measured(stages, model),
        "parameters": num_parameters(best),
        "iters": iters,
        "epochs": iters * options.batch_size / read_manifest(options.dataset).splits["train"].num_frames,
        "seconds_per_iter": _seconds_per_iter(metrics),
    }


def _run_accmodel(stages: ModelStages, options: CompareOptions) -> dict[str, object]:
    """Fields of its row."""
    folder = stages.folder
    model, record = folder / f"{stages.name}.onnx", folder / "train" / "training.json"
    limit = [] if options.minutes is None else ["--minutes", options.minutes]
    schedule = ["--iters", options.iters, *limit, "--batch-size", options.batch_size, "--seed", options.seed]
    command = ["labeling/train_accmodel.py", options.dataset, "--out", folder / "train", "--name", stages.name]
    weights = Path(options.accmodel_features)
    given = [weights] if weights.is_file() else []
    features = weights if given else options.accmodel_features
    head = ["--head", ACCMODEL_HEADS[stages.name], "--features", features, "--onnx", model]
    stages.run("train", [*command, *head, *schedule], given, [model, record])
    return {**_measured(stages, model), **json.loads(record.read_text(encoding="utf-8"))}


def _measured(stages: ModelStages, model: Path) -> dict[str, object]:
    result = stages.folder / "measured.json"
    command = ["-m", "paddleseg_configs.ladder.measure", model, "--dataset", stages.dataset, "--out", result]
    stages.run("measure", command, [model], [result])
    return {"measured": Measurement.model_validate_json(result.read_bytes()), "parity": read_card(model).parity}


def description(name: str) -> str:
    """The first line of a configuration."""
    if name in ACCMODEL_HEADS:
        return f"AccMPEG's AccModel, head for {ACCMODEL_HEADS[name]}"
    return (LADDER / f"{name}.yml").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def _opts(options: CompareOptions) -> list[str]:
    return ["--opts", *options.opts] if options.opts else []


def _seconds_per_iter(metrics: Path) -> float:
    """Median over the lines of a training log: the first iterations warm up."""
    records = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    seconds = sorted(record["seconds_per_iter"] for record in records if "loss" in record)
    return float(seconds[(len(seconds) - 1) // 2])


def num_parameters(weights: Path) -> int:
    """Number of trained parameters, without the running statistics of batch normalization."""
    from paddleseg_configs.training.paddle_fixes.weights import read_state

    statistics = ("._mean", "._variance")
    return sum(int(array.size) for name, array in read_state(weights).items() if not name.endswith(statistics))
