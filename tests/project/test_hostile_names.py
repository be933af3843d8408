"""Names with spaces, newlines, other scripts, dashes, colons, no encoding, or of great length, through the commands.

They work, or are refused in one message. Lists, links and archives do not lead out of their folder, and no shell ever
reads a name.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from deploy.core.errors import DatasetError
from labeling.dataset.checking import check_dataset
from labeling.dataset.lists import read_pairs, stays_inside
from labeling.dataset.manifest import read_manifest
from tests.helpers.deploy_helpers import card_of, striped_frame, write_model
from tests.helpers.deploy_helpers import write_video as write_h264
from tests.helpers.fault_helpers import call, one_message
from tests.helpers.label_helpers import REPOSITORY, SMALL, crop_clip
from tests.helpers.paddle_helpers import ULTRA_LIGHT, make_dataset, shared_run

NAMES = {
    "spaces": " a  b ",
    "newline": "a\nb",
    "scripts": "影 é ☂",
    "dash": "-clip",
    "address": "http:clip",
    "list": "concat:a|b",
    "shell": "a'b\"c;$(touch ran)`touch ran`&",
    "pattern": "%03d*?[x]",
    "no encoding": os.fsdecode(b"a\xff\xfeb"),
    "long": "x" * 200,
}
ALL_AT_ONCE = "- 影'\n%03d;$(touch ran)"
TOO_LONG = "x" * 300
TINY = (*SMALL[:4], "--gap-seconds", 0, "--every", 2, "--upscaler", "reference")


def names_here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


@pytest.fixture(scope="module")
def clip(vtest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crop_clip(vtest, tmp_path_factory.mktemp("clip") / "person.avi", count=8)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are given relative to the current folder, where a dash or a colon counts."""
    monkeypatch.chdir(tmp_path)


def label(monkeypatch: pytest.MonkeyPatch, video: str, out: str) -> int:
    return call(monkeypatch, "labeling.make_labels", f"./{video}", *TINY, f"--out=./{out}")


