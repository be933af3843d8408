"""Export AccModel to ONNX with a model card, so that deployment can run it like any ladder model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.backends.onnxruntime_backend import OnnxRuntimeBackend
from deploy.cards.model_card import METADATA_KEY, ModelCard, card_path, write_card
from deploy.core.errors import WeightsError
from deploy.core.files import atomic_path
from deploy.core.grid import Grid
from deploy.prediction.preprocess import to_input
from labeling.accmodel.network import AccModel, to_images
from labeling.dataset.manifest import Manifest

MAX_RELATIVE_DIFFERENCE = 1e-4
_OPSET = 17


class _PixelLogits(nn.Module):
    """An AccModel whose logits are repeated over the pixels of each macroblock, as in the ladder's models."""

    def __init__(self, model: AccModel, grid: Grid) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("rows", torch.from_numpy(grid.row_of_lr_pixel), persistent=False)
        self.register_buffer("cols", torch.from_numpy(grid.col_of_lr_pixel), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits.index_select(2, self.get_buffer("rows")).index_select(3, self.get_buffer("cols"))


def export_accmodel(
    model: AccModel,
    out: Path,
    name: str,
    manifest: Manifest,
    manifest_sha256: str,
    frames: Sequence[NDArray[np.uint8]],
) -> ModelCard:
    """Write ``out`` and its card, for the manifest's frame size and a batch size of 1.

    Args:
        model: the model, in evaluation mode.
        out: the .onnx file to write.
        name: name in the card.
        manifest: defines the grid and the frame size.
        manifest_sha256: hash of the manifest.
        frames: (H, W, 3) uint8 RGB frames to compare the file with the model.

    Raises:
        WeightsError: their results differ; nothing is written.
    """
    grid = manifest.make_grid()
    card = ModelCard(
        name=name,
        grid=grid,
        level_values=model.spec.level_values,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        input_name="x",
        output_name="logits",
        dynamic_batch=False,
        dataset_manifest_sha256=manifest_sha256,
        reduction=manifest.reduction,
        versions={package: version(package) for package in ("torch", "torchvision", "onnx", "onnxruntime")},
    )
    pixels = _PixelLogits(model, grid).eval()
    with atomic_path(out) as draft:
        _write(pixels, card, draft)
        card = replace(card, parity=_parity(pixels, card, draft, frames))
        _embed(draft, card)
        card_path(out).unlink(missing_ok=True)
    write_card(out, card)
    print(f"wrote {out} and {card_path(out)}: {card.parity}")
    return card


def _write(pixels: _PixelLogits, card: ModelCard, path: Path) -> None:
    example = torch.zeros(1, 3, card.grid.height_px, card.grid.width_px)
    with warnings.catch_warnings():
        # The newer exporter needs another package. Sizes are constants on purpose.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            pixels,
            (example,),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=[card.input_name],
            output_names=[card.output_name],
        )
    _embed(path, card)


def _embed(path: Path, card: ModelCard) -> None:
    graph = onnx.load(str(path))
    onnx.helper.set_model_props(graph, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(path))


def _parity(pixels: _PixelLogits, card: ModelCard, path: Path, frames: Sequence[NDArray[np.uint8]]) -> dict[str, float]:
    difference, largest, agreement = 0.0, 1e-12, []
    with OnnxRuntimeBackend(model=path, card=card) as backend:
        for frame in frames:
            with torch.no_grad():
                expected = pixels(to_images([frame], "cpu")).numpy()
            found = backend.run(to_input(frame, card))
            difference = max(difference, float(np.abs(found - expected).max()))
            largest = max(largest, float(np.abs(expected).max()))
            agreement.append(float((found.argmax(1) == expected.argmax(1)).mean()))
    relative = difference / largest
    if not relative <= MAX_RELATIVE_DIFFERENCE:
        raise WeightsError(
            f"the ONNX file's logits differ by {relative:.1e} of the largest",
            hint="Nothing was written. Please report this as a bug.",
        )
    return {
        "frames": float(len(frames)),
        "max_relative_difference": relative,
        "label_agreement": float(np.mean(agreement)),
    }
