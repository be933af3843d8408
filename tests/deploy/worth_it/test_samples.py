"""Sizes that leave a true frame, and the frames themselves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.core.errors import OptionError
from deploy.core.resize import area_resize
from deploy.inputs.video import FrameSelection, read_frames
from deploy.outputs.lr_codec import LrCodec, encode_frames
from deploy.worth_it.samples import plan_sizes, read_samples


@pytest.mark.parametrize(
    ("source", "scale", "height", "lr", "has_true", "crop"),
    [
        ((540, 960), 3, None, (180, 320), True, (540, 960)),
        ((720, 1280), 3, None, (240, 426), True, (720, 1278)),
        ((360, 640), 3, None, (120, 213), True, (360, 639)),
        ((1080, 1920), 2, None, (288, 512), True, None),
        ((2160, 3840), 3, None, (288, 512), True, None),
        ((720, 1280), 3, 180, (180, 320), True, None),
        ((720, 1280), 3, 360, (360, 640), False, None),
        ((144, 176), 3, None, (144, 176), False, None),
        ((1280, 720), 3, None, (288, 162), True, None),
    ],
)
def test_sizes(
    source: tuple[int, int], scale: int, height: int | None, lr: tuple[int, int], has_true: bool, crop: object
) -> None:
    plan = plan_sizes(*source, scale, height)
    assert (plan.height_px, plan.width_px, plan.has_true, plan.crop) == (*lr, has_true, crop)
    assert plan.sr_size == (lr[0] * scale, lr[1] * scale)
    image = np.random.default_rng(0).integers(0, 256, (*source, 3), np.uint8)
    true = plan.true(image)
    assert plan.reduce(image).shape == (*lr, 3)
    assert true is None if not has_true else true is not None and true.shape == (*plan.sr_size, 3)


def test_a_height_above_the_source_is_refused() -> None:
    with pytest.raises(OptionError, match="height=600 is more than the source's 576") as error:
        plan_sizes(576, 768, 3, 600)
    assert "--height 192" in error.value.hint


def test_frames_are_spread_and_come_with_the_one_before(vtest: Path) -> None:
    samples = read_samples(vtest, 3, 3, None, "area")
    found = list(samples)
    assert [sample.index for sample in found] == [1, 397, 794] and len(samples) == 3
    images = {frame.index: frame.image for frame in read_frames(vtest, selection=FrameSelection(stop_seconds=0.15))}
    np.testing.assert_array_equal(found[0].true, images[1])
    np.testing.assert_array_equal(found[0].lr, area_resize(images[1], height_px=192, width_px=256))
    np.testing.assert_array_equal(found[0].before, area_resize(images[0], height_px=192, width_px=256))


def test_only_the_selected_part_is_tested(vtest: Path) -> None:
    """vtest.avi has 10 frames per second."""
    samples = read_samples(vtest, 3, 3, None, "area", selection=FrameSelection(40, 42))
    assert [sample.index for sample in samples] == [400, 410, 419]
    with pytest.raises(OptionError, match=r"no frame of .* is selected"):
        read_samples(vtest, 3, 3, None, "area", selection=FrameSelection(1000))


def test_coded_frames_have_seen_all_before(vtest: Path, tmp_path: Path) -> None:
    """A frame of a coded video is that of the whole video encoded, odd sides included."""
    codec = LrCodec.parse("h264:crf40")
    samples = read_samples(vtest, 3, 2, 75, "area", lambda index, _: index < 12, codec)
    reduced = [
        area_resize(frame.image, height_px=75, width_px=100)
        for frame in read_frames(vtest, selection=FrameSelection(stop_seconds=1.15))
    ]
    encode_frames(iter(reduced), Fraction(10), codec, tmp_path / "lr.mkv")
    wanted = [frame.image[:75] for frame in read_frames(tmp_path / "lr.mkv")]
    found = list(samples)
    assert [sample.index for sample in found] == [1, 11]
    for sample in found:
        np.testing.assert_array_equal(sample.lr, wanted[sample.index])
        np.testing.assert_array_equal(sample.before, wanted[sample.index - 1])
        assert (sample.lr != reduced[sample.index]).any()


def test_images_are_not_coded(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((240, 300, 3), np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(OptionError, match="lr_codec is for videos"):
        read_samples(tmp_path / "one.png", 3, 1, None, "area", codec=LrCodec.parse("h264:crf30"))


def test_a_single_image_has_none_before_it(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((240, 300, 3), np.uint8)).save(tmp_path / "one.png")
    (sample,) = read_samples(tmp_path / "one.png", 3, 20, None, "bicubic")
    assert sample.before is None and sample.lr.shape == (80, 100, 3) and sample.true is not None
