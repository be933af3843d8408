"""From ONNX to a TensorRT engine and its record; see `export/onnx2trt.py`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from deploy.backends.tensorrt_library import import_tensorrt, make_logger, what_it_said
from deploy.cards.engine_record import ANY_GPU, EngineRecord, TensorRecord, record_path, write_record
from deploy.cards.model_card import ModelCard, read_card
from deploy.core import nvidia
from deploy.core.endless import require_an_end
from deploy.core.errors import OptionError, WeightsError
from deploy.core.files import atomic_path, sha256_of
from deploy.core.ranges import require_range
from export.engine_options import EngineOptions

Batch = tuple[int, int, int]
_MIB = 1024 * 1024
_PARSER_HINT = (
    "Export again with --batch 1 or another --opset (for int8, with --precision int8-trt). If it still fails, "
    "TensorRT does not support this model: deploy it with --backend onnxruntime or openvino."
)


def build_engine(options: EngineOptions) -> EngineRecord:
    """Write ``options.out`` and its record. An earlier engine stays until the new one is complete.

    Raises:
        OptionError: an option breaks a rule, or the library is not installed.
        DeviceError: TensorRT (not RTX) without a GPU.
        WeightsError: the model is missing, or TensorRT cannot read or build it.
    """
    card = _check(options)
    batch = batch_sizes(options.batch, card)
    gpu = None
    if options.runtime == "tensorrt":
        gpu = nvidia.first_gpu()  # before anything of TensorRT's: without a driver it may crash the process
    trt = import_tensorrt(options.runtime)
    logger = make_logger(trt, verbose=options.verbose)
    print(f"building {options.out} with {options.runtime} {trt.__version__}; this can take minutes", flush=True)
    started = time.monotonic()
    builder = trt.Builder(logger)
    network = parse_network(trt, builder, options.model, logger)
    plan = _build(trt, builder, network, card, batch, options, logger)
    with atomic_path(options.out) as temporary:
        temporary.write_bytes(plan)
        record = EngineRecord(
            onnx_sha256=sha256_of(options.model),
            engine_sha256=sha256_of(temporary),
            product=options.runtime,
            version=trt.__version__,
            cuda=gpu.cuda if gpu else "none",
            gpu_name=gpu.name if gpu else ANY_GPU,
            compute_capability=gpu.compute_capability if gpu else ANY_GPU,
            precision=card.precision,
            batch=batch,
            inputs=_tensors(network.num_inputs, network.get_input),
            outputs=_tensors(network.num_outputs, network.get_output),
        )
        # The old record goes first: an engine without a record is refused, one with another's might not be.
        record_path(options.out).unlink(missing_ok=True)
    write_record(record_path(options.out), record)
    size = options.out.stat().st_size / 1e6
    print(f"wrote {options.out} ({size:.2f} MB, {time.monotonic() - started:.1f} s) and {record_path(options.out)}")
    return record


def batch_sizes(text: str | None, card: ModelCard) -> Batch:
    """Read "min,opt,max", or one number for all three.

    Raises:
        OptionError: not such numbers, or another batch than 1 for a model of fixed batch.
    """
    if text is None:
        return (1, 8, 64) if card.dynamic_batch else (1, 1, 1)
    try:
        numbers = [int(part) for part in text.split(",")]
        smallest, best, largest = numbers * 3 if len(numbers) == 1 else numbers
    except ValueError:
        raise OptionError(f"--batch {text} is not MIN,OPT,MAX", hint="Use --batch 1,8,64") from None
    if not 1 <= smallest <= best <= largest:
        raise OptionError(f"--batch {text}: 1 <= MIN <= OPT <= MAX does not hold", hint="Use --batch 1,8,64")
    if not card.dynamic_batch and largest > 1:
        raise OptionError(f"--batch {text}, but the model has a fixed batch of 1", hint="Export with --batch dynamic.")
    return smallest, best, largest


def parse_network(trt: Any, builder: Any, model: Path, logger: Any) -> Any:
    """Read an ONNX file into a strongly typed network: precision is the file's, in every version.

    Raises:
        WeightsError: names the nodes and operators that TensorRT cannot read.
    """
    require_an_end(model, "model", model)
    known = trt.NetworkDefinitionCreationFlag.__members__
    flags = 0
    for name in ("EXPLICIT_BATCH", "STRONGLY_TYPED"):  # gone where there is no other way any more
        if name in known:
            flags |= 1 << int(known[name])
    network = builder.create_network(flags)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(model)):
        problems = [_describe(parser.get_error(index)) for index in range(parser.num_errors)]
        raise WeightsError(
            f"TensorRT cannot read {model}: {'; '.join(problems[:3]) or what_it_said(logger)}", hint=_PARSER_HINT
        )
    return network


def _check(options: EngineOptions) -> ModelCard:
    if not options.model.is_file():
        raise WeightsError(f"model not found: {options.model}", hint="Use an .onnx file made by export/export_onnx.py.")
    if options.out.suffix != ".engine":
        raise OptionError(f"--out {options.out} must end in .engine", hint="Rename it.")
    require_range("workspace", options.workspace, 0, open_ends=True)
    card = read_card(options.model)
    if card.precision == "int8-cpu":
        raise OptionError(
            f"{options.model} is int8 for CPUs, which TensorRT does not accept",
            hint="Export with --precision int8-trt.",
        )
    if card.any_size:
        raise OptionError(
            f"{options.model} takes frames of any size, which engines do not support yet",
            hint="Deploy it with --backend onnxruntime or openvino, or export with --size dataset.",
        )
    return card


def _build(
    trt: Any, builder: Any, network: Any, card: ModelCard, batch: Batch, options: EngineOptions, logger: Any
) -> Any:
    config = builder.create_builder_config()
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(options.workspace * _MIB))
    if card.dynamic_batch:
        profile = builder.create_optimization_profile()
        profile.set_shape(card.input_name, *((size, *card.input_shape) for size in batch))
        if config.add_optimization_profile(profile) < 0:
            raise WeightsError(f"TensorRT does not accept batches {batch}: {what_it_said(logger)}", hint=_PARSER_HINT)
    cache = _read_timing_cache(config, options.timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise WeightsError(f"TensorRT cannot build {options.model}: {what_it_said(logger)}", hint=_PARSER_HINT)
    if cache is not None and options.timing_cache is not None:
        with atomic_path(options.timing_cache) as temporary:
            temporary.write_bytes(cache.serialize())
    return plan


def _read_timing_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise OptionError(
            f"--timing-cache {path} belongs to another GPU or TensorRT version",
            hint="Use a file that does not exist yet.",
        )
    return cache


def _tensors(count: int, get: Any) -> tuple[TensorRecord, ...]:
    tensors = [get(index) for index in range(count)]
    return tuple(TensorRecord(tensor.name, tensor.dtype.name, tuple(tensor.shape)) for tensor in tensors)


def _describe(error: Any) -> str:
    node = error.node_name() or f"number {error.node()}"
    return f"node {node} (operator {error.node_operator() or 'unknown'}): {' '.join(error.desc().split())}"
