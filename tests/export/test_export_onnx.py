"""Export: the file computes what was trained, its card is true, and nothing is written otherwise."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import export.exporter
from deploy.cards.model_card import METADATA_KEY, ModelCard, Precision, card_path, read_card
from deploy.core.errors import DatasetError, OptionError, WeightsError
from deploy.core.grid import Grid
from export.conversion import paddle_to_onnx
from export.exporter import export_onnx, finish_graph
from export.graph_ends import pooling_matrices
from export.options import ExportOptions
from export.parity import Parity, measure_parity
from paddleseg_configs.training.config.origin import ORIGIN, Origin
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.models.trained_model import load_trained, normalization_of, split_dataset
from paddleseg_configs.training.paddle_fixes.exact_pooling import averaging_matrix, exact_adaptive_pooling
from tests.helpers.paddle_helpers import (
    FRAMES,
    HEIGHT,
    LEVELS,
    ULTRA_LIGHT,
    WIDTH,
    make_dataset,
    run_module,
    shared_run,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return shared_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def exported(shared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parity]:
    dataset, weights = shared
    out = tmp_path_factory.mktemp("exported") / "new" / "model.onnx"
    return out, export_onnx(ExportOptions(config=ULTRA_LIGHT, weights=weights, out=out, dataset=dataset))


def test_export_agrees_with_training(exported: tuple[Path, Parity]) -> None:
    out, parity = exported
    assert parity.frames == FRAMES["val"]
    assert parity.label_agreement >= 0.9999
    # Adaptive pooling as the converter writes it is off by 5e-4 here.
    assert parity.max_relative_difference < 1e-4
    assert sorted(path.name for path in out.parent.iterdir()) == ["model.json", "model.onnx"]


def test_card_is_beside_and_inside(exported: tuple[Path, Parity], shared: tuple[Path, Path]) -> None:
    out, parity = exported
    card, graph = read_card(out), onnx.load(str(out))
    embedded = {entry.key: entry.value for entry in graph.metadata_props}[METADATA_KEY]
    assert ModelCard.from_json(embedded, origin="embedded") == card
    assert card.parity == parity.figures()
    assert (card.grid.height_px, card.grid.width_px, card.num_levels) == (HEIGHT, WIDTH, LEVELS)
    assert card.name == ULTRA_LIGHT.stem
    assert card.dynamic_batch
    settings = load_settings(ULTRA_LIGHT, dataset=shared[0])
    assert (card.mean, card.std) == normalization_of(settings)
    assert card.dataset_manifest_sha256 == settings.manifest_sha256
    assert str(out.parent) not in embedded


@pytest.mark.parametrize("change", [{"mean": (0.485, 0.456, 0.406)}, {"std": (0.229, 0.224, 0.225)}])
def test_wrong_preprocessing_in_the_card_fails_parity(
    exported: tuple[Path, Parity], shared: tuple[Path, Path], tmp_path: Path, change: dict[str, Any]
) -> None:
    """Mistake 15: preprocessing that differs between training and inference."""
    dataset, weights = shared
    settings = load_settings(ULTRA_LIGHT, dataset=dataset)
    graph = onnx.load(str(exported[0]))
    del graph.metadata_props[:]
    onnx.save(graph, str(tmp_path / "bare.onnx"))
    model, split = load_trained(settings, weights), split_dataset(settings, "val")
    card = read_card(exported[0])
    measure_parity(model, split, tmp_path / "bare.onnx", card, 2).enforce()
    wrong = measure_parity(model, split, tmp_path / "bare.onnx", replace(card, **change), 2)
    with pytest.raises(WeightsError, match="disagrees"):
        wrong.enforce()


def test_disagreement_writes_nothing_and_keeps_what_was_there(
    shared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mistake 18: the old file is there until a better one is."""
    dataset, weights = shared
    out = tmp_path / "model.onnx"
    out.write_bytes(b"old model")
    card_path(out).write_text("old card")
    monkeypatch.setattr(export.exporter, "normalization_of", lambda _settings: ((0.4,) * 3, (0.2,) * 3))
    options = ExportOptions(config=ULTRA_LIGHT, weights=weights, out=out, dataset=dataset, batch="1", opset=16)
    with pytest.raises(WeightsError, match="disagrees"):
        export_onnx(options)
    assert out.read_bytes() == b"old model"
    assert card_path(out).read_text() == "old card"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("precision", "good", "bad"),
    [
        ("fp32", Parity(1, 9e-5, 0.9995), [Parity(1, 2e-4, 1.0), Parity(1, 0.0, 0.998), Parity(1, float("inf"), 1.0)]),
        ("fp16", Parity(1, 9e-3, 0.991, 1.0), [Parity(1, 0.0, 0.989), Parity(1, 0.0, float("nan"))]),
        ("int8-cpu", Parity(1, 9e-1, 0.9, 0.049), [Parity(1, 0.0, 1.0, 0.051)]),
        ("int8-trt", Parity(1, 0.0, 0.9, 0.0, 0.796, 0.8), [Parity(1, 0.0, 1.0, 0.0, 0.794, 0.8)]),
    ],
)
def test_bounds_of_parity(precision: Precision, good: Parity, bad: list[Parity]) -> None:
    good.enforce(precision)
    for parity in bad:
        with pytest.raises(WeightsError, match="disagrees"):
            parity.enforce(precision)


