"""TensorRT-RTX parses and builds every model of the ladder, on a machine without a GPU."""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

from deploy.cards.model_card import write_card
from export.conversion import paddle_to_onnx
from export.engine_builder import build_engine
from export.engine_options import EngineOptions
from export.exporter import finish_graph
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.models.components import LevelBuilder
from paddleseg_configs.training.models.inference_model import save_inference_model
from tests.helpers.deploy_helpers import card_of
from tests.helpers.paddle_helpers import REPOSITORY, make_dataset

CONFIGS = sorted((REPOSITORY / "paddleseg_configs").glob("*.yml"))
QUICK = {"mobileseg_mobilenetv3_small_x035", "mobileseg_mobilenetv2", "lpsnet_s"}
"""Built by every run of the tests."""


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames that models pad: 88 and 152 are no multiples of 32."""
    return make_dataset(tmp_path_factory.mktemp("ladder") / "dataset", height_px=88, width_px=152)


@pytest.mark.skipif(find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX's wheel is not installed")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_rtx_builds_every_model_of_the_ladder(ladder: Path, tmp_path: Path, config: Path) -> None:
    if config.stem not in QUICK and not os.environ.get("REGEN_WHOLE_LADDER"):
        pytest.skip("make ladder builds every model (REGEN_WHOLE_LADDER=1)")
    settings = load_settings(config, dataset=ladder)
    network = LevelBuilder(settings).model
    network.eval()
    save_inference_model(network, settings.manifest, tmp_path, dynamic_batch=False)
    core = paddle_to_onnx(tmp_path, opset=17)
    grid = settings.manifest.make_grid()
    card = card_of(grid=grid, dynamic_batch=False, level_values=settings.manifest.level_values, input_kind="rgb8")
    names = {"input_name": core.graph.input[0].name, "output_name": core.graph.output[0].name}
    graph, card = finish_graph(core, replace(card, **names, output_kind="importance"), lambda: [])
    onnx.save(graph, str(tmp_path / "m.onnx"))
    write_card(tmp_path / "m.onnx", card)
    record = build_engine(EngineOptions(model=tmp_path / "m.onnx", out=tmp_path / "m.engine", runtime="tensorrt-rtx"))
    assert record.outputs[0].shape == (1, grid.rows, grid.cols)
