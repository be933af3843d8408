"""Which names of NVIDIA's libraries our sources use. As a script it checks them against bindings.

python tests/helpers/tensorrt_names.py tensorrt_bindings
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = [
    REPOSITORY / name
    for name in (
        "deploy/backends/tensorrt_backend.py",
        "deploy/backends/tensorrt_slot.py",
        "deploy/backends/tensorrt_library.py",
        "export/engine_builder.py",
    )
]
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "runtime": "Runtime",
    "tensor": "ITensor",
    "error": "ParserError",
}
"""What our variables of these names hold; `self._engine` counts as `engine`."""
OURS = {"runtime": {"cudaMemcpyKind", "cudaStreamCaptureMode", "cudaStreamNonBlocking"}, "error": {"hint"}}
"""Attributes of variables of those names that hold something else."""


def used_names() -> set[str]:
    """Dotted names below the bindings' module, such as "Builder.create_network"."""
    names = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                names |= _name_of(node)
    return names


def ignored_answers() -> set[str]:
    """Methods whose answer is thrown away."""
    names = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            call = node.value if isinstance(node, ast.Expr) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                names |= _name_of(call.func)
    return names


def _name_of(node: ast.Attribute) -> set[str]:
    owner = ast.unparse(node.value)
    if owner == "trt" or owner.startswith("trt."):
        return {f"{owner[4:]}.{node.attr}".lstrip(".")}
    variable = owner.removeprefix("self.").lstrip("_")
    if variable in CLASSES and node.attr not in OURS.get(variable, set()):
        return {f"{CLASSES[variable]}.{node.attr}"}
    return set()


def find(trt: Any, name: str) -> Any:
    """The thing of that name; AttributeError if the bindings lack it."""
    thing = trt
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def main(module: str) -> None:
    """Print the version; exit with a list of what is missing, or of answers that must not be thrown away."""
    trt = importlib.import_module(module)
    wrong = []
    for name in sorted(used_names() - {"__version__"}):
        try:
            find(trt, name)
        except AttributeError:
            wrong.append(f"{name} is missing")
    for name in sorted(ignored_answers()):
        if "-> None" not in (find(trt, name).__doc__ or "").splitlines()[0]:
            wrong.append(f"{name} answers something that is ignored")
    print(trt.__version__)
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main(sys.argv[1])
