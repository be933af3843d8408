"""The examples in docstrings do what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.deploy_helpers import card_of, write_model
from tests.project.test_architecture import MODULES

WITH_EXAMPLES = [name for name, path in MODULES.items() if ">>> " in path.read_text()]


def test_there_are_examples() -> None:
    assert {"deploy.prediction.predictor", "paddleseg_configs.training.config.level_weights"} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "model.onnx", card_of(360, 640))
    result = doctest.testmod(importlib.import_module(name), extraglobs={"np": np}, raise_on_error=False)
    assert result.attempted > 0 and result.failed == 0
