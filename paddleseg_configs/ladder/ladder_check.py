"""Check the ladder; see `paddleseg_configs/check_ladder.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploy.cards.model_card import read_card
from deploy.core.errors import RegenError
from deploy.core.files import write_text
from deploy.core.tables import Table
from labeling.dataset.manifest import read_manifest
from paddleseg_configs.ladder.comparison import processor
from paddleseg_configs.ladder.measurement import measure
from paddleseg_configs.ladder.model_runs import LADDER, ModelStages, description, ladder_names, num_parameters
from paddleseg_configs.ladder.options import CheckOptions
from paddleseg_configs.ladder.record import ModelRow
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.run.loop import TrainOptions, train

README = LADDER / "README.md"
BEGIN, END = "<!-- ladder: begin -->", "<!-- ladder: end -->"
TIMED_FRAMES = 30
_OVERRIDES = (("batch_size", "2"), ("lr_scheduler.warmup_iters", "2"))


def check_ladder(options: CheckOptions) -> None:
    """Check every model, write a result file for each, and update the README's table if requested.

    Raises:
        RegenError: some models failed.
    """
    manifest = read_manifest(options.dataset)
    rows = [_checked(name, options) for name in options.models or ladder_names()]
    if options.readme:
        size = f"{manifest.frame_width_px} x {manifest.frame_height_px}"
        write_table(README, table(rows, size, processor()))
    failed = [row for row in rows if row.failure]
    for row in failed:
        print(f"{row.name}: {row.failure}")
    if failed:
        names = ", ".join(row.name for row in failed)
        raise RegenError(f"{len(failed)} of {len(rows)} models failed: {names}", hint="See above.")
    print(f"all {len(rows)} models train, convert and agree")


def _checked(name: str, options: CheckOptions) -> ModelRow:
    """Check one model, unless its result exists."""
    config = LADDER / f"{name}.yml"
    settings = load_settings(config, dataset=options.dataset, overrides=[("iters", str(options.iters)), *_OVERRIDES])
    folder = options.out / f"{name}-{settings.fingerprint(0)[:8]}"
    result = folder / "row.json"
    if result.is_file():
        print(f"{name}: up to date", flush=True)
        return ModelRow.model_validate_json(result.read_bytes())
    row = ModelRow(name=name, description=description(name))
    try:
        weights = train(settings, TrainOptions(save_dir=folder / "train", log_iters=1)) / "model.pdparams"
        model = folder / f"{name}.onnx"
        exported = ModelStages(name, options.dataset, folder).export(
            ["--config", config, "--frames", 2], weights, model
        )
        measured = measure(model, options.dataset, split="val", runs=TIMED_FRAMES)
    except RegenError as error:
        print(f"{name} failed: {error}", flush=True)
        return row.model_copy(update={"failure": str(error)})
    found = {"parameters": num_parameters(weights), "dynamic_batch": exported, "measured": measured}
    row = row.model_copy(update={**found, "parity": read_card(model).parity, "iters": options.iters})
    write_text(result, row.model_dump_json(indent=1) + "\n")
    return row


def table(rows: Sequence[ModelRow], size: str, machine: str) -> str:
    """Table of the models in Markdown, sorted by operations."""
    found = [(row, row.measured) for row in rows if row.measured]
    found.sort(key=lambda pair: pair[1].gmac)
    lines = []
    for row, measured in found:
        time = measured.latency["onnxruntime"]
        batch = "batch 1 or dynamic" if row.dynamic_batch else "batch 1"
        figures = (
            f"{(row.parameters or 0) / 1e6:.2f}",
            f"{measured.gmac:.2f}",
            f"{time.p50_ms:.1f} / {time.p95_ms:.1f}",
        )
        lines.append((f"`{row.name}`", row.description, *figures, batch))
    note = f"Frames of {size}, ONNX Runtime on one thread of {machine}, from RGB bytes to the importance map."
    header = ("configuration", "model", "parameters, M", "GMAC", "ms p50 / p95", "ONNX")
    return Table("", header, tuple(lines), note).markdown()


def write_table(path: Path, text: str) -> None:
    """Replace the text between the two markers.

    Raises:
        RegenError: the marks are missing.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RegenError(f"{path} lacks {BEGIN} or {END}", hint="Add them where the table belongs.")
    write_text(path, f"{before}{BEGIN}\n{text}\n{END}{after}")
