"""Everything about deployment on an NVIDIA GPU in one command: engines, parity, latency, throughput, memory.

    python benchmarks/gpu_deploy.py --dataset runs/demo/dataset --runs runs/zoo --page docs/results/gpu.md

For each model: exports with a free batch in fp32, fp16 and int8, builds an engine with each of NVIDIA's products that
is installed, and measures what it gets right, the time of a batch end to end with and without a CUDA graph and of the
network alone, frames a second with overlapping copies, and memory over --soak runs. ONNX Runtime's CUDA provider
stands beside it where it is installed. The upscaler gets one plan for each shape of a canvas, in half precision. What a
product refuses is a row too. Without a GPU it says so, with exit code 2.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from gpu_upscaler import measure_upscaler, percentiles, upscaler_table
from numpy.typing import NDArray

from deploy.backends.tensorrt_backend import TensorRtBackend
from deploy.backends.tensorrt_library import MODULES
from deploy.cards.engine_record import engine_path, read_record
from deploy.cards.model_card import ModelCard, read_card
from deploy.core import nvidia
from deploy.core.cli import run
from deploy.core.errors import OptionError, RegenError
from deploy.core.files import write_text
from deploy.core.runtimes import import_onnxruntime
from deploy.core.tables import Table
from deploy.detectors.geometry import parse_size
from deploy.prediction.postprocess import read_output
from deploy.prediction.preprocess import to_batch
from export.engine_builder import build_engine
from export.engine_options import EngineOptions

REPOSITORY = Path(__file__).resolve().parents[1]
SCHEMA_VERSION = 1
GOALS = "Reference: 973 frames/s (the paper); goals: 5,000 frames/s at batch, p99 < 1 ms at batch 1."


@dataclass(frozen=True)
class GpuOptions:
    """Options of the benchmark."""

    dataset: Path
    """Dataset folder; it determines the frame size."""
    runs: Path = Path("runs/zoo")
    """Folder of training runs by model name; a model without one is measured untrained and marked."""
    models: tuple[str, ...] = ("mobileseg_mobilenetv2", "mobileseg_mobilenetv3_small_x035")
    """Names of configurations."""
    exports: Path = Path("runs/gpu_deploy")
    """Folder for exports and engines."""
    products: tuple[str, ...] = tuple(MODULES)
    """NVIDIA products; those not installed are skipped with a message."""
    precisions: tuple[str, ...] = ("fp32", "fp16", "int8-trt")
    """Precisions of the files."""
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    """Batch sizes."""
    repeats: int = 300
    """Timed runs per case."""
    soak: int = 10_000
    """Runs during which memory must stay flat."""
    upscaler: Path | None = None
    """Exported upscaler; by default the included one."""
    canvases: tuple[str, ...] = ("64x64", "96x96", "128x96", "320x180")
    """Shapes to build an upscaler plan for, WIDTHxHEIGHT; empty skips the upscaler."""
    json: Path | None = None
    """Write the figures to this file."""
    page: Path | None = None
    """Write a Markdown page to this file."""


def main() -> None:
    """Parse the command line, measure, write."""
    options = tyro.cli(GpuOptions, description=__doc__)
    gpu = nvidia.first_gpu()  # ends here without one
    rows: list[dict[str, Any]] = []
    for name in options.models:
        export(name, options)
        for precision in options.precisions:
            model = options.exports / name / f"{name}.graph.{precision}.onnx"
            reference = dict(np.load(options.exports / name / f"{name}.reference.npz"))
            rows += [measure_product(product, model, reference, options) for product in options.products]
            rows.append(measure_onnxruntime(model, reference, options))
    canvases = [size for text in options.canvases if (size := parse_size(text)) is not None]
    work, products = options.exports / "upscaler", options.products
    enlarging = measure_upscaler(options.upscaler, canvases, products, options.dataset, work, options.repeats)
    report = {"schema_version": SCHEMA_VERSION, "gpu": asdict(gpu), "rows": rows, "upscaler": enlarging}
    if options.json:
        write_text(options.json, json.dumps(report, indent=1) + "\n")
    if options.page:
        write_text(options.page, page_of(report))
    print(page_of(report))


def export(name: str, options: GpuOptions) -> None:
    """Export a model's variants in a separate process."""
    weights = options.runs / name / "best_model" / "model.pdparams"
    command = [sys.executable, REPOSITORY / "benchmarks" / "export_variants.py", "--batch", "dynamic"]
    command += ["--config", REPOSITORY / "paddleseg_configs" / f"{name}.yml", "--dataset", options.dataset]
    command += ["--out", options.exports / name, "--precisions", *options.precisions]
    command += ["--weights", weights] if weights.is_file() else []
    ended = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    if ended.returncode:
        said = " ".join((ended.stderr.strip() or ended.stdout.strip()).splitlines()[-2:])
        raise OptionError(f"{name} cannot be exported: {said}", hint="Export it with export/export_onnx.py.")