@pytest.mark.parametrize("kind", NAMES)
def test_labelling(kind: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = NAMES[kind]
    shutil.copy(clip, f"{name}.avi")
    assert label(monkeypatch, f"{name}.avi", name) == 0
    assert list(check_dataset(tmp_path / name)) == []
    (source,) = read_manifest(tmp_path / name).sources
    assert source.path.isprintable() or kind == "newline"
    assert names_here() == sorted([name, f"{name}.avi"])


@pytest.mark.parametrize("kind", NAMES)
def test_inference(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = NAMES[kind]
    write_model(Path("model.onnx"), card_of())
    called = "model" if kind == "no encoding" else name  # ONNX Runtime takes UTF-8 only
    Path("model.onnx").rename(f"{called}.onnx")
    Path("model.json").rename(f"{called}.json")
    write_h264(Path("video.mp4"), [striped_frame()] * 3).rename(f"{name}.mp4")
    Path(f"images{name}").mkdir()
    Image.fromarray(striped_frame()).save("image.png")
    Path("image.png").rename(f"images{name}/{name}.png")
    inputs = [f"./{name}.mp4", f"./images{name}"]
    model = ["--model", f"./{called}.onnx", "--input", *inputs, f"--out=./{name}", "--overlay-video"]
    assert call(monkeypatch, "deploy.trt_infer", *model) == 0
    first, second = sorted((tmp_path / name).glob("stream-*"))
    assert json.loads((tmp_path / name / "latency.json").read_text())["num_frames"] == 4
    assert len((first / "blocks.jsonl").read_text().splitlines()) == 3
    with np.load(second / "importance.npz", allow_pickle=False) as stored:
        assert stored["image_names"].tolist() == [f"{name}.png"]
    assert not Path("ran").exists()


def test_training_and_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = ALL_AT_ONCE
    make_dataset(tmp_path / name)
    trained_from = [f"--config={ULTRA_LIGHT}", f"--dataset=./{name}"]
    train = ["--iters", 1, "--batch_size", 2, f"--save_dir=./{name}-train", "--do_eval"]
    assert call(monkeypatch, "paddleseg_configs.training.train", *trained_from, *train) == 0
    weights, out = Path(f"{name}-train") / "best_model" / "model.pdparams", Path(f"{name}.onnx")
    shutil.copy(shared_run(tmp_path_factory.getbasetemp())[1], weights)
    export = [f"--weights=./{weights}", f"--out=./{out}", "--frames", 1]
    assert call(monkeypatch, "export.export_onnx", *trained_from, *export) == 0
    assert names_here() == sorted([name, f"{name}-train", f"{name}.json", f"{name}.onnx"])


def test_what_libraries_cannot_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime and Paddle's converter take no names that are not UTF-8."""
    name = NAMES["no encoding"]
    write_model(Path("model.onnx"), card_of())
    Path("model.onnx").rename(f"{name}.onnx")
    Path("model.json").rename(f"{name}.json")
    infer = ["--model", f"{name}.onnx", "--input", "model.mp4", "--out", "out"]
    assert call(monkeypatch, "deploy.trt_infer", *infer) == 2
    one_message(capsys)
    export = [f"--config={ULTRA_LIGHT}", "--weights", "model.pdparams", "--out", f"{name}.onnx"]
    assert call(monkeypatch, "export.export_onnx", *export) == 2
    assert "is not UTF-8" in one_message(capsys)


def test_names_that_no_file_system_takes(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(clip, "clip.avi")
    write_model(Path("model.onnx"), card_of())
    dataset, config = make_dataset(Path("dataset")), f"--config={ULTRA_LIGHT}"
    commands = [
        ("labeling.make_labels", [f"{TOO_LONG}.avi", "--out", "out"]),
        ("labeling.make_labels", ["clip.avi", *TINY, "--out", TOO_LONG]),
        ("deploy.trt_infer", ["--model", f"{TOO_LONG}.onnx", "--input", "clip.avi", "--out", "out"]),
        ("deploy.trt_infer", ["--model", "model.onnx", "--input", f"{TOO_LONG}.avi", "--out", "out"]),
        ("deploy.trt_infer", ["--model", "model.onnx", "--input", "clip.avi", "--out", TOO_LONG]),
        ("paddleseg_configs.training.train", [config, f"--dataset={TOO_LONG}"]),
        ("paddleseg_configs.training.train", [config, f"--dataset={dataset}", f"--save_dir={TOO_LONG}"]),
    ]
    before = names_here()
    for module, arguments in commands:
        assert call(monkeypatch, module, *arguments) == 2, (module, arguments)
        assert "x" * 250 in one_message(capsys)
        assert names_here() == before


@pytest.mark.parametrize("module", ["labeling.make_labels", "deploy.trt_infer"])
def test_a_leading_dash_is_refused_where_it_looks_like_an_option(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, module, "-clip.avi", "--out", "out") == 2
    assert "Traceback" not in capsys.readouterr().err and names_here() == []


def link(folder: Path, target: str) -> str:
    (folder / "origin_images" / "link.png").symlink_to(target)
    return "origin_images/link.png"


ESCAPES = {
    "above": lambda folder: "../secret.png",
    "above, later": lambda folder: "origin_images/../../secret.png",
    "absolute": lambda folder: str(folder.parent / "secret.png"),
    "backslashes": lambda folder: "..\\secret.png",
    "zero": lambda folder: "origin_images/\0/../../secret.png",
    "link": lambda folder: link(folder, "../../secret.png"),
    "absolute link": lambda folder: link(folder, str(folder.parent / "secret.png")),
    "link to itself": lambda folder: link(folder, "link.png"),
    "long": lambda folder: f"origin_images/{TOO_LONG}.png",
}


@pytest.mark.parametrize("kind", ESCAPES)
def test_lists_do_not_lead_out(kind: str, tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "secret.png")
    name = ESCAPES[kind](dataset)
    assert not stays_inside(dataset, name) or not (dataset / name[:200]).exists()
    listed = (dataset / "train.txt").read_text()
    (dataset / "train.txt").write_text(f"{name} labels/train_video/000000.png\n{listed}")
    with pytest.raises(DatasetError, match=r"points outside the dataset|does not exist"):
        read_pairs(dataset, "train")
    assert any(problem.file == "train.txt" for problem in check_dataset(dataset))


def detector_script() -> ModuleType:
    path = REPOSITORY / "datasets" / "get_demo_detector.py"
    spec = importlib.util.spec_from_file_location("get_demo_detector", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.parametrize("link_to", [None, "/etc/hostname", "../../../secret", "package/models/model.json"])
def test_archives_write_only_what_was_asked_for(link_to: str | None, tmp_path: Path) -> None:
    from deploy.core.errors import InputError

    (tmp_path / "secret").write_text("secret")
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        for name in ("../evil", "/evil", "package/models/../../evil"):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
        if link_to:
            member = tarfile.TarInfo("package/models/model.json")
            member.type, member.linkname = tarfile.SYMTYPE, link_to
            archive.addfile(member)
    with tarfile.open(tmp_path / "a.tgz") as archive, pytest.raises(InputError):
        detector_script()._take(archive, "model.json", "0" * 64, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*")) in (["a.tgz", "out", "secret"], ["a.tgz", "secret"])


def test_no_shell_reads_a_name() -> None:
    """Neither shell=True nor the functions that always use one, in all of the project's code."""
    calls = []
    for path in REPOSITORY.glob("*/**/*.py"):
        if ".venv" in path.parts or "runs" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                calls.append(node)
                name = ast.unparse(node.func)
                shell = [keyword.value for keyword in node.keywords if keyword.arg == "shell"]
                assert not shell or ast.unparse(shell[0]) == "False", f"{path}:{node.lineno}"
                assert name not in ("os.system", "os.popen", "subprocess.getoutput"), f"{path}:{node.lineno}"
    assert any(ast.unparse(node.func) == "subprocess.run" for node in calls)
