"""What the fuzz tests damage: for each kind of file a whole one, and what reads it."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import signal
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Target:
    """One kind of file."""

    name: str
    """Of the file."""
    make: Callable[[Path], None]
    """Fills a folder with the file, whole, and with all that belongs to it."""
    read: Callable[[Path], object]
    """Reads the file as the project does, given its path."""
    is_text: bool = False
    """Whether to damage words and numbers, too."""
    repair: Callable[[bytes], bytes] = bytes
    """Mends checksums of a damaged file, so that readers look further."""
    cost: int = 1
    """How many times fewer inputs it gets, because reading takes long."""

    @property
    def title(self) -> str:
        """What tells it from others."""
        return self.name if self.repair is bytes else f"{self.name} ({self.repair.__name__})"


def make_dataset(folder: Path) -> None:
    """A dataset of the contract, of few small frames."""
    from tests.helpers.paddle_helpers import make_dataset

    made = make_dataset(folder / "whole", height_px=32, width_px=48, frames={"train": 2, "val": 1, "test": 1})
    shutil.copytree(made, folder, dirs_exist_ok=True)
    shutil.rmtree(made)


def _pairs(path: Path) -> object:
    from labeling.dataset.checking import check_dataset
    from labeling.dataset.lists import read_pairs

    list(check_dataset(path.parent))
    return read_pairs(path.parent, "train")


def _manifest(path: Path) -> object:
    from labeling.dataset.manifest import read_manifest

    manifest = read_manifest(path.parent)
    return manifest.make_grid(), manifest.level_values, {key: c.knots() for key, c in manifest.calibrations.items()}


def _label(path: Path) -> object:
    from labeling.dataset.checking import check_dataset
    from labeling.dataset.manifest import read_manifest
    from labeling.dataset.reader import read_label

    list(check_dataset(path.parents[2]))
    return read_label(path, read_manifest(path.parents[2]))


def _image(path: Path) -> object:
    from deploy.core.files import read_image
    from labeling.dataset.checking import check_dataset

    list(check_dataset(path.parents[2]))
    return read_image(path)


def _importance(path: Path) -> object:
    from labeling.dataset.checking import check_dataset
    from labeling.dataset.manifest import read_manifest
    from labeling.dataset.reader import read_split

    list(check_dataset(path.parents[1]))
    return list(read_split(path.parents[1], read_manifest(path.parents[1]), "train"))


def _make_model(folder: Path) -> None:
    from tests.helpers.deploy_helpers import card_of, write_model

    card = card_of(32, 48)
    write_model(folder / "model.onnx", card, embed=card)


def _card(path: Path) -> object:
    from deploy.cards.model_card import read_card

    card = read_card(path.with_suffix(".onnx"))
    return card.input_shape, card.output_shape, card.to_json()


def _model(path: Path) -> object:
    from deploy.prediction.predictor import Predictor

    with Predictor(path, backend="onnxruntime", threads=1) as predictor:
        return predictor(np.zeros((32, 48, 3), np.uint8))


def _make_engine(folder: Path) -> None:
    from deploy.cards.engine_record import EngineRecord, TensorRecord

    (folder / "model.engine").write_bytes(b"engine")
    tensors = (TensorRecord("x", "FLOAT", (-1, 3, 32, 48)),)
    digest, sizes = "0" * 64, (1, 8, 64)
    record = EngineRecord(digest, digest, "tensorrt", "10.13", "12.6", "any", "any", "fp32", sizes, tensors, tensors)
    (folder / "model.engine.json").write_text(json.dumps(asdict(record)))


def _engine(path: Path) -> object:
    from deploy.cards.engine_record import read_record

    engine = path.with_suffix("")
    return read_record(engine).how_to_rebuild(engine, Path("model.onnx"))


def _make_video(folder: Path) -> None:
    import av

    frames = [np.random.default_rng(n).integers(0, 255, (32, 48, 3)).astype(np.uint8) for n in range(4)]
    for name, codec in (("clip.avi", "mpeg4"), ("clip.mp4", "libx264"), ("clip.mkv", "ffv1")):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())


def _video(path: Path) -> object:
    from deploy.inputs.video import FrameSelection, probe, read_frames

    info = probe(path)
    first = [frame for frame, _ in zip(read_frames(path, selection=FrameSelection()), range(20), strict=False)]
    return str(info.frame_rate), info.times, first


def _make_edsr(folder: Path) -> None:
    import torch

    from labeling.upscalers.edsr import Edsr, save_edsr

    torch.manual_seed(0)
    network = Edsr(scale=3, features=4, blocks=1)
    save_edsr(network, folder / "edsr.safetensors", {})
    torch.save(network.state_dict(), folder / "edsr.pt")


def _edsr(path: Path) -> object:
    from labeling.upscalers.edsr import load_edsr

    return load_edsr(scale=3, weights=path)


def _make_enlarging(folder: Path) -> None:
    from tests.helpers.enlarging import Enlarging, save_onnx

    save_onnx(Enlarging(2), folder / "enlarging.onnx", (1, 3, 24, 28))


def _enlarging(path: Path) -> object:
    from labeling.upscalers import UPSCALERS

    return UPSCALERS.create("onnx", scale=2, weights=path)


def _make_accmodel(folder: Path) -> None:
    from labeling.accmodel.features import FrozenFeatures
    from labeling.accmodel.network import AccModel, AccModelSpec, save_accmodel

    spec = AccModelSpec("levels", (0.25, 0.75), 3, 16, "lr", 32, "random")
    save_accmodel(AccModel(spec, FrozenFeatures()), folder / "accmodel.safetensors")


def _accmodel(path: Path) -> object:
    from labeling.accmodel.network import load_accmodel

    return load_accmodel(path)


def _make_pickle(folder: Path) -> None:
    maps = {n: np.full((1, 1, 2, 3), n, np.float32) for n in range(3)}
    (folder / "gt.pickle").write_bytes(pickle.dumps(maps))
    (folder / "model.pdparams").write_bytes(pickle.dumps({str(n): values for n, values in maps.items()}, protocol=2))


def _make_torch_pickle(folder: Path) -> None:
    import torch

    maps = {n: torch.full((1, 1, 2, 3), float(n)) for n in range(3)}
    (folder / "tensors.pickle").write_bytes(pickle.dumps(maps))


def _ground_truth(path: Path) -> object:
    from labeling.import_pickle import read_ground_truth

    return read_ground_truth((path,))


def _paddle_state(path: Path) -> object:
    from paddleseg_configs.training.paddle_fixes.weights import read_state

    return read_state(path)


def zipped_again(data: bytes) -> bytes:
    """Members of a damaged archive with checksums that are right; the archive itself where it is no archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.open(name) for name in archive.namelist()}
            for stream in members.values():
                stream._expected_crc = None  # type: ignore[attr-defined]  # the damage is what is wanted
            content = {name: stream.read() for name, stream in members.items()}
    except Exception:  # not an archive any more
        return data
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    return target.getvalue()