def measure_product(product: str, model: Path, reference: dict[str, Any], options: GpuOptions) -> dict[str, Any]:
    """Build an engine and measure it; a failure is noted in the row."""
    row: dict[str, Any] = {
        "model": model.name.split(".")[0],
        "backend": product,
        "precision": read_card(model).precision,
    }
    if find_spec(MODULES[product]) is None:
        return {**row, "refused": f"{MODULES[product]} is not installed"}
    try:
        most = max(options.batches)
        build_engine(EngineOptions(model=model, out=engine_path(model), batch=f"1,{most},{most}", runtime=product))  # type: ignore[arg-type]
        row["version"] = read_record(engine_path(model)).version
        return {**row, **measure_engine(model, reference, options)}
    except RegenError as error:
        return {**row, "refused": str(error)}


def measure_engine(model: Path, reference: dict[str, Any], options: GpuOptions) -> dict[str, Any]:
    """Figures of a model's engine: accuracy, latencies by batch, throughput, memory."""
    card, latencies = read_card(model), {}
    with (
        TensorRtBackend(model=model, card=card) as backend,
        TensorRtBackend(model=model, card=card, use_graph=False) as eager,
    ):
        figures = correctness(backend.run, card, reference)
        frames = to_frames(card, reference)
        for size in options.batches:
            batch = np.resize(frames, (size, *frames.shape[1:]))
            latencies[str(size)] = {
                "graph": percentiles(lambda batch=batch: backend.run(batch), options.repeats),
                "no_graph": percentiles(lambda batch=batch: eager.run(batch), options.repeats),
                "network_alone": percentiles(eager.compute_again, options.repeats),
            }
        figures["frames_per_second"] = throughput(backend, np.resize(frames, (max(options.batches), *frames.shape[1:])))
        figures["memory"] = soak(backend, frames[:1], options.soak)
    return {**figures, "trained": bool(reference["trained"]), "latency_ms": latencies}


def measure_onnxruntime(model: Path, reference: dict[str, Any], options: GpuOptions) -> dict[str, Any]:
    """ONNX Runtime's CUDA provider on the same file."""
    ort, card = import_onnxruntime(), read_card(model)
    row: dict[str, Any] = {"model": card.name, "backend": "onnxruntime-cuda", "precision": card.precision}
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        return {**row, "refused": "this onnxruntime has no CUDA provider (pip install onnxruntime-gpu)"}
    session = ort.InferenceSession(str(model), providers=["CUDAExecutionProvider"])

    def call(batch: NDArray[Any]) -> NDArray[Any]:
        output: NDArray[Any] = session.run([card.output_name], {card.input_name: batch})[0]
        return output

    frames, latencies = to_frames(card, reference), {}
    for size in options.batches:
        batch = np.resize(frames, (size, *frames.shape[1:]))
        latencies[str(size)] = {"no_graph": percentiles(lambda batch=batch: call(batch), options.repeats)}
    figures = correctness(call, card, reference)
    return {
        **row,
        **figures,
        "version": ort.__version__,
        "latency_ms": latencies,
        "trained": bool(reference["trained"]),
    }


