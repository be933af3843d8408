"""Measure speed and accuracy of the ladder on this CPU: models x backends x precisions x threads, in turn.

    python benchmarks/cpu_deploy.py --dataset runs/demo/dataset --runs runs/zoo --json cpu.json --page cpu.md

Weights are read from RUNS/NAME/best_model/model.pdparams; a model without them is timed untrained and marked.
Each model is exported once into --exports (benchmarks/export_variants.py) and then timed in rounds: every combination
once, then again, so that other load affects all equally. The baseline (--baseline, fp32 logits on ONNX
Runtime with one thread) is in every model's rounds, and "speed-up" is the ratio within them. The ceiling is the
quickest product of matrices that ONNX Runtime or OpenVINO was seen to do in that precision, and a model's share of it
is counted in CPU time, of both: waiting for a busy core counts for neither.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import tyro
from numpy.typing import NDArray
from processor_peaks import measure_peaks

from deploy.backends import BACKENDS
from deploy.backends.base import Backend
from deploy.cards.model_card import ModelCard, read_card
from deploy.core.cli import run
from deploy.core.errors import OptionError, RegenError
from deploy.core.files import write_text
from deploy.core.runtimes import import_onnxruntime
from deploy.core.tables import Table
from deploy.prediction.postprocess import read_output
from deploy.prediction.preprocess import to_batch
from paddleseg_configs.ladder.comparison import processor
from paddleseg_configs.ladder.macs import count_macs
from paddleseg_configs.training.models.metrics import top_block_recall

ort = import_onnxruntime()

REPOSITORY = Path(__file__).resolve().parents[1]
BASELINE_COMBINATION = ("logits", "fp32", "onnxruntime", 1)
MIN_ROUNDS = 3
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CpuOptions:
    """Options of the benchmark."""

    dataset: Path
    """Dataset folder; it determines the frame size."""
    runs: Path = Path("runs/zoo")
    """Folder of training runs by model name."""
    configs: tuple[Path, ...] = ()
    """Configurations; all of paddleseg_configs/ if none are given."""
    exports: Path = Path("runs/cpu_deploy")
    """Folder for the exported variants."""
    backends: tuple[str, ...] = ("onnxruntime", "openvino", "openvino-bf16")
    """Backends to measure."""
    precisions: tuple[str, ...] = ("fp32", "int8-cpu")
    """Precisions of the files."""
    threads: tuple[int, ...] = (1, 2)
    """CPU threads."""
    baseline: str = "mobileseg_mobilenetv2"
    """Model to compare the others with."""
    seconds: float = 20.0
    """Duration of the rounds of each model; at least three rounds."""
    json: Path | None = None
    """Write the rows to this file."""
    page: Path | None = None
    """Write a Markdown page to this file."""
    note: str = ""
    """Note on the conditions, for the page."""


@dataclass
class Timed:
    """One combination while it is timed."""

    card: ModelCard
    path: Path
    ends: str
    backend: Backend
    batch: NDArray[Any]
    milliseconds: list[float] = field(default_factory=list)
    cpu_milliseconds: list[float] = field(default_factory=list)

    @property
    def combination(self) -> tuple[str, str, str, int]:
        """Ends, precision of the file, backend as asked for, threads."""
        return self.ends, self.card.precision, self.asked, self.backend.threads

    asked: str = ""


def main() -> None:
    """Parse the command line, export, time, write."""
    options = tyro.cli(CpuOptions, description=__doc__)
    configs = options.configs or tuple(sorted((REPOSITORY / "paddleseg_configs").glob("*.yml")))
    names = [config.stem for config in configs]
    if options.baseline not in names:
        raise OptionError(f"--baseline {options.baseline} is not among {', '.join(names)}", hint="Add its config.")
    by_name = {config.stem: config for config in configs}
    export_once(by_name[options.baseline], options)
    report = Report(options)
    for name in sorted(names, key=lambda name: name != options.baseline):
        try:
            export_once(by_name[name], options)
            report.raise_peaks()
            report.rows += time_model(name, options, report.left_out)
        except RegenError as error:
            print(f"skipping {name}: {error}", file=sys.stderr)
            report.left_out.append({"model": name, "reason": str(error)})
        report.write()
    print(page_of(report.as_json()))


def export_once(config: Path, options: CpuOptions) -> None:
    """Export a model's variants in a separate process, so that Paddle's threads do not affect the timings."""
    folder = options.exports / config.stem
    weights = options.runs / config.stem / "best_model" / "model.pdparams"
    stamp = folder / "complete.json"
    inputs = {
        "weights": [weights.stat().st_mtime_ns, weights.stat().st_size] if weights.is_file() else None,
        "manifest": (options.dataset / "manifest.json").read_text(),
        "config": config.read_text(),
        "precisions": list(options.precisions),
    }
    if stamp.is_file() and json.loads(stamp.read_text()) == inputs:
        return
    command = [sys.executable, REPOSITORY / "benchmarks" / "export_variants.py", "--config", config]
    command += ["--dataset", options.dataset, "--out", folder, "--precisions", *options.precisions]
    command += ["--weights", weights] if weights.is_file() else []
    ended = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    if ended.returncode:
        said = " ".join((ended.stderr.strip() or ended.stdout.strip()).splitlines()[-2:])
        raise OptionError(f"{config.stem} cannot be exported: {said}", hint="Export it with export/export_onnx.py.")
    print("\n".join(line for line in ended.stdout.splitlines() if "parity" in line))
    write_text(stamp, json.dumps(inputs))


def time_model(name: str, options: CpuOptions, refused: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Time all combinations of a model and the baseline, in turn; note what a backend refuses."""
    with ExitStack() as stack:
        timed = list(_load(name, options, stack, refused))
        reference = dict(np.load(options.exports / name / f"{name}.reference.npz"))
        baseline = next(_load(options.baseline, options, stack, refused, only=BASELINE_COMBINATION))
        started, rounds = time.perf_counter(), 0
        while rounds < MIN_ROUNDS or time.perf_counter() - started < options.seconds:
            for entry in (baseline, *timed):
                before, cpu_before = time.perf_counter(), time.process_time()
                entry.backend.run(entry.batch)
                entry.cpu_milliseconds.append((time.process_time() - cpu_before) * 1e3)
                entry.milliseconds.append((time.perf_counter() - before) * 1e3)
            rounds += 1
        macs = count_macs(options.exports / name / f"{name}.logits.fp32.onnx")
        return [_row(entry, reference, macs, baseline) for entry in timed]


