"""What an upscaler learns from: true frames, and their low-resolution twins of every kind that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deploy.core.files import IMAGE_SUFFIXES, read_image, sha256_of
from deploy.core.resize import Reduction, area_resize, reduce_frame
from deploy.inputs.video import FrameSelection, probe, read_frames
from deploy.outputs.lr_codec import LrCodec, encode_frames
from labeling.upscalers.training_options import UNCODED, TrainUpscalerOptions

Image = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class TrainingFrame:
    """A true frame and its low-resolution twins."""

    hr: Image
    """(H * scale, W * scale, 3) RGB."""
    lr: dict[str, Image]
    """(H, W, 3) RGB by kind, such as "area" or "area h264:crf30"."""
    objects: list[tuple[int, int]] = field(default_factory=list)
    """y, x of objects in pixels of the low-resolution frame."""


def training_frames(path: Path, options: TrainUpscalerOptions, folder: Path) -> list[TrainingFrame]:
    """Every Nth frame of a video, or an image, at every height that is asked for.

    Args:
        path: the source.
        options: of the training.
        folder: where coded low-resolution videos are kept, so that a resumed training finds them.
    """
    found: dict[tuple[int, tuple[int, ...]], TrainingFrame] = {}
    for height in options.height or (None,):
        frames = {n: image for n, image in enumerate(_images(path)) if n % options.every == 0}
        sizes = {n: _lr_size(image, height, options.scale) for n, image in frames.items()}
        kinds: dict[str, dict[int, Image]] = {}
        for reduction, codec in product(options.reduce, options.lr_codec):
            if codec == UNCODED:
                kinds[reduction] = {
                    n: _reduced(image, sizes[n], options.scale, reduction) for n, image in frames.items()
                }
            else:
                stem = f"{sha256_of(path)[:16]}-{height}-{reduction}-{codec.replace(':', '-')}.mkv"
                coded = _coded(path, height, options.scale, reduction, LrCodec.parse(codec), folder / stem)
                kinds[f"{reduction} {codec}"] = {
                    n: image[: sizes[n][0], : sizes[n][1]] for n, image in enumerate(coded) if n in frames
                }
        for n, image in frames.items():
            lr_height, lr_width = sizes[n]
            hr = area_resize(
                _cropped(image, sizes[n], options.scale),
                height_px=lr_height * options.scale,
                width_px=lr_width * options.scale,
            )
            found.setdefault((n, hr.shape), TrainingFrame(hr, {kind: images[n] for kind, images in kinds.items()}))
    return list(found.values())


def sample_batch(
    frames: Sequence[TrainingFrame], options: TrainUpscalerOptions, step: int, *, upright: bool = False
) -> tuple[Tensor, Tensor]:
    """A batch that depends only on the seed and the step: (N, 3, p, p) LR and its HR, RGB in [0, 255].

    Args:
        frames: to take patches from. Where objects are known, half of the patches hold one.
        options: of the training.
        step: number of the batch.
        upright: patches are mirrored but not turned, as detectors know their objects.
    """
    random = np.random.default_rng((options.seed, step))
    side, scale = options.patch_px, options.scale
    patches = []
    for number in random.integers(len(frames), size=options.batch):
        frame = frames[number]
        kinds = list(frame.lr)
        lr = frame.lr[kinds[random.integers(len(kinds))] if len(kinds) > 1 else kinds[0]]
        y = random.integers(lr.shape[0] - side + 1)
        x = random.integers(lr.shape[1] - side + 1)
        turn, flip = int(random.integers(4)), bool(random.integers(2))
        if frame.objects and random.random() < 0.5:
            off = random.integers(-side // 3, side // 3 + 1, size=2)
            center = np.array(frame.objects[random.integers(len(frame.objects))])
            y, x = np.clip(center + off - side // 2, 0, np.array(lr.shape[:2]) - side)
        hr = frame.hr[y * scale : (y + side) * scale, x * scale : (x + side) * scale]
        pair = (lr[y : y + side, x : x + side], hr)
        patches.append([np.rot90(p[:, ::-1] if flip else p, 0 if upright else turn) for p in pair])
    lr_batch, hr_batch = (np.stack(column).transpose(0, 3, 1, 2) for column in zip(*patches, strict=True))
    return torch.from_numpy(lr_batch.astype(np.float32)), torch.from_numpy(hr_batch.astype(np.float32))


def _images(path: Path) -> Iterator[Image]:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        yield read_image(path)
    else:
        yield from (frame.image for frame in read_frames(path, selection=FrameSelection()))


def _lr_size(image: Image, height: int | None, scale: int) -> tuple[int, int]:
    """Height and width of the low-resolution twin; None, or more than there is, takes the frame's own pixels."""
    rows, cols = image.shape[:2]
    if height is None or height * scale >= rows:
        return rows // scale, cols // scale
    return height, max(1, round(cols * height / rows))


def _cropped(image: Image, size: tuple[int, int], scale: int) -> Image:
    """Without the odd rows and columns, where the frame keeps its own pixels."""
    if size[0] * scale + scale <= image.shape[0]:
        return image
    return np.ascontiguousarray(image[: size[0] * scale, : size[1] * scale])


def _reduced(image: Image, size: tuple[int, int], scale: int, reduction: Reduction) -> Image:
    return reduce_frame(_cropped(image, size, scale), height_px=size[0], width_px=size[1], reduction=reduction)


def _coded(
    path: Path, height: int | None, scale: int, reduction: Reduction, codec: LrCodec, encoded: Path
) -> Iterator[Image]:
    """The whole video reduced, encoded and decoded again."""
    if not encoded.exists():
        rate = Fraction(1) if path.suffix.lower() in IMAGE_SUFFIXES else probe(path).frame_rate
        images = (_reduced(image, _lr_size(image, height, scale), scale, reduction) for image in _images(path))
        encoded.parent.mkdir(parents=True, exist_ok=True)
        encode_frames(images, rate, codec, encoded)
    return _images(encoded)
