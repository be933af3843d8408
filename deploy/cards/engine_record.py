"""The record of a TensorRT engine's build: a JSON file next to it, checked before the engine is loaded."""

from __future__ import annotations

import json
import operator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from deploy.core.errors import WeightsError
from deploy.core.files import sha256_of, write_text
from deploy.core.nvidia import Gpu

SCHEMA_VERSION = 1
Product = Literal["tensorrt", "tensorrt-rtx"]
ANY_GPU = "any"
_TEXTS = (
    "onnx_sha256",
    "engine_sha256",
    "version",
    "cuda",
    "gpu_name",
    "compute_capability",
    "precision",
)


@dataclass(frozen=True)
class TensorRecord:
    """One input or output."""

    name: str
    """Of the tensor."""
    dtype: str
    """TensorRT's name of the element type, such as "FLOAT"."""
    shape: tuple[int, ...]
    """With -1 for a free batch."""


@dataclass(frozen=True)
class EngineRecord:
    """The sidecar of an engine."""

    onnx_sha256: str
    """Of the ONNX file that it was built from."""
    engine_sha256: str
    """Of the engine itself."""
    product: Product
    """Which of NVIDIA's two runtimes loads it."""
    version: str
    """Of that product; engines do not move between versions."""
    cuda: str
    """CUDA version of the driver it was built with; "none" without one."""
    gpu_name: str
    """That of the build GPU, or "any": TensorRT-RTX finishes the build on the target."""
    compute_capability: str
    """Of that GPU, or "any"."""
    precision: str
    """Of the ONNX file."""
    batch: tuple[int, int, int]
    """Smallest, best and largest batch."""
    inputs: tuple[TensorRecord, ...]
    """Inputs of the engine."""
    outputs: tuple[TensorRecord, ...]
    """Outputs of the engine."""
    schema_version: int = SCHEMA_VERSION
    """Version of this layout."""

    def check(self, engine: Path, model: Path, version: str, gpu: Gpu) -> None:
        """Raise WeightsError unless engine, model, library and GPU are those that this record names.

        Args:
            engine: the engine file.
            model: the .onnx file that the user gave.
            version: of the installed library, the product that this record names.
            gpu: that is here.
        """
        pairs = [
            (self.product, self.version, version),
            ("compute capability", self.compute_capability, gpu.compute_capability),
            ("the GPU", self.gpu_name, gpu.name),
            ("a model with hash", self.onnx_sha256[:12], sha256_of(model)[:12]),
        ]
        for what, built_for, here in pairs:
            if built_for not in (here, ANY_GPU):
                raise WeightsError(
                    f"{engine} was built for {what} {built_for}, but this is {here}",
                    hint=self.how_to_rebuild(engine, model),
                )
        if sha256_of(engine) != self.engine_sha256:
            raise WeightsError(f"{engine} is damaged: its hash does not match", hint=self.how_to_rebuild(engine, model))

    def how_to_rebuild(self, engine: Path, model: Path) -> str:
        """The command, in words."""
        batch = ",".join(map(str, self.batch))
        command = f"python export/onnx2trt.py {model} --out {engine} --batch {batch} --runtime {self.product}"
        return f"Rebuild with: {command}"


def engine_path(model: Path) -> Path:
    """Path where deployment looks for the engine of ``model.onnx``: ``model.engine`` next to it."""
    return model.with_suffix(".engine")


def record_path(engine: Path) -> Path:
    """Path of the record of ``model.engine``: ``model.engine.json`` next to it."""
    return engine.with_name(engine.name + ".json")


def write_record(path: Path, record: EngineRecord) -> None:
    """Write a record atomically."""
    write_text(path, json.dumps(asdict(record), indent=2) + "\n")


def read_record(engine: Path) -> EngineRecord:
    """Read the record next to an engine.

    Raises:
        WeightsError: engine or record missing, or the record bad.
    """
    hint = "Build the engine: python export/onnx2trt.py MODEL.onnx --out MODEL.engine"
    path = record_path(engine)
    if not engine.is_file():
        raise WeightsError(f"no TensorRT engine at {engine}", hint=hint)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if set(data) != {entry.name for entry in fields(EngineRecord)}:
            raise ValueError("its fields are not those of an engine record")
        if data["schema_version"] != SCHEMA_VERSION or data["product"] not in get_args(Product):
            raise ValueError(f"schema_version {data['schema_version']}, product {data['product']!r}")
        for name in ("inputs", "outputs"):
            data[name] = tuple(TensorRecord(e["name"], e["dtype"], tuple(e["shape"])) for e in data[name])
        data["batch"] = tuple(map(operator.index, data["batch"]))
        record = EngineRecord(**data)
        texts = [value for name, value in asdict(record).items() if name in _TEXTS]
        if len(record.batch) != 3 or not all(isinstance(text, str) for text in texts):
            raise ValueError("it needs three batch sizes and text")
        return record
    except (LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise WeightsError(f"bad engine record {path}: {error}", hint=hint) from None
