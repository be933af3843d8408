"""Who may import whom, and what public modules must say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.core import errors
from tests.label_helpers import REPOSITORY

PACKAGES = ("deploy", "export", "labeling", "paddleseg_configs")
SOURCES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
SCRIPTS = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for path in SOURCES
    if "paddleseg_tools" not in path.parts and 'if __name__ == "__main__":' in path.read_text()
} - {"paddleseg_configs.zoo.measure"}  # a worker, which the check of the ladder calls in its own process


def imports_of(path: Path, *, lazy: bool) -> Iterator[str]:
    """Modules that a file imports when it is loaded, or (`lazy`) anywhere, leaving out those for type checking."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if lazy else _loaded(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def _loaded(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _loaded(node)


def starts(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_layers(path: Path) -> None:
    name = str(path.relative_to(REPOSITORY))
    everything = list(imports_of(path, lazy=True))
    loaded = list(imports_of(path, lazy=False))
    if name.startswith("deploy/"):
        foreign = {"torch", "paddle", "paddleseg", "pydantic", "cv2", "labeling", "export", "paddleseg_configs"}
        assert not [m for m in everything if m.split(".")[0] in foreign]
    if name.startswith("labeling/"):
        assert not [m for m in everything if starts(m, "paddle", "paddleseg", "paddleseg_configs", "export")]
    if name.startswith("labeling/maths/"):
        assert not [m for m in everything if starts(m, "labeling.pipelines", "PIL", "av", "pathlib")]
        assert not [m for m in loaded if starts(m, "labeling") and not starts(m, "labeling.maths")]
    if not name.startswith(("labeling/pipelines/", "paddleseg_configs/zoo/")) and name.count("/") > 1:
        assert not [m for m in loaded if starts(m, "labeling.pipelines")]
    if name.startswith("paddleseg_configs/"):
        assert not [m for m in everything if starts(m, "torch", "torchvision")]
    if "paddleseg_tools" not in path.parts:  # those stand for scripts of ours
        assert not [m for m in loaded if m in SCRIPTS], "a script is imported"
    assert "onnxruntime" not in everything, "without import_onnxruntime its telemetry is on"


def test_no_device_is_hard_wired() -> None:
    """Mistake 17."""
    assert not [path for path in SOURCES if ".cuda()" in path.read_text()]


def test_error_tree_is_documented_whole() -> None:
    def descendants(kind: type[Exception]) -> set[str]:
        return {name for sub in kind.__subclasses__() for name in {sub.__name__} | descendants(sub)}

    assert all(name in (errors.__doc__ or "") for name in descendants(errors.RegenError))
    assert "RegenError" in (errors.__doc__ or "")
