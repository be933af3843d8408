"""Detectors of transformers and detectron2, and detectors that are whole programs: the contract, on random weights."""

from __future__ import annotations

import importlib.util
import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
)

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.classes import COCO_CLASSES
from labeling.detectors import Detections, Detector, create_detector
from tests.helpers.detector_contract import DetectorContract, Make, assert_same, busy

SMALL_HEADS = {
    "num_labels": 80, "d_model": 32, "encoder_hidden_dim": 32, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_layers": 2, "num_queries": 30,
    "decoder_in_channels": [32, 32, 32],
}  # fmt: skip
DETECTRON2 = pytest.mark.skipif(
    importlib.util.find_spec("detectron2") is None, reason="detectron2 is not installed (it is not on PyPI)"
)
NAMES = (
    "rt-detr-r18", "d-fine-n", "export", "script-scores-by-class", "script-dictionary",
    pytest.param("detectron2-r50", marks=DETECTRON2),
)  # fmt: skip


class TinyDetector(nn.Module):
    """A cell of 16 x 16 pixels is a candidate; its scores hang on its own pixels alone."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Conv2d(3, 80, 16, stride=16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.score(x - 0.5)[0]
        row, col = torch.meshgrid(torch.arange(cells.shape[1]), torch.arange(cells.shape[2]), indexing="ij")
        left, top = col.flatten() * 16.0, row.flatten() * 16.0
        return torch.stack([left, top, left + 14, top + 15], dim=1), (4 * cells).flatten(1).t().sigmoid()


class TinyDictionary(nn.Module):
    """The same, the best class of each cell alone."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = TinyDetector()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        boxes, scores = self.inner(x)
        best = scores.max(dim=1)
        return {"boxes": boxes, "scores": best.values, "classes": best.indices}


def save_transformers(name: str, folder: Path) -> None:
    if name.startswith("rt-detr"):
        backbone = RTDetrResNetConfig(
            hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], embedding_size=16, layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        )  # fmt: skip
        config = RTDetrConfig(backbone_config=backbone, encoder_in_channels=[16, 32, 32], **SMALL_HEADS)
        network: nn.Module = RTDetrForObjectDetection(config)
    else:
        config = DFineConfig(encoder_in_channels=[512, 1024, 2048], backbone_config=HGNetV2Config(
            out_features=["stage2", "stage3", "stage4"]), **SMALL_HEADS)  # fmt: skip
        network = DFineForObjectDetection(config)
    for key, value in network.state_dict().items():
        if "class_embed" in key and key.endswith("weight"):
            value.normal_(std=0.2)
        elif ("class_embed" in key or "enc_score" in key) and key.endswith("bias"):
            value.zero_()
    network.save_pretrained(folder)


def save_detectron2(path: Path, images: Tensor) -> None:
    """As the model zoo's files are; the classifier is scaled so that its logits are within -3 .. 3 on these images."""
    from labeling.detectors.detectron2_models import _build

    network = _build("detectron2-r50").eval()
    layer, logits = network.roi_heads.box_predictor.cls_score, []
    layer.weight.data.normal_()
    hook = layer.register_forward_hook(lambda *call: logits.append(call[2]))
    with torch.no_grad():
        network([{"image": image.flip(0) * 255} for image in images])
    hook.remove()
    layer.weight.data *= 3 / torch.cat(logits).abs().max()
    state = {key: value.numpy() for key, value in network.state_dict().items()}
    path.write_bytes(pickle.dumps({"model": state, "__author__": "a test"}, protocol=2))


def save_program(name: str, path: Path) -> None:
    if name == "export":
        torch.export.save(torch.export.export(TinyDetector(), (torch.rand(1, 3, 96, 128),)), path)
    elif name == "script-dictionary":
        torch.jit.script(TinyDictionary()).save(str(path))
    else:
        torch.jit.script(TinyDetector()).save(str(path))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, images: Tensor) -> Callable[[str], Path]:
    """Random weights of a detector, made once."""
    folder = tmp_path_factory.mktemp("weights")

    def make(name: str) -> Path:
        torch.manual_seed(0)
        suffix = {"export": ".pt2", "detectron2-r50": ".pkl"}.get(name, ".pt" if name.startswith("script") else "")
        path = folder / f"{name}{suffix}"
        if not path.exists():
            if not suffix:
                save_transformers(name, path)
            else:
                save_detectron2(path, images) if suffix == ".pkl" else save_program(name, path)
        return path

    return make


