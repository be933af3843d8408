"""Export an upscaler, compare, measure, publish; see `export/export_upscaler.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.cards.model_card import card_path
from deploy.cards.upscaler_card import UpscalerCard, write_upscaler_card
from deploy.core.errors import OptionError, WeightsError
from deploy.core.resize import reduce_frame
from deploy.core.work_folder import work_folder
from deploy.enhancement.upscaler import Upscaler
from deploy.inputs.frame import FrameSelection
from deploy.inputs.report import DEFAULT_READING, SourceReport
from deploy.inputs.sources import probe_source, read_source
from export.halo import MOST_DIFFERENCE, fast_halo_px, receptive_radius_px
from export.upscaler_graph import embed_card, write_graph
from export.upscaler_options import UpscalerExportOptions
from labeling.maths.split import evenly_spaced
from labeling.upscalers import UPSCALERS
from labeling.upscalers.network import NetworkUpscaler
from labeling.upscalers.registry import parse_options

Frames = Sequence[NDArray[np.uint8]]
_EMBEDDED_LICENSE = "Apache-2.0"
_ODD_SIZE = (37, 53)


def export_upscaler(options: UpscalerExportOptions) -> UpscalerCard:
    """Write ``options.out`` and its card, if the file agrees with the PyTorch network.

    Raises:
        OptionError: an option breaks a rule.
        InputError: a source of frames cannot be used.
        WeightsError: the weights do not fit, the conversion fails, or the file disagrees; nothing is written.
    """
    if options.out.suffix != ".onnx":
        raise OptionError(f"--out {options.out} must end in .onnx", hint="Rename it.")
    upscaler, card = _load(options)
    frames = _read_frames(options)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with work_folder(options.out.resolve()) as temporary:
        draft = temporary / options.out.name
        card = _write_in_agreement(upscaler, card, frames, draft)
        card = _with_halo(card, frames, draft)
        embed_card(draft, card)
        write_upscaler_card(draft, card)
        # The old card goes first: a file without a card is refused, one with a wrong card is not.
        card_path(options.out).unlink(missing_ok=True)
        draft.replace(options.out)
        card_path(draft).replace(card_path(options.out))
    return card


def _load(options: UpscalerExportOptions) -> tuple[NetworkUpscaler, UpscalerCard]:
    """The network, and its card as far as it is known without frames."""
    upscaler = UPSCALERS.create(
        options.upscaler,
        scale=options.scale,
        weights=options.weights,
        options=parse_options(options.upscaler_option),
    )
    if not isinstance(upscaler, NetworkUpscaler) or upscaler.native_scale != options.scale:
        factor = getattr(upscaler, "native_scale", options.scale)
        raise OptionError(
            f"--scale {options.scale} differs from the factor of {options.weights}, {factor}",
            hint=f"Add --scale {factor}.",
        )
    radius = None if upscaler.tile_px is None else receptive_radius_px(upscaler.enlarge_once)
    embedded = options.upscaler == "edsr" and options.weights is None and options.license == "unknown"
    return upscaler, UpscalerCard(
        name=options.upscaler if options.weights is None else f"{options.upscaler} {options.weights.stem}",
        scale=options.scale,
        whole_frame=radius is None,
        receptive_radius_px=radius or 0,
        fast_halo_px=radius or 0,
        license=_EMBEDDED_LICENSE if embedded else options.license,
        weights_sha256=upscaler.weights_sha256,
        versions={package: version(package) for package in ("torch", "onnx", "onnxruntime")},
    )


def _read_frames(options: UpscalerExportOptions) -> Frames:
    """Some frames of every source, reduced."""
    frames: list[NDArray[np.uint8]] = []
    most = -(-options.num_frames // len(options.frames))
    for path in options.frames:
        report = SourceReport(str(path))
        number = probe_source(path, FrameSelection(), DEFAULT_READING, report).num_frames
        chosen = FrameSelection(indices=frozenset(evenly_spaced(range(number), most)))
        for frame in read_source(path, chosen, DEFAULT_READING, report):
            height, width = frame.image.shape[:2]
            if height > options.height:
                height, width = options.height, max(1, round(width * options.height / height))
            frames.append(np.ascontiguousarray(reduce_frame(frame.image, height_px=height, width_px=width)))
    return frames


def _write_in_agreement(upscaler: NetworkUpscaler, card: UpscalerCard, frames: Frames, draft: Path) -> UpscalerCard:
    """Write the file, with 16-bit weights if these are precise enough, otherwise 32-bit."""
    for half_weights in (True, False):
        write_graph(upscaler, draft, half_weights=half_weights)
        write_upscaler_card(draft, card)
        with Upscaler(draft, runtime="onnxruntime") as exported:
            difference = max(_difference(upscaler, exported, batch) for batch in _batches(frames))
        if difference <= MOST_DIFFERENCE:
            parity = {"num_frames": float(len(frames)), "largest_difference_of_255": float(difference)}
            return replace(card, parity=parity)
    raise WeightsError(
        f"the ONNX file of {card.name!r} differs from the PyTorch network by {difference} of 255, more than "
        f"{MOST_DIFFERENCE}",
        hint="Nothing was written. Networks whose graph depends on the frame size cannot be exported.",
    )


def _batches(frames: Frames) -> list[NDArray[np.uint8]]:
    """Each frame, and two at once of another size: what the file promises to take."""
    height, width = _ODD_SIZE
    corner = frames[0][:height, :width]
    return [*(frame[None] for frame in frames), np.stack([corner, corner[::-1]])]


@torch.no_grad()
def _difference(upscaler: NetworkUpscaler, exported: Upscaler, batch: NDArray[np.uint8]) -> int:
    planes = torch.tensor(batch).permute(0, 3, 1, 2).float() / 255
    expected = (upscaler.enlarge_once(planes).clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    return int(np.abs(exported(batch).astype(np.int16) - expected.astype(np.int16)).max())


def _with_halo(card: UpscalerCard, frames: Frames, draft: Path) -> UpscalerCard:
    """The card with the surroundings that regions need; regions that never equal the frame make it `whole_frame`."""
    if card.whole_frame:
        return card
    with Upscaler(draft, runtime="onnxruntime") as exported:
        fast, errors = fast_halo_px(exported, frames, card.receptive_radius_px)
    if fast < 0:
        return replace(card, whole_frame=True, receptive_radius_px=0, fast_halo_px=0, halo_errors=errors)
    return replace(card, fast_halo_px=fast, halo_errors=errors)
