"""Adapters of detection libraries: the contract on random weights, and boxes and scores against the library's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import effdet
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import detection

from deploy.core.errors import OptionError, WeightsError
from deploy.detectors.classes import COCO_CLASSES
from deploy.inputs.video import Frame
from labeling.core.weights import cached_download, read_state
from labeling.detectors import Detections, Detector, create_detector
from labeling.detectors.coco import COCO_IDS
from tests.helpers.detector_contract import DetectorContract, Make, assert_same, busy
from tests.helpers.http_server import serving

TORCHVISION = {
    "fasterrcnn-mobilenet": "fasterrcnn_mobilenet_v3_large_fpn",
    "retinanet": "retinanet_resnet50_fpn",
    "fcos": "fcos_resnet50_fpn",
    "ssdlite": "ssdlite320_mobilenet_v3_large",
}
NAMES = ("efficientdet-d0", *TORCHVISION)
# The last layers of the classifiers, made loud so that something is detected.
CLASSIFIER = r"class_net\.predict\.conv_pw$|cls_score$|cls_logits$|classification_head\.module_list\.\d\.1$"


def random_network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    if name.startswith("efficientdet"):
        config = effdet.get_efficientdet_config("tf_" + name.replace("-", "_"))
        config.image_size = (256, 256)
        return effdet.EfficientDet(config, pretrained_backbone=False)
    return getattr(detection, TORCHVISION[name])(weights=None, weights_backbone=None, num_classes=91)


def wake(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Normalize by what comes in now, without which the signal of random weights dies away."""
    module.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
    module.running_var.fill_(inputs[0].var() + 1e-6)


