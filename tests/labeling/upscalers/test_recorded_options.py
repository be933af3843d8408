"""What --upscaler-option says determines the labels: it is in the manifest, the cache and the evaluation."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from deploy.core.errors import OptionError, WeightsError
from labeling.core.weights import read_state
from labeling.dataset.manifest import ModelRecord, read_manifest
from labeling.labels.job import option_values
from labeling.labels.label_videos import label_videos
from labeling.labels.options import LabelOptions
from labeling.networks.loading import load_networks, model_records, recorded_upscaler
from labeling.upscalers import UPSCALERS
from labeling.upscalers.cache import CachedUpscaler
from labeling.upscalers.edsr import EMBEDDED_WEIGHTS
from labeling.utility.evaluation import load_bench
from labeling.utility.options import EvaluateUtilityOptions
from tests.helpers.enlarging import Enlarging, save_script
from tests.helpers.label_helpers import SMALL, crop_clip, run_script

pytestmark = pytest.mark.slow


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The embedded EDSR as if it had been trained with residuals of a tenth."""
    state = read_state(EMBEDDED_WEIGHTS)
    torch.save({name: value * 10 if ".body.2." in name else value for name, value in state.items()}, tmp_path / "e.pt")
    return tmp_path / "e.pt"


def options(clip: Path, out: Path, **values: object) -> LabelOptions:
    small: dict[str, object] = {"height": 80, "gap_seconds": 0.0, "every": 2, "device": "cpu"}
    return LabelOptions(videos=(clip,), out=out, **(small | values))  # type: ignore[arg-type]


def test_labels_say_and_keep_the_option(vtest: Path, weights: Path, tmp_path: Path) -> None:
    """From the command's options through the manifest to the upscaler of the evaluation."""
    clip = crop_clip(vtest, tmp_path / "person.avi")
    told = options(clip, tmp_path / "told", upscaler_weights=weights, upscaler_option=("res_scale=0.1",))
    label_videos(told)
    label_videos(options(clip, tmp_path / "embedded"))
    found = {}
    for name in ("told", "embedded"):
        with np.load(tmp_path / name / "importance" / "person.npz") as record:
            found[name] = record["importance"]
    assert found["told"].max() > 0
    np.testing.assert_allclose(found["told"], found["embedded"], atol=0.02 * found["embedded"].max())
    manifest = read_manifest(tmp_path / "told")
    assert manifest.upscaler.settings == {"scale": 3, "res_scale": 0.1}
    assert read_manifest(tmp_path / "embedded").upscaler.settings == {"scale": 3}
    assert "upscaler_option" not in manifest.options
    evaluation = EvaluateUtilityOptions(tmp_path / "told", tmp_path / "utility.json", upscaler_weights=weights)
    upscaler = load_bench(evaluation, manifest).upscaler
    assert upscaler.record == {"res_scale": 0.1}
    with pytest.raises(OptionError, match="another job"):  # the same command without it makes other labels
        label_videos(dataclasses.replace(told, upscaler_option=("res_scale=0.11",)))


def test_fingerprints_do_not_know_an_option_that_was_not_given(tmp_path: Path) -> None:
    """Datasets of before are complete still."""
    plain = options(tmp_path / "a.avi", tmp_path / "out")
    assert "upscaler_option" not in option_values(plain)
    assert option_values(plain) == option_values(dataclasses.replace(plain, upscaler_option=("res_scale=0.1",)))
    assert model_records(*load_networks(plain))[1].settings == {"scale": 3}


@pytest.mark.parametrize(("name", "option"), [("edsr", "res_scale=0.1"), ("torch-program", "colors=bgr")])
def test_a_record_makes_the_same_upscaler(name: str, option: str, weights: Path, tmp_path: Path) -> None:
    file = weights if name == "edsr" else save_script(Enlarging(2), tmp_path / "network.pt")
    values = {"upscaler": name, "upscaler_weights": file, "upscaler_option": (option,)}
    detector, upscaler = load_networks(options(tmp_path / "a.avi", tmp_path / "out", **values))
    record = ModelRecord.model_validate_json(model_records(detector, upscaler)[1].model_dump_json())
    again = recorded_upscaler(record, file, 3)
    lr = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    assert again.record == upscaler.record and torch.equal(again.upscale(lr, None), upscaler.upscale(lr, None))
    with pytest.raises(WeightsError, match="upscaler's weights are not those"):
        recorded_upscaler(record.model_copy(update={"weights_sha256": "0" * 64}), file, 3)


def test_the_cache_keeps_options_apart(tmp_path: Path) -> None:
    file = save_script(Enlarging(2), tmp_path / "network.pt")
    lr = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    results = []
    for given in ({}, {"colors": "bgr"}, {}):
        upscaler = UPSCALERS.create("torch-program", scale=2, weights=file, options=given)
        cached = CachedUpscaler(upscaler, tmp_path / "cache", "float32")
        assert cached.record == given
        results.append(cached.upscale(lr, None))
        assert torch.equal(results[-1], upscaler.upscale(lr, None))
    assert len(list((tmp_path / "cache").rglob("*.png"))) == 2
    assert torch.equal(results[0], results[2]) and not torch.equal(results[0], results[1])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--upscaler-option", "res_scale"], "is not KEY=VALUE"),
        (["--upscaler-option", "res_scale=0.1", "--upscaler-option", "strength=1"], "has no option 'strength'"),
        (["--upscaler", "bicubic", "--variant", "gradient", "--upscaler-option", "a=1"], "has no option 'a'"),
    ],
)
def test_the_command_says_what_is_wrong(words: list[str], message: str, vtest: Path, tmp_path: Path) -> None:
    clip = crop_clip(vtest, tmp_path / "person.avi")
    done = run_script("labeling/make_labels.py", clip, *words, "--out", tmp_path / "out", *SMALL, "--dry-run")
    assert done.returncode == 2 and message in " ".join(done.stderr.split()) and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_manifest_is_plain_json(weights: Path) -> None:
    upscaler = UPSCALERS.create("edsr", scale=3, weights=weights, options={"res_scale": "0.1"})
    assert json.dumps(upscaler.record) == '{"res_scale": 0.1}'
