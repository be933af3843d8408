"""The upscaler on an NVIDIA GPU: one plan for each shape of a canvas, in half precision; see gpu_deploy.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image

from deploy.backends import tensorrt_backend
from deploy.backends.cuda_memory import Cuda
from deploy.backends.tensorrt_library import MODULES, make_logger, what_it_said
from deploy.backends.tensorrt_slot import Slot
from deploy.cards.upscaler_card import INPUT, MARGINS, OUTPUT, read_upscaler_card
from deploy.core.closeable import Closing
from deploy.core.errors import InputError, RegenError, WeightsError
from deploy.core.files import atomic_path, read_image
from deploy.core.tables import Table
from deploy.enhancement.upscaler import Upscaler
from export.engine_builder import parse_network
from export.precision import convert_precision

Canvas = tuple[int, int]
"""Height and width."""
_HINT = "Leave the upscaler out: --canvases"


@dataclass(frozen=True)
class PlanEnds:
    """Input and output of a plan, as `Slot` asks for them."""

    input_shape: tuple[int, ...]
    """(H, W, 3)."""
    output_shape: tuple[int, ...]
    """(H * scale, W * scale, 3)."""
    input_name: str = INPUT
    output_name: str = OUTPUT
    input_type: type[np.generic] = np.uint8
    output_type: type[np.generic] = np.uint8


def for_canvas(path: Path, canvas: Canvas) -> onnx.ModelProto:
    """An exported upscaler for canvases of one shape, in half precision but for its ends.

    Nothing is cut off: a plan has fixed shapes, so that margins are left out when the result is pasted.

    Args:
        path: the file of ``export/export_upscaler.py``.
        canvas: the shape.

    Returns:
        (batch, H, W, 3) uint8 in, (batch, H * scale, W * scale, 3) uint8 out.
    """
    model = onnx.load(str(path))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.int64), MARGINS))
    frames, (result,) = next(value for value in model.graph.input if value.name == INPUT), model.graph.output
    scale = read_upscaler_card(path).scale
    for value, factor in ((frames, 1), (result, scale)):
        for dimension, size in zip(value.type.tensor_type.shape.dim[1:3], canvas, strict=True):
            dimension.dim_value = size * factor
    del model.graph.input[:], model.graph.value_info[:]
    model.graph.input.append(frames)
    _cast_at_the_ends(model.graph)
    half = convert_precision(onnx.shape_inference.infer_shapes(model, data_prop=True), "fp16", lambda: ())
    return half


def _cast_at_the_ends(graph: onnx.GraphProto) -> None:
    """TensorRT does nothing with bytes but cast them: that comes before planes are ordered, and after."""
    users = {name: node for node in graph.node for name in node.input}
    makers = {name: node for node in graph.node for name in node.output}
    first, last = users[INPUT], makers[OUTPUT]
    for earlier, later in ((first, users[first.output[0]]), (makers[last.input[0]], last)):
        if {earlier.op_type, later.op_type} != {"Transpose", "Cast"}:
            raise WeightsError("the upscaler does not begin and end as export/export_upscaler.py writes it", hint=_HINT)
        copy = onnx.NodeProto()
        copy.CopyFrom(earlier)
        for node, source in ((earlier, later), (later, copy)):
            node.op_type = source.op_type
            attributes = list(source.attribute)
            del node.attribute[:]
            node.attribute.extend(attributes)


def build_plan(model: Path, plan: Path, product: str, canvas: Canvas, batch: int) -> float:
    """Build a plan of 1 to `batch` canvases; seconds.

    Raises:
        RegenError: the product is not installed, or refuses.
    """
    trt = tensorrt_backend.import_tensorrt(product)
    logger, started = make_logger(trt), time.perf_counter()
    builder = trt.Builder(logger)
    network = parse_network(trt, builder, model, logger)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    profile.set_shape(INPUT, *((size, *canvas, 3) for size in (1, batch, batch)))
    config.add_optimization_profile(profile)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise WeightsError(f"{product} cannot build {model}: {what_it_said(logger)}", hint=_HINT)
    with atomic_path(plan) as temporary:
        temporary.write_bytes(serialized)
    return time.perf_counter() - started


class Plan(Closing):
    """A plan that runs.

    Args:
        path: of the plan.
        product: that built it.
        ends: its input and output.
        batch: the most canvases at once.

    Raises:
        WeightsError: the product cannot load it.
    """

    def __init__(self, path: Path, product: str, ends: PlanEnds, batch: int) -> None:
        trt, cuda = tensorrt_backend.import_tensorrt(product), Cuda(tensorrt_backend.import_cuda())
        cuda.call("cudaSetDevice", 0)
        self._logger = make_logger(trt)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise WeightsError(f"{product} cannot load {path}: {what_it_said(self._logger)}", hint=_HINT)
        self._stack = ExitStack()
        self._slot = Slot(self._engine, cuda, ends, batch, use_graph=True)
        self._stack.callback(self._slot.close)

    def __call__(self, canvases: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(N, H, W, 3) uint8 -> (N, H * scale, W * scale, 3) uint8."""
        self._slot.submit(canvases, len(canvases))
        return self._slot.collect()

    def compute_again(self) -> None:
        """The network alone, once more."""
        self._slot.compute_again()

    def close(self) -> None:
        """Free it. Closing twice is harmless."""
        self._stack.close()


