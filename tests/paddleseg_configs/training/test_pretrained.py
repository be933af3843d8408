"""``pretrained:`` takes a local file, or an address with a checksum, and says when nothing in it fits."""

from __future__ import annotations

import io
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from deploy.core.errors import WeightsError
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.models.components import LevelBuilder
from paddleseg_configs.training.paddle_fixes.pretrained import GENERAL, fetch_pretrained, load_pretrained, read_tensors
from tests.conftest import REPOSITORY
from tests.helpers.http_server import serving
from tests.helpers.paddle_helpers import make_dataset

CONFIG = REPOSITORY / "paddleseg_configs" / "mobileseg_mobilenetv3_small_x035.yml"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State of a backbone of the ladder, other than any initial one."""
    folder = tmp_path_factory.mktemp("weights")
    settings = load_settings(CONFIG, dataset=make_dataset(folder / "dataset"))
    paddle.seed(11)
    state = LevelBuilder(settings).model.backbone.state_dict()
    paddle.save({name: tensor + 0.5 for name, tensor in state.items()}, str(folder / "backbone.pdparams"))
    return folder / "backbone.pdparams"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "regen" / "pretrained"


def built(weights: Path, pretrained: str) -> Any:
    overrides = [("model.backbone.pretrained", pretrained)]
    settings = load_settings(CONFIG, dataset=weights.parent / "dataset", overrides=overrides)
    return LevelBuilder(settings).model


def digest_of(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def test_a_model_starts_from_a_local_file_or_an_address(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = paddle.load(str(weights))
    with serving(weights.parent) as address:
        remote = built(weights, f"{address}/{weights.name}#sha256={digest_of(weights)}")
    again = built(weights, f"{address}/{weights.name}#sha256={digest_of(weights)}")  # no server
    for model in (built(weights, str(weights)), remote, again):
        for name, tensor in model.backbone.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), expected[name])
    assert f"{len(expected)} of {len(expected)} tensors from" in capsys.readouterr().out


def test_only_the_weights_of_an_archive_are_unpacked(weights: Path, tmp_path: Path, cache: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / "w.tar.gz", "w:gz") as archive:
        for name, content in (("../../evil.pdparams", weights.read_bytes()), ("../escaped.txt", b"boo")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with serving(served) as address:
        path = fetch_pretrained(f"{address}/w.tar.gz#sha256={digest_of(served / 'w.tar.gz')}")
    assert Path(path).read_bytes() == weights.read_bytes() and Path(path).is_relative_to(cache)
    kept = [entry for entry in tmp_path.rglob("*") if entry.is_file() and served not in entry.parents]
    assert kept == [Path(path)]


@pytest.mark.parametrize("fragment", ["", "#sha256=", "#sha256=12ab", "#md5=" + "0" * 32])
def test_an_address_needs_its_checksum(fragment: str) -> None:
    with pytest.raises(WeightsError, match="checksum") as caught:
        fetch_pretrained(f"https://example.org/w.pdparams{fragment}")
    assert "sha256sum" in caught.value.hint


def test_another_checksum_or_no_answer_keeps_nothing(weights: Path, cache: Path) -> None:
    with serving(weights.parent) as address:
        with pytest.raises(WeightsError, match="has checksum"):
            fetch_pretrained(f"{address}/{weights.name}#sha256={'0' * 64}")
        with pytest.raises(WeightsError, match="cannot download"):
            fetch_pretrained(f"{address}/none.pdparams#sha256={'0' * 64}")
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_weights_of_another_model_and_missing_files_are_errors(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="none of the"):
        load_pretrained(paddle.nn.Linear(2, 3), str(weights))
    with pytest.raises(WeightsError, match="cannot read"):
        built(weights, str(tmp_path / "none.pdparams"))


@pytest.mark.parametrize(("config", "channels"), [("anysize_mobilenetv2_x025", 3), ("general/anysize_previous", 4)])
def test_training_starts_from_the_general_predictor(
    weights: Path, capsys: pytest.CaptureFixture[str], config: str, channels: int
) -> None:
    """The dataset has five levels, the general predictor ten: the head starts at random, all else is taken over."""
    overrides = [("model.pretrained", "general")]
    if channels == 4:
        overrides += [("train_dataset.previous_prob", "0"), ("val_dataset.previous_prob", "0")]
    settings = load_settings(
        REPOSITORY / "paddleseg_configs" / f"{config}.yml", dataset=weights.parent / "dataset", overrides=overrides
    )
    own, stored = LevelBuilder(settings).model.state_dict(), read_tensors(GENERAL)
    assert f"{len(own) - 2} of {len(own)} tensors" in capsys.readouterr().out
    for name in set(own) - {"head.weight", "head.bias"}:
        expected = stored[name] if stored[name].shape == tuple(own[name].shape) else stored[name][:, :channels]
        np.testing.assert_array_equal(own[name].numpy(), expected)