def finish(
    exported: Path, folder: Path, calibration: tuple[NDArray[np.float32], ...] = (), **changes: Any
) -> tuple[Path, ModelCard]:
    """Another file from the exported fp32 network: what `export_onnx` does after the conversion."""
    core = onnx.load(str(exported))
    del core.metadata_props[:]
    graph, card = finish_graph(core, replace(read_card(exported), **changes), lambda: calibration)
    onnx.save(graph, str(folder / "other.onnx"))
    return folder / "other.onnx", card


@pytest.fixture(scope="module")
def trained(shared: tuple[Path, Path]) -> tuple[Any, Any]:
    """The Paddle model and the split that it is compared on."""
    settings = load_settings(ULTRA_LIGHT, dataset=shared[0])
    return load_trained(settings, shared[1]), split_dataset(settings, "val")


@pytest.mark.parametrize("output", ["logits", "levels", "importance"])
@pytest.mark.parametrize("given", ["normalised", "rgb8"])
def test_ends_in_the_graph_compute_what_deployment_computes(
    exported: tuple[Path, Parity], trained: tuple[Any, Any], tmp_path: Path, given: str, output: str
) -> None:
    path, card = finish(exported[0], tmp_path, input_kind=given, output_kind=output)
    parity = measure_parity(*trained, path, card, 4)
    parity.enforce()
    assert parity.label_agreement >= 0.999
    graph = onnx.load(str(path)).graph
    # The last enlargement and the pooling become two products; what only the enlargement needed is gone.
    assert (graph.node[-1].op_type == "Resize") == (output == "logits")
    assert {name for node in graph.node for name in node.output} >= {value.name for value in graph.output}


def test_wrong_normalisation_in_the_graph_fails_parity(
    exported: tuple[Path, Parity], trained: tuple[Any, Any], tmp_path: Path
) -> None:
    path, card = finish(exported[0], tmp_path, input_kind="rgb8", output_kind="importance", mean=(0.485, 0.456, 0.406))
    with pytest.raises(WeightsError, match="disagrees"):
        measure_parity(*trained, path, card, 4).enforce()


@pytest.mark.parametrize("output", ["logits", "importance"])
def test_half_precision(
    exported: tuple[Path, Parity], shared: tuple[Path, Path], trained: tuple[Any, Any], tmp_path: Path, output: str
) -> None:
    path, card = finish(exported[0], tmp_path, precision="fp16", input_kind="rgb8", output_kind=output)
    # A share of 0.99 needs more than a hundred macroblocks.
    train = split_dataset(load_settings(ULTRA_LIGHT, dataset=shared[0]), "train")
    measure_parity(trained[0], train, path, card, 12).enforce("fp16")
    kinds = {constant.data_type for constant in onnx.load(str(path)).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds


@pytest.mark.parametrize(
    ("precision", "zero_type"), [("int8-cpu", onnx.TensorProto.UINT8), ("int8-trt", onnx.TensorProto.INT8)]
)
def test_integers_for_cpus_and_for_tensorrt(
    exported: tuple[Path, Parity],
    shared: tuple[Path, Path],
    trained: tuple[Any, Any],
    tmp_path: Path,
    precision: Precision,
    zero_type: int,
) -> None:
    train = split_dataset(load_settings(ULTRA_LIGHT, dataset=shared[0]), "train")
    frames = tuple(train[index][0][None] for index in range(len(train)))
    path, card = finish(exported[0], tmp_path, frames, precision=precision, input_kind="rgb8", output_kind="importance")
    parity = measure_parity(*trained, path, card, 4)
    # A network trained for a minute is unsure everywhere, so the bound of `enforce` need not hold here.
    assert parity.level_error < 0.2
    graph = onnx.load(str(path)).graph
    zeros = {constant.name: constant for constant in graph.initializer}
    activations = {zeros[node.input[2]].data_type for node in graph.node if node.op_type == "QuantizeLinear"}
    assert activations == {zero_type}
    kinds = {zeros[node.input[0]].data_type for node in graph.node if node.input and node.input[0] in zeros}
    # TensorRT refuses an int32 bias.
    assert (onnx.TensorProto.INT32 in kinds) == (precision == "int8-cpu")


def test_int8_is_calibrated_on_the_train_split(
    shared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def note(settings: Any, split: str) -> Any:
        seen.append(split)
        return split_dataset(settings, split)

    monkeypatch.setattr(export.exporter, "split_dataset", note)
    options = ExportOptions(
        config=ULTRA_LIGHT, weights=shared[1], out=tmp_path / "m.onnx", dataset=shared[0], precision="int8-cpu",
        input="rgb8", output="importance",
    )  # fmt: skip
    monkeypatch.setattr(Parity, "enforce", lambda *_: None)  # a network trained for a minute may lose too much
    export_onnx(options)
    assert read_card(options.out).precision == "int8-cpu"
    assert seen == ["val", "train"]


def test_pooling_and_enlargement_as_matrices() -> None:
    grid = Grid(50, 90, scale=3, name="sr")
    pixels = np.random.default_rng(0).normal(size=(2, 50, 90)).astype(np.float32)
    pooling = pooling_matrices(grid)
    np.testing.assert_allclose(pooling.rows @ pixels @ pooling.cols.T, grid.pool(pixels), atol=1e-5)


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        (subprocess.CompletedProcess([], -6, "", "Aborted in paddle2onnx"), "code -6: Aborted"),
        (subprocess.CompletedProcess([], 0, "", ""), "code 0"),
        (subprocess.TimeoutExpired([], 1), "did not finish"),
    ],
)
def test_a_converter_that_dies_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Any, complaint: str
) -> None:
    def fake_run(*_arguments: Any, **_options: Any) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(subprocess, "run", fake_run)
    with pytest.raises(WeightsError, match=complaint):
        paddle_to_onnx(tmp_path, opset=17)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"out": Path("model.bin")}, "must end in .onnx"),
        ({"opset": 5}, "opset=5 must be from 11 to 21"),
        ({"frames": 0}, "frames=0 must be at least 1"),
        ({"calibration_frames": 0}, "calibration_frames=0 must be at least 1"),
        ({"opts": ("train_dataset.transforms=[{type: Normalize, mean: [0.1], std: [0.5]}]",)}, "the same Normalize"),
    ],
)
def test_bad_options_are_refused(
    shared: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], complaint: str
) -> None:
    options = ExportOptions(config=ULTRA_LIGHT, weights=shared[1], out=tmp_path / "m.onnx", dataset=shared[0])
    monkeypatch.setattr(export.exporter, "paddle_to_onnx", _empty_graph)
    with pytest.raises(OptionError, match=complaint):
        export_onnx(replace(options, **change))
    assert not list(tmp_path.iterdir())


