"""Who may import whom, and what public modules must say."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.core import errors
from tests.helpers.label_helpers import REPOSITORY

PACKAGES = ("deploy", "export", "labeling", "paddleseg_configs", "regen")
SOURCES = sorted(
    path
    for package in PACKAGES
    for path in (REPOSITORY / package).rglob("*.py")
    if "paddleseg_tools" not in path.parts  # those stand for scripts of ours
)


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}
SCRIPTS = {name for name, path in MODULES.items() if 'if __name__ == "__main__":' in path.read_text()}


def imports_of(path: Path) -> Iterator[str]:
    """Modules that a file imports anywhere: in functions and for type checking, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (whole & MODULES.keys()) or [node.module or ""]


IMPORTS = {name: set(imports_of(path)) for name, path in MODULES.items()}


def starts(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("name", MODULES)
def test_layers(name: str) -> None:
    imported = IMPORTS[name]
    libraries = {module.split(".")[0] for module in imported}
    if starts(name, "deploy"):
        assert not libraries & {"torch", "paddle", "paddleseg", "pydantic", "tyro", "cv2", *PACKAGES} - {"deploy"}
    if starts(name, "labeling"):
        assert not libraries & {"paddle", "paddleseg", "paddleseg_configs", "export"}
    if starts(name, "labeling.maths"):
        assert not libraries & {"PIL", "av", "pathlib"}
    if starts(name, "paddleseg_configs"):
        assert not libraries & {"torch", "torchvision", "export"}
    assert not starts(name, *PACKAGES) or starts(name, "regen") or not imported & SCRIPTS, "a script is imported"
    assert "onnxruntime" not in imported, "without import_onnxruntime its telemetry is on"


def circles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Sets of two or more nodes each of which reaches all others."""

    def reached(node: str) -> set[str]:
        seen: set[str] = set()
        front = [node]
        while front:
            new = graph.get(front.pop(), set()) - seen
            seen |= new
            front += new
        return seen

    reach = {node: reached(node) for node in graph}
    found = {frozenset(other for other in reach[node] if node in reach.get(other, ())) for node in graph}
    return [set(circle) for circle in found if circle]


def test_circles_are_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


def test_no_file_imports_itself_through_others() -> None:
    """Imports for type checking and those inside functions count."""
    assert circles({name: imported & MODULES.keys() for name, imported in IMPORTS.items()}) == []


def test_no_room_imports_itself_through_others() -> None:
    """A room is a folder; scripts stand above the rooms beside which they lie."""

    def room(module: str) -> str:
        return module if module in SCRIPTS else module_of(MODULES[module].parent / "__init__.py")

    graph: dict[str, set[str]] = {}
    for name, imported in IMPORTS.items():
        graph.setdefault(room(name), set()).update(room(other) for other in imported & MODULES.keys())
    for name in graph:
        graph[name].discard(name)
    assert circles(graph) == []


def test_no_device_is_hard_wired() -> None:
    """Mistake 17."""
    assert not [path for path in SOURCES if ".cuda()" in path.read_text()]


def test_error_tree_is_documented_whole() -> None:
    def descendants(kind: type[Exception]) -> set[str]:
        return {name for sub in kind.__subclasses__() for name in {sub.__name__} | descendants(sub)}

    assert all(name in (errors.__doc__ or "") for name in descendants(errors.RegenError))
    assert "RegenError" in (errors.__doc__ or "")


def test_nothing_generated_is_tracked() -> None:
    """Text of more than 50 kB is not written by hand."""
    names = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    kept = (".png", ".safetensors", ".onnx")
    files = [REPOSITORY / name for name in names.splitlines() if not name.endswith(kept)]
    assert len(files) > 200 and [path for path in files if path.exists() and path.stat().st_size > 50_000] == []