def make(name: str, path: Path, **settings: object) -> Detector:
    registered = "torch-program" if path.suffix in (".pt", ".pt2") else name
    return create_detector(registered, **({"weights": path, "classes": COCO_CLASSES} | settings))


@pytest.fixture(params=NAMES)
def maker(request: pytest.FixtureRequest, weights: Callable[[str], Path]) -> Make:
    return partial(make, request.param, weights(request.param))


class TestContract(DetectorContract):
    """Of each of them."""


def test_rt_detr_is_transformers_own(weights: Callable[[str], Path], images: Tensor) -> None:
    """Against the library's resizing and its post-processing, at the frame's size."""
    path = weights("rt-detr-r18")
    detector = busy(partial(make, "rt-detr-r18", path), images)
    own = RTDetrForObjectDetection.from_pretrained(path).eval()
    processor = RTDetrImageProcessor(size={"height": 640, "width": 640}, do_normalize=False, do_rescale=False)
    with torch.no_grad():
        batch = processor(list(images), return_tensors="pt")
        wanted = processor.post_process_object_detection(
            own(**batch), threshold=detector.score_threshold, target_sizes=[(150, 210)] * 2
        )
        found = detector.detect(images)
    for mine, theirs in zip(found, wanted, strict=True):
        best = theirs["scores"].argsort(descending=True)[:20]  # it keeps as many as there are queries
        assert len(best) > 5
        torch.testing.assert_close(mine.scores[: len(best)], theirs["scores"][best], atol=2e-3, rtol=0)
        for kind, box in zip(theirs["labels"][best], theirs["boxes"][best], strict=True):
            box = box.clamp(min=0).minimum(torch.tensor([210.0, 150.0, 210.0, 150.0]))
            assert ((mine.boxes - box).abs().amax(dim=1)[mine.classes == kind] < 0.5).any()


@DETECTRON2
def test_detectron2_is_its_own(weights: Callable[[str], Path], images: Tensor) -> None:
    from labeling.detectors.detectron2_models import _build, _read

    path = weights("detectron2-r50")
    detector = busy(partial(make, "detectron2-r50", path), images)
    own = _build("detectron2-r50").eval()
    own.load_state_dict(_read(path))
    with torch.no_grad():
        wanted = own([{"image": images[0].flip(0) * 255, "height": 150, "width": 210}])[0]["instances"]
        (found,) = detector.detect(images[:1])
    keep = wanted.scores >= detector.score_threshold
    assert_same(found, Detections(wanted.pred_boxes.tensor[keep], wanted.scores[keep], wanted.pred_classes[keep]))


def test_an_export_stretches_frames_to_its_size(weights: Callable[[str], Path], images: Tensor) -> None:
    detector = busy(partial(make, "export", weights("export")), images)
    resized = nn.functional.interpolate(images[:1], (96, 128), mode="bilinear", antialias=True, align_corners=False)
    (small,) = make("export", weights("export"), score_threshold=detector.score_threshold).detect(resized)
    (found,) = detector.detect(images[:1])
    torch.testing.assert_close(found.boxes, small.boxes * torch.tensor([210 / 128, 150 / 96] * 2))