def _empty_graph(*_arguments: Any, **_options: Any) -> onnx.ModelProto:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([], "empty", [value], [value])
    return onnx.helper.make_model(graph)


def note_origin(weights: Path, dataset: Path) -> None:
    origin = Origin.of(load_settings(ULTRA_LIGHT, dataset=dataset))
    weights.with_name(ORIGIN).write_text(origin.text())


def test_weights_of_another_dataset_are_noticed(
    shared: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, weights = shared
    copied = tmp_path / "train" / "best_model" / "model.pdparams"
    copied.parent.mkdir(parents=True)
    copied.write_bytes(weights.read_bytes())
    larger = make_dataset(tmp_path / "larger", height_px=HEIGHT + 16)
    note_origin(copied, larger)
    options = ExportOptions(ULTRA_LIGHT, copied, tmp_path / "out" / "m.onnx", dataset=dataset)
    with pytest.raises(OptionError, match=f"trained on frames of {WIDTH} x {HEIGHT + 16}"):
        export_onnx(options)
    assert not (tmp_path / "out" / "m.onnx").exists()
    note_origin(copied, make_dataset(tmp_path / "same", frames={"train": 1, "val": 1}))
    export_onnx(options)
    said = capsys.readouterr().out
    assert f"dataset {dataset}: frames of {WIDTH} x {HEIGHT}" in said and "trained on another dataset" in said
    copied.with_name(ORIGIN).write_text("{}")
    with pytest.raises(WeightsError, match="cannot read"):
        export_onnx(options)


def test_an_empty_split_is_refused(shared: tuple[Path, Path], tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", frames={**FRAMES, "val": 0})
    options = ExportOptions(config=ULTRA_LIGHT, weights=shared[1], out=tmp_path / "m.onnx", dataset=dataset)
    with pytest.raises(DatasetError, match="val split has no frames"):
        export_onnx(options)


@pytest.mark.parametrize(("height", "width"), [(6, 8), (2, 3), (12, 20), (7, 5)])
@pytest.mark.parametrize("bins", [1, 2, 4])
def test_exact_pooling_is_paddles_pooling(height: int, width: int, bins: int) -> None:
    import paddle

    values = np.random.default_rng(0).normal(size=(2, 3, height, width)).astype(np.float32)
    expected = paddle.nn.functional.adaptive_avg_pool2d(paddle.to_tensor(values), bins).numpy()
    with exact_adaptive_pooling():
        found = paddle.nn.AdaptiveAvgPool2D(bins)(paddle.to_tensor(values)).numpy()
    assert np.allclose(found, expected, atol=1e-6)
    by_matrix = averaging_matrix(height, bins) @ values @ averaging_matrix(width, bins).T
    assert np.allclose(by_matrix, expected, atol=1e-6)


def test_worker_module_reports_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "model.pdiparams").write_bytes(b"")
    assert run_module("export.conversion_worker", tmp_path, 17).returncode != 0
    assert not (tmp_path / "model.onnx").exists()