def _load(
    name: str,
    options: CpuOptions,
    stack: ExitStack,
    refused: list[dict[str, str]],
    only: tuple[str, str, str, int] | None = None,
) -> Iterator[Timed]:
    for path in sorted((options.exports / name).glob(f"{name}.*.onnx")):
        _, ends, precision = path.stem.split(".")
        for backend in options.backends:
            if backend == "openvino-bf16" and precision != "fp32":
                continue  # the integers decide there
            for threads in options.threads:
                if precision not in options.precisions or only not in (None, (ends, precision, backend, threads)):
                    continue
                card = read_card(path)
                try:
                    made = BACKENDS.create(backend, model=path, card=card, threads=threads, spinning=False)
                except RegenError as error:
                    refused.append({"model": f"{path.name} on {backend}, {threads} threads", "reason": str(error)})
                    continue
                made = stack.enter_context(made)
                frame = np.load(options.exports / name / f"{name}.reference.npz")["frames"][0]
                batch = to_batch(frame, card)
                made.run(batch)
                yield Timed(card, path, ends, made, batch, asked=backend)


def _row(entry: Timed, reference: Any, macs: int, baseline: Timed) -> dict[str, Any]:
    agreement, recall, paddle_recall = correctness(entry, reference)
    p50, p95 = np.percentile(entry.milliseconds, (50, 95))
    return {
        "model": entry.card.name,
        "ends": entry.ends,
        "backend": entry.asked,
        "precision": entry.backend.precision,
        "threads": entry.backend.threads,
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "min_ms": round(min(entry.milliseconds), 3),
        "cpu_ms": round(float(np.median(entry.cpu_milliseconds)), 3),
        "runs": len(entry.milliseconds),
        "pre_ms": round(_median_ms(lambda: to_batch(reference["frames"][0], entry.card)), 3),
        "post_ms": round(_median_ms(_post(entry)), 3),
        "gmac": round(macs / 1e9, 4),
        "label_agreement": round(agreement, 5),
        "recall_top20": round(recall, 4),
        "recall_top20_paddle": round(paddle_recall, 4),
        "trained": bool(reference["trained"]),
        "speedup": round(float(np.median(np.array(baseline.milliseconds) / entry.milliseconds)), 2),
    }


def _post(entry: Timed) -> Callable[[], Any]:
    output = entry.backend.run(entry.batch)[0]
    return lambda: read_output(output, entry.card)


def correctness(entry: Timed, reference: Any) -> tuple[float, float, float]:
    """Share of macroblocks at Paddle's level, and recall of the label's top 20 % by this backend and by Paddle.

    A file that gives importance has the level nearest to it; so has Paddle's importance then.
    """
    agreements, recalls, paddle_recalls = [], [], []
    for frame, label, importance, levels in zip(
        *(reference[key] for key in ("frames", "labels", "importance", "levels")), strict=True
    ):
        found, found_levels = read_output(entry.backend.run(to_batch(frame, entry.card))[0], entry.card)
        expected = read_output(importance, entry.card)[1] if entry.card.output_kind == "importance" else levels
        agreements.append(float(np.mean(found_levels == expected)))
        recalls.append(top_block_recall(label, found))
        paddle_recalls.append(top_block_recall(label, importance))
    return float(np.mean(agreements)), float(np.nanmean(recalls)), float(np.nanmean(paddle_recalls))