def make_loud(network: torch.nn.Module, images: Tensor) -> None:
    """Scale the classifiers so that their logits are within -3 .. 3 on these images.

    On frames of another size those of EfficientDet grow until all scores are 1.
    """
    hooks = [m.register_forward_pre_hook(wake) for m in network.modules() if hasattr(m, "running_var")]
    layers = [module for name, module in network.named_modules() if re.search(CLASSIFIER, name)]
    assert layers
    outputs: dict[torch.nn.Module, list[Tensor]] = {layer: [] for layer in layers}
    for layer in layers:
        layer.bias.data.zero_()
        layer.weight.data.normal_()
        layer.register_forward_hook(lambda layer, _, output: outputs[layer].append(output))
    with torch.no_grad():
        padded = torch.nn.functional.pad(
            (images - 0.45) / 0.225, (0, -images.shape[3] % 128, 0, -images.shape[2] % 128)
        )
        network.eval()(padded if isinstance(network, effdet.EfficientDet) else list(images))
    for hook in hooks:
        hook.remove()
    for layer in layers:
        layer.weight.data *= 3 / torch.cat([output.flatten() for output in outputs[layer]]).abs().max()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, images: Tensor) -> Callable[[str], Path]:
    """Random weights of a network in a file, made once."""
    folder = tmp_path_factory.mktemp("weights")

    def make(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            network = random_network(name)
            make_loud(network, images)
            save_file({key: value.contiguous() for key, value in network.state_dict().items()}, str(path))
        return path

    return make


def make(name: str, path: Path, **settings: object) -> Detector:
    return create_detector(name, **({"weights": path, "classes": COCO_CLASSES} | settings))


@pytest.fixture(params=NAMES)
def maker(request: pytest.FixtureRequest, weights: Callable[[str], Path]) -> Make:
    return partial(make, request.param, weights(request.param))


class TestContract(DetectorContract):
    """Of each of them."""

    def test_it_is_called_as_it_was_asked_for(self, request: pytest.FixtureRequest, maker: Make) -> None:
        assert maker().name == request.node.callspec.params["maker"]


def from_ids(boxes: Tensor, scores: Tensor, ids: Tensor, least: float) -> Detections:
    """The library's detections in our numbering; ids that COCO gave up are left out."""
    keep = torch.tensor([float(s) >= least and int(i) in COCO_IDS for s, i in zip(scores, ids, strict=True)]).bool()
    keep &= (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    kinds = torch.tensor([COCO_IDS.index(int(i)) for i in ids[keep]])
    return Detections(boxes[keep], scores[keep], kinds)


@pytest.mark.parametrize(("height", "width"), [(128, 256), (256, 128), (150, 210), (210, 150), (128, 384)])
def test_efficientdet_is_effdets_own(tmp_path: Path, vtest_frames: list[Frame], height: int, width: int) -> None:
    """Landscape, portrait, and sizes that need padding, against effdet's bench on a frame padded by hand."""
    image = torch.from_numpy(vtest_frames[0].image[60 : 60 + height, 100 : 100 + width].copy())
    image = image.permute(2, 0, 1)[None].float() / 255
    rows, cols = -(-height // 128) * 128, -(-width // 128) * 128
    config = effdet.get_efficientdet_config("tf_efficientdet_d0")
    config.image_size, config.max_det_per_image = (rows, cols), 5000
    torch.manual_seed(0)
    network = effdet.EfficientDet(config, pretrained_backbone=False)
    make_loud(network, image)
    path = tmp_path / "random.safetensors"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, str(path))
    detector = busy(partial(make, "efficientdet-d0", path), image)
    mean, deviation = (
        torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    padded = mean.expand(1, 3, rows, cols).clone()
    padded[..., :height, :width] = image
    size = {"img_scale": torch.ones(1), "img_size": torch.tensor([[float(width), float(height)]])}
    with torch.no_grad():
        bench = effdet.DetBenchPredict(network)((padded - mean) / deviation, size)[0]
        (found,) = detector.detect(image)
    assert_same(found, from_ids(bench[:, :4], bench[:, 4], bench[:, 5], detector.score_threshold))


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_is_torchvisions_own(name: str, weights: Callable[[str], Path], images: Tensor) -> None:
    detector = busy(partial(make, name, weights(name)), images)
    own = random_network(name).eval()
    own.load_state_dict(read_state(weights(name)))
    (own.roi_heads if name.startswith("fasterrcnn") else own).score_thresh = 0.01
    if name != "ssdlite":
        own.transform.min_size = (150,)
    with torch.no_grad():
        wanted = own(list(images[:1]))[0]
        (found,) = detector.detect(images[:1])
    assert_same(found, from_ids(wanted["boxes"], wanted["scores"], wanted["labels"], detector.score_threshold))


def test_coco_ids() -> None:
    """Mistake 16: against torchvision's list of names by id."""
    names = detection.FCOS_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    assert len(COCO_IDS) == 80
    assert [names[identifier] for identifier in COCO_IDS] == list(COCO_CLASSES)


@pytest.mark.parametrize("name", ["efficientdet-d7x", "fcos", "ssdlite"])
def test_offline_says_where_the_weights_belong(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="offline") as caught:
        create_detector(name, offline=True)
    assert str(tmp_path) in caught.value.hint and "curl" in caught.value.hint and "https://" in caught.value.hint


def test_downloads_are_checked_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Right once, then without any server; damaged ones are refused."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    body, served = b"weights", tmp_path / "served"
    served.mkdir()
    right, wrong = f"net-{hashlib.sha256(body).hexdigest()[:8]}.pth", "net-9c0294dc.pth"
    for name in (right, wrong):
        (served / name).write_bytes(body)
    with serving(served) as address:
        with pytest.raises(WeightsError, match="has checksum"):
            cached_download(f"{address}/{wrong}", offline=False)
        with pytest.raises(WeightsError, match="cannot download"):
            cached_download(f"{address}/missing-00000000.pth", offline=False)
        path = cached_download(f"{address}/{right}", offline=False)
    assert path.read_bytes() == body and cached_download(f"{address}/{right}", offline=True) == path
    path.write_bytes(b"other")
    with pytest.raises(WeightsError, match="damaged"):
        cached_download(f"{address}/{right}", offline=True)


@pytest.mark.parametrize("name", ["efficientdet-d0", "retinanet"])
def test_wrong_weights_are_told(name: str, weights: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=f"does not match {name}"):
        create_detector(name, weights=weights("ssdlite"))
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    with pytest.raises(WeightsError, match="not plain weights"):
        create_detector(name, weights=text)
    with pytest.raises(WeightsError, match="not found"):
        create_detector(name, weights=tmp_path / "none.pth")
    with pytest.raises(OptionError, match="no class"):
        create_detector(name, weights=weights(name), classes=("persons",))
