"""The API reference that `make docs` builds from the docstrings."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.browser import needs_chromium, opened
from tests.helpers.label_helpers import REPOSITORY

PACKAGES = ("deploy", "export", "labeling", "paddleseg_configs")
ARGUMENTS = ("model_path", "backend", "threads", "spinning")


def recipe() -> list[str]:
    """The words of the command behind `make docs`."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    found = re.search(r"^docs: setup\n\t(.+)", makefile, flags=re.M)
    assert found
    return found[1].split()


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference of a part that imports neither PyTorch nor Paddle, by the Makefile's own options."""
    out = tmp_path_factory.mktemp("reference")
    words = recipe()
    options = words[words.index("pdoc") + 1 : words.index("--output-directory")]
    command = [
        sys.executable,
        "-m",
        "pdoc",
        *options,
        "--output-directory",
        str(out),
        "deploy.prediction.predictor",
        "deploy.core.grid",
    ]
    result = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | {"PDOC_ALLOW_EXEC": "1"}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return out


def test_every_package_is_built() -> None:
    assert recipe()[-len(PACKAGES) :] == list(PACKAGES)


def test_the_predictor_is_described(reference: Path) -> None:
    page = (reference / "deploy" / "prediction" / "predictor.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    assert "Predicts the importance of every macroblock of a frame." in text
    for argument in ARGUMENTS:
        assert re.search(rf"<strong>{argument}:</strong>", page), f"{argument} is not in the list of arguments"
    assert "WeightsError" in text and "class Predictor" in text


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_public_has_a_docstring(package: str) -> None:
    """Modules, classes and functions; ruff's rules D say the same of most, and could be switched off."""
    bare = []
    for path in (REPOSITORY / package).rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        bare += [
            f"{path.relative_to(REPOSITORY)}:{node.name}"
            for node in nodes
            if not node.name.startswith("_") and not ast.get_docstring(node)
        ]
    assert bare == []


@needs_chromium
def test_the_page_renders_in_a_browser(reference: Path) -> None:
    with opened(reference / "deploy" / "prediction" / "predictor.html") as page:
        shown = page.eval_on_selector_all("#Predictor .docstring", "parts => parts.map(part => part.innerText)")
        links = page.eval_on_selector_all("nav a", "links => links.map(link => link.textContent.trim())")
    assert shown and shown[0].startswith("Predicts the importance of every macroblock")
    assert all(argument in shown[0] for argument in ARGUMENTS)
    assert {"Predictor", "Prediction"} <= set(links)