def _median_ms(call: Callable[[], Any]) -> float:
    durations = []
    for _ in range(15):
        before = time.perf_counter()
        call()
        durations.append((time.perf_counter() - before) * 1e3)
    return float(np.median(durations))


class Report:
    """Results so far; written after each model, so that an interrupted run loses little."""

    def __init__(self, options: CpuOptions) -> None:
        self._options = options
        self.rows: list[dict[str, Any]] = []
        self.left_out: list[dict[str, str]] = []
        self._peaks: dict[str, float] = {}

    def raise_peaks(self) -> None:
        """Measure the ceiling again: the best of all measurements counts, for a busy machine only lowers it."""
        for precision, rate in measure_peaks(seconds=0.5).items():
            self._peaks[precision] = max(rate, self._peaks.get(precision, 0.0))

    def as_json(self) -> dict[str, Any]:
        """Everything, with each row's share of the peak."""
        rows = []
        for row in self.rows:
            rate = 2 * row["gmac"] / (row["cpu_ms"] / 1e3)
            rows.append({**row, "fraction_of_peak": round(rate / self._peaks[row["precision"]], 3)})
        peaks = {precision: round(rate, 1) for precision, rate in self._peaks.items()}
        return {
            "schema_version": SCHEMA_VERSION,
            "cpu": processor(),
            "cpus_usable": len(os.sched_getaffinity(0)),
            "load_average": [round(value, 2) for value in os.getloadavg()],
            "threads": list(self._options.threads),
            "peaks_gflops": peaks,
            "versions": {"onnxruntime": ort.__version__, "openvino": ov.__version__, "numpy": np.__version__},
            "baseline": self._options.baseline,
            "note": self._options.note,
            "left_out": self.left_out,
            "rows": rows,
        }

    def write(self) -> None:
        """Write the files that were asked for."""
        report = self.as_json()
        if self._options.json:
            write_text(self._options.json, json.dumps(report, indent=1) + "\n")
        if self._options.page:
            write_text(self._options.page, page_of(report))


def page_of(report: dict[str, Any]) -> str:
    """The report as Markdown: one line per model, ends, backend and precision; threads side by side."""
    threads = report["threads"]
    groups: dict[tuple[str, ...], dict[int, dict[str, Any]]] = {}
    for row in report["rows"]:
        key = (row["model"] + ("" if row["trained"] else " †"), row["ends"], row["backend"], row["precision"])
        groups.setdefault(key, {})[row["threads"]] = row
    timed = ("p50 ms", "p50_ms"), ("p95 ms", "p95_ms"), ("of peak", "fraction_of_peak"), ("speed-up", "speedup")
    fixed = (
        ("pre ms", "pre_ms"), ("post ms", "post_ms"), ("GMAC", "gmac"), ("labels", "label_agreement"),
        ("recall", "recall_top20"), ("Paddle's", "recall_top20_paddle"),
    )  # fmt: skip
    heads = ["model", "ends", "backend", "precision", *(f"{name}, {n} t" for name, _ in timed for n in threads)]
    heads += [name for name, _ in fixed]
    table = []
    for key, rows in groups.items():
        any_row = next(iter(rows.values()))
        cells = [*key, *(str(rows[n][field]) if n in rows else "" for _, field in timed for n in threads)]
        table.append((*cells, *(str(any_row[field]) for _, field in fixed)))
    lines = [*_introduction(report), Table("", tuple(heads), tuple(table)).markdown()]
    for entry in report["left_out"]:
        lines += ["", f"Left out: `{entry['model']}`: {entry['reason']}"]
    return "\n".join(lines) + "\n"


def _introduction(report: dict[str, Any]) -> list[str]:
    peaks = ", ".join(f"{name} {rate}" for name, rate in report["peaks_gflops"].items())
    return [
        "# Deployment on a CPU",
        "",
        f"{report['cpu']}, {report['cpus_usable']} CPUs; load average at the end "
        f"{', '.join(map(str, report['load_average']))}. {report['note']}".strip(),
        "",
        "Made by `python benchmarks/cpu_deploy.py`; all combinations of a model in turn, with the baseline "
        f"(`{report['baseline']}`, logits, fp32, ONNX Runtime, one thread) in every round. *Ends*: `logits` is "
        "normalized planes in, logits out, pre- and post-processing in numpy; `graph` has both in the file, uint8 in, "
        "importance out. *Of peak*: share of the fastest matrix product measured, both in CPU time. *Labels*: share of "
        "macroblocks at Paddle's level. *Recall*: of the label's top 20 % macroblocks. *Speed-up*: over the baseline, "
        "median within the rounds. † untrained weights: only times are valid.",
        "",
        f"Peaks of a core (GFLOP/s, GOP/s): {peaks}.",
        "",
    ]


if __name__ == "__main__":
    run(main)