def to_frames(card: ModelCard, reference: dict[str, Any]) -> NDArray[Any]:
    """The reference's frames as one batch."""
    return np.concatenate([to_batch(frame, card) for frame in reference["frames"]])


def correctness(
    call: Callable[[NDArray[Any]], NDArray[Any]], card: ModelCard, reference: dict[str, Any]
) -> dict[str, float]:
    """Share of macroblocks at Paddle's level, mean level error, and overlap of the 20 % most important macroblocks."""
    outputs = call(to_frames(card, reference))
    agreements, errors, overlaps = [], [], []
    for output, importance in zip(outputs, reference["importance"], strict=True):
        (found, levels), expected = read_output(output, card), read_output(importance, card)[1]
        count = -(-found.size // 5)
        best = [set(np.argsort(-values.ravel(), kind="stable")[:count].tolist()) for values in (found, importance)]
        agreements.append(np.mean(levels == expected))
        errors.append(np.abs(levels.astype(int) - expected).mean())
        overlaps.append(len(best[0] & best[1]) / count)
    names = ("label_agreement", "level_error", "top20_overlap")
    return {name: round(float(np.mean(v)), 5) for name, v in zip(names, (agreements, errors, overlaps), strict=True)}


def throughput(backend: TensorRtBackend, batch: NDArray[Any], seconds: float = 3.0) -> float:
    """Frames per second with copies that overlap computation."""
    frames, started = 0, time.perf_counter()

    def source() -> Any:
        while time.perf_counter() - started < seconds:
            yield batch

    for output in backend.run_many(source()):
        frames += len(output)
    return round(frames / (time.perf_counter() - started), 1)


def soak(backend: TensorRtBackend, frame: NDArray[Any], runs: int) -> dict[str, float]:
    """GPU memory and the process's peak memory before and after many runs, in MiB."""
    backend.run(frame)
    before, peak_before = backend.free_bytes(), _peak_mib()
    for _ in range(runs):
        backend.run(frame)
    used = (before - backend.free_bytes()) / 2**20
    return {"runs": runs, "gpu_growth_mib": round(used, 2), "host_peak_growth_mib": round(_peak_mib() - peak_before, 2)}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def page_of(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    gpu = report["gpu"]
    lines = [
        "# Deployment on an NVIDIA GPU",
        "",
        f"{gpu['name']} (compute capability {gpu['compute_capability']}, driver for CUDA {gpu['cuda']}). {GOALS} "
        "NVIDIA does not list data-center GPUs for TensorRT-RTX. Measured with `python benchmarks/gpu_deploy.py`.",
        "",
        "Times in ms, p50 / p95 / p99, uint8 frames in, importance out, copies included except for the network alone.",
        "",
    ]
    lines += [_table(report["rows"]).markdown(), "", "† untrained weights: only times are valid.", ""]
    lines += [
        "## Upscaler",
        "",
        "fp16, against ONNX Runtime on the CPU in fp32 (of 255); times as above, by number of canvases.",
    ]
    return "\n".join([*lines, "", upscaler_table(report["upscaler"]).markdown(), ""])


def _table(rows: list[dict[str, Any]]) -> Table:
    names = ("model", "backend", "precision", "labels", "top 20 %", "frames/s", "batch", "graph", "no graph", "network")
    cells: list[tuple[str, ...]] = []
    for row in rows:
        head = f"{row['model']}{'' if row.get('trained', True) else ' †'}", row["backend"], row["precision"]
        if "refused" in row:
            cells.append((*head, f"refused: {row['refused']}", *[""] * 6))
            continue
        figures = row["label_agreement"], row["top20_overlap"], row.get("frames_per_second", "")
        for size, kinds in row["latency_ms"].items():
            times = [" / ".join(map(str, kinds[kind].values())) if kind in kinds else "" for kind in
                     ("graph", "no_graph", "network_alone")]  # fmt: skip
            cells.append((*head, *map(str, figures), str(size), *times))
        if "memory" in row:
            cells.append((*head, f"memory: {row['memory']}", *[""] * 6))
    return Table("", names, tuple(cells))


if __name__ == "__main__":
    run(main)
