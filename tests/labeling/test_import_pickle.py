"""Old ground-truth pickles: what is in them comes out, and nothing in them is run."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from deploy.core.errors import InputError
from labeling.core.safe_pickle import read_plain_pickle
from labeling.import_pickle import read_ground_truth
from tests.helpers.label_helpers import run_script


def dump(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_comes_out(tmp_path: Path, protocol: int) -> None:
    maps = torch.rand(4, 1, 1, 3, 5)
    content = {
        0: maps[0], 1: maps[3], "half": maps[1].half(), "turned": maps[2].transpose(-1, -2), "whole": torch.arange(4),
        "array": np.arange(6.0).reshape(2, 3), "big endian": np.arange(3, dtype=">f4"), "scalar": np.float32(2.5),
        "nested": OrderedDict(a=[1, (2.5, None, True, "text", b"bytes")]),
    }  # fmt: skip
    found = read_plain_pickle(dump(tmp_path / "gt.pickle", content, protocol))
    assert list(found) == list(content)
    for name in (0, 1, "half", "turned", "whole"):
        np.testing.assert_array_equal(found[name], content[name].numpy())
    for name in ("array", "big endian", "scalar"):
        np.testing.assert_array_equal(found[name], content[name])
    assert found["nested"] == {"a": [1, (2.5, None, True, "text", b"bytes")]}


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


HOSTILE = {
    "command": lambda mark: Call(os.system, f"touch {mark}"),
    "eval": lambda mark: Call(eval, f"open({str(mark)!r}, 'w')"),
    "getattr": lambda mark: Call(getattr, "text", "upper"),
    "objects": lambda mark: np.array([Call(os.system, f"touch {mark}")], dtype=object),
    "in a storage": lambda mark: Call(torch.storage._load_from_bytes, pickle.dumps(Call(os.system, f"touch {mark}"))),
    "set": lambda mark: {1, 2},
    "loop": lambda mark: LOOP,
}
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_is_run(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "run"
    path = dump(tmp_path / "gt.pickle", {0: HOSTILE[name](mark)})
    if name == "in a storage":  # reached only through a tensor
        storage = HOSTILE[name](mark)
        path = dump(path, {0: Call(torch._utils._rebuild_tensor_v2, storage, 0, (1,), (1,), False, OrderedDict())})
    with pytest.raises(InputError, match="not a pickle of plain data"):
        read_plain_pickle(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("size", "stride", "offset"), [((9,), (1,), 0), ((2, 2), (-1, 1), 3), ((2,), (1,), 4), ((10**12,), (0,), 0)]
)
def test_tensors_stay_in_their_storage(
    tmp_path: Path, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> None:
    storage = torch.zeros(4).storage()
    forged = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())
    with pytest.raises(InputError, match="outside its storage"):
        read_plain_pickle(dump(tmp_path / "gt.pickle", forged))


def laughs(levels: int) -> list[Any]:
    """A list of ten lists of ten lists ..., each level one object: few bytes, 10 ** levels values."""
    value: list[Any] = [0.0]
    for _ in range(levels):
        value = [value] * 10
    return value


@pytest.mark.parametrize(
    "data",
    [pickle.dumps({0: laughs(9)}), b"\x80\x02K\x01r\xff\xff\xff\x7f.", b"\x80\x04K\x01p2147483647\n."],
    ids=["values", "memo", "old memo"],
)
def test_pickles_that_would_fill_any_memory_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "gt.pickle").write_bytes(data)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"more values than bytes|stores a value under"):
        read_plain_pickle(tmp_path / "gt.pickle")
    assert time.monotonic() - started < 5


def test_an_array_that_is_named_often_is_one(tmp_path: Path) -> None:
    """Copies would take a thousand times the file's size."""
    shared = np.zeros(1000)
    found = read_plain_pickle(dump(tmp_path / "gt.pickle", dict.fromkeys(range(1000), shared)))
    assert all(np.shares_memory(found[0], value) for value in found.values())


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    whole = dump(tmp_path / "gt.pickle", {0: torch.rand(1, 1, 3, 5)}).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.pickle").write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_plain_pickle(tmp_path / "cut.pickle")


def test_old_ground_truth_becomes_npz(tmp_path: Path) -> None:
    """As AccMPEG writes it: one file a process, every other frame."""
    maps = torch.rand(5, 1, 1, 67, 120)
    files = [dump(tmp_path / f"gt.pickle.{rank}", {i: maps[i] for i in range(rank, 5, 2)}) for rank in (0, 1)]
    out = tmp_path / "importance.npz"
    finished = run_script("labeling/import_pickle.py", *files, "--out", out)
    assert finished.returncode == 0, finished.stderr
    assert "5 frames of 67 x 120 macroblocks" in finished.stdout
    with np.load(out, allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["frame_index"], range(5))
        np.testing.assert_array_equal(stored["importance"], maps.numpy()[:, 0, 0])


class Instances:
    """Pickles as the class of that name in detectron2, which is not imported."""


Instances.__module__ = "detectron2.structures.instances"


def test_ground_truth_of_regenhance_becomes_npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As its train_AccModel.py writes it: the data set's name in the key, detections beside the map."""
    maps = torch.rand(3, 1, 1, 67, 120)
    found = Instances()
    found.__dict__ = {"_image_size": (1080, 1920), "_fields": {"scores": torch.rand(2), "other": Instances()}}
    content = {
        ("Test", i): {"saliency": maps[i], "sr_result": {"instances": found}, "scores2grads": [(0.5, 2.0)]}
        for i in range(3)
    }
    module = ModuleType(Instances.__module__)
    module.Instances = Instances  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        for name in ("detectron2", "detectron2.structures", Instances.__module__):
            patch.setitem(sys.modules, name, module)
        path = dump(tmp_path / "gt.pickle.VTest1", content, protocol=3)
    found_maps = read_ground_truth((path,))
    assert list(found_maps) == [0, 1, 2]
    np.testing.assert_array_equal(np.stack(list(found_maps.values())), maps.numpy()[:, 0, 0])
    with pytest.raises(InputError, match="detectron2"):
        read_plain_pickle(path)


def test_objects_that_are_left_out_are_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "run"
    path = dump(tmp_path / "gt.pickle", {("Test", 0): {"saliency": np.ones((2, 2)), "x": HOSTILE["command"](mark)}})
    with pytest.raises(InputError, match="not a pickle of plain data"):
        read_ground_truth((path,))
    assert read_plain_pickle(path, leave_out=frozenset({"posix"})) is not None
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "not a dict"),
        ({"zero": np.zeros((2, 2))}, "not a frame number"),
        ({0: np.zeros((2, 3, 3))}, "of shape"),
        ({0: "text"}, "of shape"),
        ({("Test", "zero"): np.zeros((2, 2))}, "not a frame number"),
        ({("Test", 0): {"other": np.zeros((2, 2))}}, "of shape"),
        ({0: np.array([[np.nan]])}, "not finite"),
        ({0: np.zeros((2, 2)), 1: np.zeros((2, 3))}, "different grids"),
        ({}, "different grids"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_ground_truth((dump(tmp_path / "gt.pickle", content),))
    finished = run_script("labeling/import_pickle.py", tmp_path / "gt.pickle", "--out", tmp_path / "out.npz")
    assert finished.returncode == 2 and "Traceback" not in finished.stderr and not (tmp_path / "out.npz").exists()


def test_a_frame_twice_is_refused(tmp_path: Path) -> None:
    path = dump(tmp_path / "gt.pickle", {0: np.zeros((2, 2))})
    with pytest.raises(InputError, match="earlier file"):
        read_ground_truth((path, path))