class Malicious:
    """Unpickled, it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, data in extra.items():
            new.writestr(f"{old.namelist()[0].split('/')[0]}/{name}", data)
    return target


@pytest.mark.parametrize("how", ["pickled weights", "sample inputs", "object", "legacy weights", "twice", "compiled"])
def test_archives_with_pickles_are_refused(how: str, weights: Callable[[str], Path], tmp_path: Path) -> None:
    evil = pickle.dumps(Malicious(tmp_path / "executed"))

    def change(name: str, data: bytes) -> bytes:
        if how == "pickled weights" and name.endswith("weights_config.json"):
            return data.replace(b'"use_pickle": false', b'"use_pickle": true')
        if how == "pickled weights" and "/weight_" in name:
            return evil
        return evil if how == "sample inputs" and "sample_inputs" in name else data

    extra = {
        "object": {"data/constants/custom_obj_0": evil},
        "legacy weights": {"data/weights/model.pt": evil},
        "twice": {"models/model.json": b"{}"},
        "compiled": {"data/aotinductor/model/a.so": b"\x7fELF"},
    }.get(how, {})
    with pytest.warns(UserWarning) if how == "twice" else nullcontext():
        path = rewritten(weights("export"), tmp_path / "evil.pt2", change, extra)
    with pytest.raises(WeightsError) as error:
        make("export", path)
    assert str(path) in str(error.value) and error.value.hint
    assert not (tmp_path / "executed").exists(), "code out of an archive was run"


class Answering(nn.Module):
    """Always the same detection, of any score and class."""

    def __init__(self, score: float, kind: int) -> None:
        super().__init__()
        self.score, self.kind = score, kind

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ones(1, 4) * 9, x.mean().reshape(1) * 0 + self.score, torch.full((1,), self.kind)


def test_what_fills_up_a_fixed_number_of_boxes_is_left_out(tmp_path: Path, images: Tensor) -> None:
    torch.jit.script(Answering(0.0, -1)).save(str(tmp_path / "m.pt"))
    found = create_detector("torch-program", weights=tmp_path / "m.pt").detect(images)
    assert [len(frame.scores) for frame in found] == [0, 0]


@pytest.mark.parametrize(
    ("score", "kind", "words"),
    [(90.0, 0, "from 0 to 90, not from 0 to 1"), (0.9, 91, "returns class 91, but there are 80")],
)
def test_answers_out_of_range_are_refused(tmp_path: Path, images: Tensor, score: float, kind: int, words: str) -> None:
    torch.jit.script(Answering(score, kind)).save(str(tmp_path / "m.pt"))
    with pytest.raises(WeightsError, match=words):
        create_detector("torch-program", weights=tmp_path / "m.pt").detect(images)


def test_programs_that_cannot_be_used(tmp_path: Path, weights: Callable[[str], Path], images: Tensor) -> None:
    with pytest.raises(OptionError, match="needs a file"):
        create_detector("torch-program")
    for name in ("text.pt", "text.pt2"):
        (tmp_path / name).write_text("no program")
        with pytest.raises(WeightsError, match="cannot read"):
            make("export", tmp_path / name)
    torch.jit.script(nn.Conv2d(3, 3, 1)).save(str(tmp_path / "convolution.pt"))
    with pytest.raises(WeightsError, match="returns") as error:
        make("export", tmp_path / "convolution.pt").detect(images)
    assert "(K, 80)" in error.value.hint


@pytest.mark.parametrize("name", ["rt-detr-r50", "d-fine-x"])
def test_offline_and_wrong_folders(
    name: str, tmp_path: Path, weights: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="offline, and") as error:
        create_detector(name, offline=True)
    assert "hf download" in error.value.hint and "--detector-weights" in error.value.hint
    with pytest.raises(WeightsError, match=r"config\.json not found"):
        make(name, tmp_path)
    other = weights("d-fine-n" if name.startswith("rt") else "rt-detr-r18")
    with pytest.raises(WeightsError, match="is a "):
        make(name, other)


@DETECTRON2
def test_detectron2_refuses_code(tmp_path: Path) -> None:
    path = tmp_path / "model_final_280758.pkl"
    path.write_bytes(pickle.dumps({"model": Malicious(tmp_path / "executed")}))
    with pytest.raises(WeightsError, match="not plain weights"):
        make("detectron2-r50", path)
    assert not (tmp_path / "executed").exists()
    with pytest.raises(OptionError, match="needs a file") as error:
        create_detector("detectron2-r101")
    assert "https://" in error.value.hint