def measure_upscaler(
    path: Path | None, canvases: Sequence[Canvas], products: Sequence[str], frames: Path, work: Path, repeats: int
) -> list[dict[str, Any]]:
    """A row for each product and canvas: seconds to build, agreement with the CPU, milliseconds.

    Args:
        path: the exported upscaler; None takes the embedded one.
        canvases: shapes.
        products: of NVIDIA's.
        frames: dataset folder, whose frames the canvases are cut from.
        work: where plans are kept.
        repeats: timed runs of each.
    """
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    with Upscaler(path) as upscaler:
        for canvas in canvases:
            batch = cut(frames, canvas, 8)
            model = work / f"{upscaler.card.name}-{canvas[1]}x{canvas[0]}.fp16.onnx"
            onnx.save(for_canvas(upscaler.path, canvas), str(model))
            for product in products:
                row = {"model": upscaler.card.name, "canvas": f"{canvas[1]}x{canvas[0]}", "backend": product}
                try:
                    rows.append(row | _measured(upscaler, model, product, batch, repeats))
                except RegenError as error:
                    rows.append({**row, "refused": str(error)})
    return rows


def _measured(upscaler: Upscaler, model: Path, product: str, batch: NDArray[np.uint8], repeats: int) -> dict[str, Any]:
    if find_spec(MODULES[product]) is None:
        return {"refused": f"{MODULES[product]} is not installed"}
    canvas, plan = (batch.shape[1], batch.shape[2]), model.with_suffix(f".{product}.plan")
    seconds = build_plan(model, plan, product, canvas, len(batch))
    ends = PlanEnds(batch.shape[1:], (*(side * upscaler.scale for side in canvas), 3))
    with Plan(plan, product, ends, len(batch)) as run:
        difference = np.abs(run(batch).astype(int) - upscaler(batch))
        figures: dict[str, Any] = {}
        for size in (1, len(batch)):
            run(batch[:size])
            figures[str(size)] = {
                "with_copies": percentiles(lambda size=size: run(batch[:size]), repeats),
                "network_alone": percentiles(run.compute_again, repeats),
            }
    return {
        "build_seconds": round(seconds, 1),
        "largest_difference": int(difference.max()),
        "mean_difference": round(float(difference.mean()), 4),
        "latency_ms": figures,
    }


def percentiles(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds, after a tenth as many runs to warm up."""
    for _ in range(max(repeats // 10, 3)):
        call()
    durations = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        durations.append((time.perf_counter() - started) * 1e3)
    return {f"p{q}": round(float(np.percentile(durations, q)), 4) for q in (50, 95, 99)}


def cut(dataset: Path, canvas: Canvas, count: int) -> NDArray[np.uint8]:
    """(count, H, W, 3) uint8: parts of a dataset's frames; a frame that is too small is enlarged first.

    Raises:
        InputError: there are no frames.
    """
    images = sorted(dataset.glob("origin_images/*/*.png"))
    if not images:
        raise InputError(f"{dataset} has no frames", hint="Make it with labeling/make_labels.py.")
    parts = []
    for number in range(count):
        image = read_image(images[number * len(images) // count])
        height, width = (max(have, wanted) for have, wanted in zip(image.shape[:2], canvas, strict=True))
        image = np.asarray(Image.fromarray(image).resize((width, height)))
        top, left = (height - canvas[0]) // 2, (width - canvas[1]) // 2
        parts.append(image[top : top + canvas[0], left : left + canvas[1]])
    return np.stack(parts)


def upscaler_table(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows, a line for each number of canvases at once."""
    heads = ("upscaler", "canvas", "backend", "build s", "differs by", "canvases", "with copies", "network")
    cells: list[tuple[str, ...]] = []
    for row in rows:
        first = row["model"], row["canvas"], row["backend"]
        if "refused" in row:
            cells.append((*first, f"refused: {row['refused']}", *[""] * 4))
            continue
        for size, times in row["latency_ms"].items():
            shown = [" / ".join(map(str, times[kind].values())) for kind in ("with_copies", "network_alone")]
            differs = f"{row['largest_difference']}, on average {row['mean_difference']}"
            cells.append((*first, str(row["build_seconds"]), differs, size, *shown))
    return Table("", heads, tuple(cells))
