"""Run a comparison of models; see `paddleseg_configs/compare.py`."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from deploy.core.errors import RegenError
from deploy.core.files import sha256_of, write_text
from labeling.core.stages import Stage, run_stage, words_of
from labeling.dataset.manifest import MANIFEST_NAME, Manifest, read_manifest
from labeling.utility.record import UtilityReport, read_utility
from paddleseg_configs.ladder.model_runs import ACCMODEL_HEADS, check_name, ladder_names, model_file, run_model
from paddleseg_configs.ladder.options import CompareOptions
from paddleseg_configs.ladder.page import write_pages
from paddleseg_configs.ladder.record import LadderReport, Settings

_PACKAGES = ("paddlepaddle", "paddleseg", "paddle2onnx", "onnxruntime", "torch")


def compare(options: CompareOptions) -> None:
    """Train and measure every model, evaluate them together, and write the report.

    Raises:
        RegenError: the dataset cannot be used, or no model could be trained.
    """
    manifest = read_manifest(options.dataset)
    names = options.models or (*ladder_names(), *ACCMODEL_HEADS)
    for name in names:  # check all names before training starts
        check_name(name)
    # The baselines come first: they read every file that the user named, and the models' evaluation reuses the cache.
    if options.utility:
        _utility(options, dict(options.named_extra), "baselines")
    limit = f"{options.iters} iterations" + (f" or {options.minutes:g} minutes" if options.minutes else "")
    print(f"\n{len(names)} models, each trained for at most {limit}")
    rows = tuple(run_model(name, options) for name in names)
    made = {row.name: model_file(row.name, options) for row in rows if not row.failure}
    made |= dict(options.named_extra)
    if not made:
        raise RegenError("no model could be trained", hint="See the reasons above.")
    settings = settings_of(options, manifest)
    report = LadderReport(
        settings=settings, rows=rows, utility=_utility(options, made, "utility") if options.utility else None
    )
    json_path = options.report.with_name(f"{options.report.name}.json")
    write_text(json_path, report.model_dump_json(indent=1) + "\n")
    write_pages(report, options.report)


def settings_of(options: CompareOptions, manifest: Manifest) -> Settings:
    """Describe how the models of a report were trained."""
    videos = ", ".join(source.video_id for source in manifest.sources)
    frames = ", ".join(f"{split.num_frames} {name}" for name, split in manifest.splits.items())
    label = ", ".join(f"{manifest.options.get(key, '?')}" for key in ("variant", "objective"))
    size = f"{manifest.frame_width_px} x {manifest.frame_height_px}, x{manifest.grid.scale}"
    levels = f"{manifest.num_levels} levels of {label}"
    return Settings(
        dataset=f"{videos}: {frames} frames of {size}, {levels}; detector {manifest.detector.name}",
        manifest_sha256=sha256_of(options.dataset / MANIFEST_NAME),
        max_iters=options.iters,
        minutes=options.minutes,
        batch_size=options.batch_size,
        seed=options.seed,
        opts=options.opts,
        machine=f"{processor()}, {platform.system()}",
        versions={name: version(name) for name in _PACKAGES},
    )


def _utility(options: CompareOptions, models: Mapping[str, Path], stage: str) -> UtilityReport:
    result, cache = options.out / f"{stage}.json", options.out / ".utility.json.cache"
    command: list[object] = ["labeling/evaluate_utility.py", options.dataset, "--out", result, "--cache", cache]
    command.append("--more-baselines")
    command += ["--models", *(f"{name}={path.resolve()}" for name, path in models.items())] if models else []
    command += ["--budgets", *options.budgets]
    others = options.named_others
    command += ["--other-labels", *(f"{name}={path.resolve()}" for name, path in others)] if others else []
    command += ["--max-frames", options.max_frames, "--segments", options.segments]
    command += ["--detector-weights", options.detector_weights] if options.detector_weights else []
    command += ["--upscaler-weights", options.upscaler_weights] if options.upscaler_weights else []
    inputs = (options.dataset / MANIFEST_NAME, *models.values(), *(path / MANIFEST_NAME for _, path in others))
    run_stage(Stage(stage, words_of(command), inputs, (result,)), options.out / "stamps")
    return read_utility(result)


def processor() -> str:
    """Name of the processor, if the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