def with_png_checksums(data: bytes) -> bytes:
    """A damaged PNG with right checksums, as far as its chunks can be told apart."""
    found, at = data[:8], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        if len(body) < 4 + length:
            break
        found += data[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + length
    return found + data[at:]


def with_header_length(data: bytes) -> bytes:
    """A damaged safetensors file whose length of the header is right, where the header is still JSON."""
    text = data[8:].decode("latin1")
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return data
    end += len(text[end:]) - len(text[end:].lstrip(" "))
    return end.to_bytes(8, "little") + data[8:]


def _make_anything(folder: Path) -> None:
    (folder / "anything").write_bytes(b"whole")


def _unless_whole(act: Callable[[], object]) -> Callable[[Path], object]:
    return lambda path: path.read_bytes() == b"whole" or act()


LABEL = "labels/train_video/000000.png"
FRAME = "origin_images/train_video/000000.png"
IMPORTANCE = "importance/train_video.npz"
PURE = [
    Target("train.txt", make_dataset, _pairs, is_text=True),
    Target("manifest.json", make_dataset, _manifest, is_text=True),
    Target(LABEL, make_dataset, _label),
    Target(LABEL, make_dataset, _label, repair=with_png_checksums),
    Target(FRAME, make_dataset, _image, repair=with_png_checksums),
    Target(IMPORTANCE, make_dataset, _importance),
    Target(IMPORTANCE, make_dataset, _importance, repair=zipped_again),
    Target("model.json", _make_model, _card, is_text=True),
    Target("model.engine.json", _make_engine, _engine, is_text=True),
    Target("gt.pickle", _make_pickle, _ground_truth),
    Target("model.pdparams", _make_pickle, _paddle_state),
]
"""Read by Python, numpy and Pillow."""
NATIVE = [
    Target("clip.avi", _make_video, _video),
    Target("clip.mp4", _make_video, _video),
    Target("clip.mkv", _make_video, _video),
    Target("model.onnx", _make_model, _model),
    Target("edsr.safetensors", _make_edsr, _edsr),
    Target("edsr.safetensors", _make_edsr, _edsr, is_text=True, repair=with_header_length),
    Target("edsr.pt", _make_edsr, _edsr),
    Target("edsr.pt", _make_edsr, _edsr, repair=zipped_again),
    Target("enlarging.onnx", _make_enlarging, _enlarging, cost=4),
    Target("tensors.pickle", _make_torch_pickle, _ground_truth),
    Target("accmodel.safetensors", _make_accmodel, _accmodel, is_text=True, repair=with_header_length, cost=8),
]
"""Read by FFmpeg, ONNX Runtime, safetensors and PyTorch."""
WRONG = {
    "raises": lambda: {}["nothing"],
    "hangs": lambda: time.sleep(60),
    "dies": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "eats": lambda: bytearray(2**31),
}
"""What readers must never do; tests of the tests."""
GROUPS = {
    "pure": PURE,
    "native": NATIVE,
    **{name: [Target("anything", _make_anything, _unless_whole(act))] for name, act in WRONG.items()},
}
