"""Export one model of the ladder in many variants, for the deployment benchmarks: parity is measured, not enforced.

    python benchmarks/export_variants.py --config CONFIG.yml --dataset DIR --out DIR [--weights FILE]

Writes NAME.ENDS.PRECISION.onnx with its card for each variant; ENDS is "logits" (normalized planes in, logits out) or
"graph" (uint8 frames in, importance out). And reference.npz: frames of the validation split, their label's blocks, and
what the Paddle model predicts for them. Without weights, the model is untrained, and only times are valid.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import tyro

from deploy.cards.model_card import METADATA_KEY, ModelCard, Precision, write_card
from deploy.core.cli import run
from deploy.core.files import read_image, write_npz
from deploy.prediction.postprocess import block_predictions
from export.conversion import paddle_to_onnx
from export.exporter import finish_graph, plain_card
from export.parity import measure_parity
from labeling.maths.split import evenly_spaced
from paddleseg_configs.training.config.device import set_device
from paddleseg_configs.training.config.settings import load_settings
from paddleseg_configs.training.models.components import LevelBuilder
from paddleseg_configs.training.models.inference_model import save_inference_model
from paddleseg_configs.training.models.trained_model import load_trained, split_dataset

CALIBRATION_FRAMES = 32


@dataclass(frozen=True)
class VariantOptions:
    """Which model, and where to."""

    config: Path
    """Its configuration."""
    dataset: Path
    """A dataset folder: frames to calibrate with (train) and to compare on (val)."""
    out: Path
    """Folder for the files."""
    weights: Path | None = None
    """Trained weights."""
    precisions: tuple[Precision, ...] = ("fp32", "int8-cpu")
    """Of the variants."""
    frames: int = 8
    """Frames to compare on."""
    batch: str = "1"
    """1 or dynamic."""


def export_variants(options: VariantOptions) -> None:
    """Write all variants."""
    set_device("cpu")
    settings = load_settings(options.config, dataset=options.dataset)
    if options.weights is not None:
        model = load_trained(settings, options.weights)
    else:
        paddle.seed(0)
        model = LevelBuilder(settings).model
        model.eval()
    options.out.mkdir(parents=True, exist_ok=True)
    val, train = split_dataset(settings, "val"), split_dataset(settings, "train")
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=options.out) as temporary:
        dynamic = options.batch == "dynamic"
        save_inference_model(model, settings.manifest, Path(temporary), dynamic_batch=dynamic)
        core = paddle_to_onnx(Path(temporary), opset=17)
    base = plain_card(core, settings, options.config.stem, dynamic_batch=dynamic)
    frames = [train[index][0][None] for index in evenly_spaced(range(len(train)), CALIBRATION_FRAMES)]
    ends: tuple[tuple[str, dict[str, Any]], ...] = (
        ("logits", {}),
        ("graph", {"input_kind": "rgb8", "output_kind": "importance"}),
    )
    for precision in options.precisions:
        for name, kinds in ends:
            if name == "logits" and precision != "fp32":
                continue
            copy = onnx.ModelProto.FromString(core.SerializeToString())
            graph, card = finish_graph(copy, replace(base, precision=precision, **kinds), lambda: frames)
            path = options.out / f"{base.name}.{name}.{precision}.onnx"
            onnx.save(graph, str(path))
            parity = measure_parity(model, val, path, card, options.frames)
            print(f"{path.name}: {parity}")
            card = replace(card, parity=parity.figures())
            onnx.helper.set_model_props(graph, {METADATA_KEY: card.to_json()})
            onnx.save(graph, str(path))
            write_card(path, card)
    _write_reference(options, model, val, base)


def _write_reference(options: VariantOptions, model: Any, val: Any, card: ModelCard) -> None:
    frames, labels, importance, levels = [], [], [], []
    for index in evenly_spaced(range(len(val)), options.frames):
        image, label = val[index]
        with paddle.no_grad():
            logits = model(paddle.to_tensor(image[None]))[0].numpy()[0]
        found, level = block_predictions(logits, card)
        frames.append(read_image(Path(val.file_list[index][0])))
        labels.append(card.grid.pool(label))
        importance.append(found)
        levels.append(level)
    write_npz(
        options.out / f"{card.name}.reference.npz",
        frames=np.array(frames),
        labels=np.array(labels),
        importance=np.array(importance),
        levels=np.array(levels),
        trained=np.array(options.weights is not None),
    )


def main() -> None:
    """Parse the command line and export."""
    export_variants(tyro.cli(VariantOptions, description=__doc__))


if __name__ == "__main__":
    run(main)
