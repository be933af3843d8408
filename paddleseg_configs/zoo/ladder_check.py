"""Check the ladder; see `paddleseg_configs/check_ladder.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.core.errors import RegenError
from deploy.core.files import write_text
from deploy.core.stages import ROOT
from labeling.dataset.manifest import read_manifest
from paddleseg_configs.zoo.comparison import settings_of
from paddleseg_configs.zoo.model_runs import RunOptions, ladder_names, run_model
from paddleseg_configs.zoo.record import ModelRow, ZooReport

if TYPE_CHECKING:
    from paddleseg_configs.check_ladder import CheckOptions

README = ROOT / "paddleseg_configs" / "README.md"
BEGIN, END = "<!-- ladder: begin -->", "<!-- ladder: end -->"


def check_ladder(options: CheckOptions) -> None:
    """Check every model, write ``ladder.json`` and on demand the table.

    Raises:
        RegenError: some models failed.
    """
    manifest = read_manifest(options.dataset)
    how = RunOptions(
        dataset=options.dataset,
        out=options.out,
        iters=options.iters,
        minutes=None,
        batch_size=2,
        seed=0,
        opts=(),
        split="val",
        timed_frames=30,
    )
    rows = [run_model(name, how) for name in options.models or ladder_names()]
    report = ZooReport(settings=settings_of(how, manifest), rows=tuple(rows))
    write_text(options.out / "ladder.json", report.model_dump_json(indent=1) + "\n")
    if options.readme:
        size = f"{manifest.frame_width_px} x {manifest.frame_height_px}"
        write_table(README, table(rows, size, report.settings.machine))
    failed = [row for row in rows if row.failure]
    for row in failed:
        print(f"{row.name}: {row.failure}")
    if failed:
        names = ", ".join(row.name for row in failed)
        raise RegenError(f"{len(failed)} of {len(rows)} do not belong in the ladder: {names}", hint="See above.")
    print(f"all {len(rows)} train, convert and agree")


def table(rows: Sequence[ModelRow], size: str, machine: str) -> str:
    """The models by operations, as Markdown."""
    found = [(row, row.measured) for row in rows if row.measured]
    found.sort(key=lambda pair: pair[1].gmac)
    lines = [
        f"Frames of {size}, ONNX Runtime on one thread of {machine}, from RGB bytes to the importance map.",
        "",
        "| configuration | model | parameters, M | GMAC | ms p50 / p95 | ONNX |",
        "|---|---|---|---|---|---|",
    ]
    for row, measured in found:
        time = measured.latency["onnxruntime"]
        batch = "batch 1 or free" if row.dynamic_batch else "batch 1"
        lines.append(
            f"| `{row.name}` | {row.description} | {(row.parameters or 0) / 1e6:.2f} | {measured.gmac:.2f} "
            f"| {time.p50_ms:.1f} / {time.p95_ms:.1f} | {batch} |"
        )
    return "\n".join(lines)


def write_table(path: Path, text: str) -> None:
    """Replace what stands between the two marks.

    Raises:
        RegenError: the marks are missing.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RegenError(f"{path} lacks {BEGIN} or {END}", hint="Put them where the table belongs.")
    write_text(path, f"{before}{BEGIN}\n{text}\n{END}{after}")
