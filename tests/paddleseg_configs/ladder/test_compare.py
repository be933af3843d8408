"""Models side by side: counting, stages, tables, and a comparison of real ones from video to page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploy.core.errors import OptionError, RegenError, WeightsError
from deploy.detectors.matching import MatchCounts
from labeling.core.stages import Stage, run_stage, words_of
from labeling.utility.curves import Counts, make_curve
from labeling.utility.record import UtilityReport
from paddleseg_configs.ladder import ladder_check
from paddleseg_configs.ladder.ladder_check import BEGIN, END, check_ladder, table, write_table
from paddleseg_configs.ladder.macs import count_macs
from paddleseg_configs.ladder.model_runs import check_name, model_folder
from paddleseg_configs.ladder.options import CheckOptions, CompareOptions
from paddleseg_configs.ladder.page import write_pages
from paddleseg_configs.ladder.record import LadderReport, Latency, Measurement, ModelRow, Settings, read_report
from paddleseg_configs.ladder.tables import difference, tables
from tests.helpers.label_helpers import SMALL, crop_clip, run_script
from tests.helpers.paddle_helpers import make_dataset

MODEL = "mobileseg_mobilenetv3_small_x035"
SEGMENTS = np.array([0, 0, 1, 1])


def write_graph(path: Path, height: int | None) -> Path:
    """A convolution of 8 filters 3 x 3 over 4 channels in 2 groups, then a product with a 6 x 5 matrix."""
    weights = {"kernel": np.zeros((8, 2, 3, 3), np.float32), "matrix": np.zeros((6, 5), np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernel"], ["y"], group=2, pads=[1, 1, 1, 1]),
            helper.make_node("MatMul", ["y", "matrix"], ["z"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, height, 6])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return path


def test_macs_are_counted_by_hand(tmp_path: Path) -> None:
    assert count_macs(write_graph(tmp_path / "m.onnx", 7)) == 8 * 7 * 6 * 2 * 9 + 8 * 7 * 5 * 6
    with pytest.raises(WeightsError, match="is not fixed"):
        count_macs(write_graph(tmp_path / "free.onnx", None))


def test_stages_run_once_and_say_why_they_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, source = tmp_path / "made.txt", tmp_path / "source.txt"
    source.write_text("1")
    code = f"import pathlib; pathlib.Path({str(made)!r}).open('a').write('x')"
    stage = Stage("s", ("-c", code), (source,), (made,))
    for _ in range(2):
        run_stage(stage, tmp_path / "stamps")
    assert made.read_text() == "x" and "up to date" in capsys.readouterr().out
    source.write_text("2")
    run_stage(stage, tmp_path / "stamps")
    assert made.read_text() == "xx"
    failing = Stage("f", ("-c", "import sys; print('error: no luck\\n hint: x', file=sys.stderr); sys.exit(2)"), (), ())
    with pytest.raises(RegenError, match="exit code 2: no luck"):
        run_stage(failing, tmp_path / "stamps", tmp_path / "log.txt")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("SIGKILL", RegenError), ("SIGTERM", RegenError), ("SIGSEGV", RegenError), ("SIGINT", KeyboardInterrupt)],
)
def test_only_ctrl_c_interrupts_a_stage(name: str, kind: type[BaseException], tmp_path: Path) -> None:
    stage = Stage("s", ("-c", f"import os, signal; os.kill(os.getpid(), signal.{name})"), (), ())
    with pytest.raises(kind) as caught:
        run_stage(stage, tmp_path / "stamps", tmp_path / "log.txt")
    assert kind is KeyboardInterrupt or f"was killed by {name}" in str(caught.value)


def test_stages_find_what_the_user_named_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-here").write_text("found")
    script = "import pathlib, sys; sys.exit(pathlib.Path(sys.argv[1]).read_text() != 'found')"
    command = words_of(["-c", script, Path("-here")])
    run_stage(Stage("look", command, (Path("-here"),), ()), tmp_path / "stamps")
    assert command[2] == str(tmp_path / "-here") and (tmp_path / "stamps" / "look.txt").is_file()


def report_of(failure: str = "out of luck") -> LadderReport:
    """Two models, one of which failed, and a baseline."""
    latency = Latency(p50_ms=2.0, p95_ms=3.0, network_p50_ms=1.5, runtime="onnxruntime")
    metrics = {"quadratic_kappa": 0.5, "mean_level_error": 1.0, "rank_correlation": None}
    measured = Measurement(gmac=0.5, latency={"onnxruntime": latency}, frames=4, metrics=metrics)
    rows = (
        ModelRow(
            name="m", description="M", parameters=10**6, iters=5, epochs=2, seconds_per_iter=0.5, measured=measured
        ),
        ModelRow(name="bad", description="B", failure=failure),
    )
    wanted = {"m": [4, 4, 8, 8], "random": [2, 4, 4, 6]}
    frames: list[Counts] = [
        {(name, k): MatchCounts(f, 10, 10) for name, found in wanted.items() for k, f in budgets(found[i])}
        for i in range(4)
    ]
    utility = UtilityReport(
        split="test",
        num_frames=4,
        num_segments=2,
        segments=tuple(SEGMENTS.tolist()),
        manifest_sha256="0" * 64,
        models={"m": "1" * 64},
        curves=tuple(make_curve(name, "true", frames, SEGMENTS, [0, 0.2, 1]) for name in wanted),
    )
    settings = Settings(
        dataset="d", manifest_sha256="0" * 64, max_iters=5, minutes=None, batch_size=2, seed=0, opts=(), machine="x",
        versions={},
    )  # fmt: skip
    return LadderReport(settings=settings, rows=rows, utility=utility)


def budgets(matched: int) -> list[tuple[float, int]]:
    """Matches at nothing, a fifth and everything enhanced."""
    return [(0.0, 2), (0.2, matched), (1.0, 9)]


def test_tables_say_what_was_found(tmp_path: Path) -> None:
    report = report_of()
    found = {re.split(", |:", table.title)[0]: table for table in tables(report)}
    assert found["Cost"].rows[1][:2] == ("bad", "failed: out of luck")
    assert "Only 4 frames in 2 segments" in found["Detection accuracy"].note
    assert all(len(row) == len(table.header) for table in found.values() for row in table.rows)
    worth = {row[0]: row for row in found["Detection accuracy"].rows}
    assert worth["m"][1].startswith("0.400") and worth["m"][2] == "0.600 (0.400, 0.800)"
    assert worth["m"][3] == "+0.100 (0.050, 0.150)" and worth["random"][3] == "+0.000 (0.000, 0.000)"
    write_pages(report, tmp_path / "zoo")
    text = (tmp_path / "zoo.md").read_text()
    assert "| bad | failed: out of luck |" in text and "0.600 (0.400, 0.800)" in text
    assert report.utility is not None
    curves = {curve.method: curve for curve in report.utility.curves}
    assert difference(curves["m"], curves["random"], SEGMENTS.tolist())[0] == pytest.approx(0.1)


def test_the_readmes_table_is_replaced_between_its_marks(tmp_path: Path) -> None:
    text = table(report_of().rows, "64 x 96", "a machine")
    assert "| `m` | M | 1.00 | 0.50 | 2.0 / 3.0 | batch 1 |" in text
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(path, text)
    assert path.read_text() == f"before\n{BEGIN}\n{text}\n{END}\nafter\n"
    path.write_text("no marks")
    with pytest.raises(RegenError, match="lacks"):
        write_table(path, text)


def test_another_schedule_has_another_folder(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", frames={"train": 1})
    folders = {model_folder(MODEL, CompareOptions(dataset, out=tmp_path, iters=iters)) for iters in (3, 4, 3)}
    assert len(folders) == 2
    with pytest.raises(OptionError, match="no model 'nothing'"):
        check_name("nothing")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budgets": (0.1, 2.0)}, "must be between 0 and 1"),
        ({"extra": ("model.onnx",)}, "is not NAME=PATH"),
        ({"extra": ("mine=absent.onnx",)}, "absent.onnx does not exist"),
        ({"other_labels": ("mine=absent",)}, "absent does not exist"),
        ({"iters": 0}, "iters=0 must be at least 1"),
    ],
)
def test_bad_options_are_told_before_any_training(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        CompareOptions(Path("dataset"), **options)


@pytest.fixture(scope="module")
def compared(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    folder = tmp_path_factory.mktemp("compare")
    clip, dataset = crop_clip(vtest, folder / "person.avi", count=24), folder / "dataset"
    made = run_script("labeling/make_labels.py", clip, "--out", dataset, *SMALL, "--split", "0.4", "0.3", "0.3")
    assert made.returncode == 0, made.stderr
    command: list[object] = [dataset, "--out", folder / "models", "--report", folder / "zoo", "--max-frames", "2"]
    command += ["--models", MODEL, "accmodel", "--accmodel-features", folder / "absent.pth"]
    command += ["--iters", "2", "--batch-size", "2", "--budgets", "0.1", "0.2"]
    result = compare(command)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, command


def compare(command: list[object]) -> subprocess.CompletedProcess[str]:
    return run_script("paddleseg_configs/compare.py", *command)


def test_comparison_of_real_models(compared: tuple[Path, list[object]]) -> None:
    folder, _ = compared
    report = read_report(folder / "zoo.json")
    good, bad = report.rows
    assert good.name == MODEL and not good.failure and good.measured is not None and good.parameters is not None
    assert 0.1e6 < good.parameters < 0.3e6 and 0 < good.measured.gmac < 0.2 and good.iters == 2
    assert good.measured.latency["onnxruntime"].p50_ms > 0 and good.parity["label_agreement"] > 0.999
    assert bad.name == "accmodel" and "weights not found" in bad.failure and bad.measured is None
    assert report.utility is not None and report.utility.num_frames == 2
    methods = {curve.method for curve in report.utility.curves}
    assert methods >= {MODEL, "label", "random", "edges", "|SR - IN|", "boxes + 32 px", "boxes + 64 px"}
    assert "label of the frame before" in methods
    assert json.loads((folder / "zoo.json").read_text())["schema_version"] == 1


def test_comparison_goes_on_where_it_was(compared: tuple[Path, list[object]]) -> None:
    folder, command = compared
    before = (folder / "zoo.json").read_bytes()
    result = compare(command)
    assert (
        result.returncode == 0 and result.stdout.count("up to date") == 5
    )  # baselines, train, export, measure, utility
    assert (folder / "zoo.json").read_bytes() == before


def test_models_stay_in_the_utility_when_only_the_baselines_are_made_again(compared: tuple[Path, list[object]]) -> None:
    folder, command = compared
    before = (folder / "zoo.json").read_bytes()
    (folder / "models" / "stamps" / "baselines.txt").unlink()
    result = compare(command)
    assert result.returncode == 0 and result.stdout.count("up to date") == 4, result.stdout
    assert (folder / "zoo.json").read_bytes() == before


def test_reuse_of_predictions_is_measured(compared: tuple[Path, list[object]], tmp_path: Path) -> None:
    folder, _ = compared
    (model,) = folder.glob(f"models/*/{MODEL}.onnx")
    measured = run_script(
        "benchmarks/temporal_reuse.py", "--dataset", folder / "dataset", "--model", model, "--json", tmp_path / "r.json"
    )
    assert measured.returncode == 0, measured.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["rules"][0]["predicted"] == 1 and all(0 <= row["f1_top20"] <= 1 for row in report["rules"])
    assert set(report["f1_bounds"]) == {"nothing enhanced", "label", "random"}


def test_the_ladder_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = CheckOptions(
        make_dataset(tmp_path / "dataset"), models=("blockseg_" + MODEL[10:],), out=tmp_path, iters=1
    )
    check_ladder(options)
    (row,) = [ModelRow.model_validate_json(path.read_bytes()) for path in tmp_path.glob("*/row.json")]
    assert row.dynamic_batch and row.measured is not None and row.parity["label_agreement"] > 0.999
    check_ladder(options)
    assert "up to date" in capsys.readouterr().out

    def refuse(*_arguments: object) -> bool:
        raise WeightsError("the converter died", hint="")

    monkeypatch.setattr(ladder_check.ModelStages, "export", refuse)
    with pytest.raises(RegenError, match=f"1 of 1 models failed: {MODEL}"):
        check_ladder(replace(options, models=(MODEL,)))
    assert f"{MODEL}: the converter died" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed (apt-get install chromium)")
def test_page_renders_in_a_browser(compared: tuple[Path, list[object]]) -> None:
    from playwright.sync_api import sync_playwright

    page_path = compared[0] / "zoo.html"
    text = page_path.read_text()
    assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text  # self-contained
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1240, "height": 900})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(page_path.as_uri())
        widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
        rows = page.eval_on_selector_all("tbody tr", "rows => rows.map(row => row.cells[0].textContent)")
        overflow = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        browser.close()
    assert complaints == [] and not overflow
    assert len(widths) == 3 and min(widths) > 0  # Pareto, and F1 against either reference
    assert {MODEL, "accmodel", "label", "random"} <= set(rows)
