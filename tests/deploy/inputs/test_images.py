"""Image files as users have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy.core.errors import InputError
from deploy.core.files import IMAGE_FORMATS, IMAGE_SUFFIXES, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def test_orientation_marks_are_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it a quarter turn clockwise
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(PIXELS).convert(mode)
    picture.save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), np.asarray(picture.convert("RGB")))


def test_sixteen_bit_grey_is_refused_instead_of_clipped(tmp_path: Path) -> None:
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match="not 8 bits per channel"):
        read_image(tmp_path / "deep.png")


@pytest.mark.parametrize("kind", ["GIF", "PPM", "TGA", "PCX"])
def test_other_formats_are_refused_whatever_their_name(tmp_path: Path, kind: str) -> None:
    """Pillow would read them all, by their content."""
    Image.fromarray(PIXELS).save(tmp_path / "frame.png", format=kind)
    with pytest.raises(InputError, match="cannot read image"):
        read_image(tmp_path / "frame.png")


@pytest.mark.parametrize("kind", IMAGE_FORMATS)
def test_formats_that_are_read(tmp_path: Path, kind: str) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "frame", format=kind)
    assert read_image(tmp_path / "frame").shape == PIXELS.shape


def test_every_suffix_that_is_looked_for_can_be_read() -> None:
    suffixes = Image.registered_extensions()
    assert {suffixes[suffix] for suffix in IMAGE_SUFFIXES} == set(IMAGE_FORMATS)
