"""Options that messages, hints and the documentation name exist in one of the project's parsers."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

from tests.helpers.doc_blocks import REPOSITORY, pages

PACKAGES = ("benchmarks", "datasets", "deploy", "export", "labeling", "paddleseg_configs", "regen")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9_-]*)")
OTHERS = {
    *("help", "version", "x"),
    *(
        "upgrade",
        "path",
        "python",
        "extra-index-url",
        "index-url",
        "overrides",
        "system-site-packages",
    ),  # pip, uv, venv
    *("create-dirs", "head", "address"),  # curl, Ray
    *("nms", "end2end", "decode_in_inference", "optimize_tool"),  # exporters
    *("nproc_per_node", "master", "nnodes"),  # Paddle's launcher
}
"""Options of other programs."""


@functools.cache
def modules() -> dict[Path, ast.Module]:
    """Every Python file of the packages, parsed."""
    paths = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def known_options() -> set[str]:
    """Names without dashes: fields of dataclasses of options, and what argparse is given."""
    known = set(OTHERS)
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for entry in node.body:
                    if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
                        known.add(entry.target.id.replace("_", "-"))
            elif isinstance(node, ast.Call):
                words = [word.value for word in node.args if isinstance(word, ast.Constant)]
                known |= {word[2:] for word in words if isinstance(word, str) and OPTION.fullmatch(word)}
    return known | {f"no-{name}" for name in known}


def named_in_messages(tree: ast.Module) -> set[str]:
    """Options in the strings of a module that are not docstrings."""
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts
    ]
    return {name for text in strings if " " in text for name in OPTION.findall(text)}


def test_options_in_messages_exist() -> None:
    named = {name: path.name for path, tree in modules().items() for name in named_in_messages(tree)}
    assert len(named) > 50
    known = known_options()
    assert {name: file for name, file in named.items() if name not in known} == {}


def test_options_in_the_documentation_exist() -> None:
    known = known_options()
    named = {
        name: page.relative_to(REPOSITORY)
        for page in pages()
        if not page.relative_to(REPOSITORY).parts[0].startswith(".")
        for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
        for name in OPTION.findall(code)
    }
    assert len(named) > 50
    assert {name: page for name, page in named.items() if name not in known} == {}
