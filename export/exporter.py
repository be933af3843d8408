"""Export, compare, publish; see `export/export_onnx.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from deploy.cards.model_card import METADATA_KEY, ModelCard, card_path, write_card
from deploy.core.errors import OptionError
from deploy.core.ranges import require_ranges
from deploy.core.work_folder import work_folder
from export.conversion import paddle_to_onnx
from export.graph_ends import (
    attach_any_size_ends,
    attach_block_output,
    attach_rgb_input,
    blank_unused_scales,
    cut_enlargement,
)
from export.options import ExportOptions
from export.parity import Parity, measure_parity
from export.precision import Calibration, convert_precision
from labeling.maths.split import evenly_spaced
from paddleseg_configs.training.arguments import overrides_of
from paddleseg_configs.training.config.device import set_device
from paddleseg_configs.training.config.origin import Origin, check_origin
from paddleseg_configs.training.config.settings import Settings, load_settings
from paddleseg_configs.training.models.inference_model import save_any_size_model, save_inference_model
from paddleseg_configs.training.models.trained_model import load_trained, normalization_of, split_dataset
from paddleseg_configs.training.run.evaluation import require_frames

_PACKAGES = ("paddlepaddle", "paddleseg", "paddle2onnx", "onnx", "onnxruntime")


def export_onnx(options: ExportOptions) -> Parity:
    """Write ``options.out`` and its card, if the file agrees with the Paddle model.

    Raises:
        OptionError: an option breaks a rule.
        WeightsError: the weights do not fit, the conversion fails, or the file disagrees; nothing is written.
    """
    _check(options)
    set_device("cpu")
    settings = load_settings(options.config, dataset=options.dataset, overrides=overrides_of(options.opts))
    print(f"dataset {settings.dataset}: {Origin.of(settings)}")
    check_origin(options.weights, settings)
    model, dataset = load_trained(settings, options.weights), split_dataset(settings, options.split)
    if options.size == "any" and not getattr(model, "any_size", False):
        raise OptionError(
            f"--size any: {options.config.stem} pools over the whole frame or into a fixed number of bins",
            hint="Train anysize_mobilenetv2_x025, or omit --size any.",
        )
    if options.size == "dataset" and getattr(model, "in_channels", 3) != 3:
        raise OptionError(
            f"{options.config.stem} uses the previous frame's detections", hint="Export it with --size any."
        )
    require_frames(dataset)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with work_folder(options.out) as temporary:
        draft, folder = temporary / options.out.name, temporary / "paddle"
        if options.size == "any":
            save_any_size_model(model, folder)
        else:
            save_inference_model(model, settings.manifest, folder, dynamic_batch=options.batch == "dynamic")
        core = paddle_to_onnx(folder, opset=options.opset)
        graph, card = finish_graph(core, _make_card(core, settings, options), lambda: _calibration(settings, options))
        _save(graph, card, draft)
        parity = measure_parity(model, dataset, draft, card, options.frames)
        parity.enforce(options.precision)
        print(parity)
        _save(graph, replace(card, parity=parity.figures()), draft)
        _publish(draft, options.out)
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.2f} MB) and {card_path(options.out)}")
    return parity


def _check(options: ExportOptions) -> None:
    if options.out.suffix != ".onnx":
        raise OptionError(f"--out {options.out} must end in .onnx", hint="Rename it.")
    if str(options.out).encode("utf-8", "replace").decode() != str(options.out):
        raise OptionError(f"--out {str(options.out)!r} is not UTF-8, which Paddle's converter needs", hint="Rename it.")
    if options.size == "any":
        asked = options.input, options.output, options.batch, options.precision
        if asked not in ((*ends, "dynamic", "fp32") for ends in (("normalised", "logits"), ("rgb8", "importance"))):
            raise OptionError(
                "--size any writes fp32 files with input rgb8, output importance and a dynamic batch",
                hint="Omit --input, --output, --batch and --precision.",
            )
    for note in options.trained_on:
        if not note.partition("=")[2]:
            raise OptionError(f"--trained-on {note!r} is not KEY=TEXT", hint="Use the form --trained-on licenses=MIT.")
    require_ranges(options, "opset", low=11, high=21)
    require_ranges(options, "frames", "calibration_frames", low=1)


def plain_card(graph: onnx.ModelProto, settings: Settings, name: str, *, dynamic_batch: bool) -> ModelCard:
    """The card of a network as it was converted: fp32, normalized frames in, logits out."""
    mean, std = normalization_of(settings)
    return ModelCard(
        name=name,
        grid=settings.manifest.make_grid(),
        level_values=settings.manifest.level_values,
        mean=mean,
        std=std,
        input_name=graph.graph.input[0].name,
        output_name=graph.graph.output[0].name,
        dynamic_batch=dynamic_batch,
        dataset_manifest_sha256=settings.manifest_sha256,
        reduction=settings.manifest.reduction,
    )


def _make_card(graph: onnx.ModelProto, settings: Settings, options: ExportOptions) -> ModelCard:
    any_size = options.size == "any"
    opset = max(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    return replace(
        plain_card(graph, settings, options.config.stem, dynamic_batch=options.batch == "dynamic"),
        versions={**{name: version(name) for name in _PACKAGES}, "onnx_opset": str(opset)},
        input_kind="rgb8" if any_size else options.input,
        output_kind="importance" if any_size else options.output,
        precision=options.precision,
        any_size=any_size,
        previous=any_size and graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 4,
        trained_on={key: text for key, _, text in (note.partition("=") for note in options.trained_on)},
    )


def finish_graph(core: onnx.ModelProto, card: ModelCard, calibration: Calibration) -> tuple[onnx.ModelProto, ModelCard]:
    """Bring a network to the precision, the input and the output that its card states.

    Args:
        core: the network in fp32, normalized frames in, logits out; used up.
        card: what the file is to be; its tensor names are those of `core`.
        calibration: frames for int8.

    Returns:
        The file's model, and the card with the names of the tensors as they are now.
    """
    blank_unused_scales(core)
    if card.any_size:
        attach_any_size_ends(core, card)
        onnx.checker.check_model(core, full_check=True)
        return core, replace(card, input_name=core.graph.input[0].name, output_name=core.graph.output[0].name)
    pooling = cut_enlargement(core, card.grid) if card.output_kind != "logits" else None
    graph = convert_precision(core, card.precision, calibration)
    if card.input_kind == "rgb8":
        attach_rgb_input(graph, card)
    if pooling is not None:
        attach_block_output(graph, card, pooling)
    onnx.checker.check_model(graph, full_check=True)
    return graph, replace(card, input_name=graph.graph.input[0].name, output_name=graph.graph.output[0].name)


def _calibration(settings: Settings, options: ExportOptions) -> Iterator[NDArray[np.float32]]:
    """Normalized frames spread over the train split."""
    dataset = split_dataset(settings, "train")
    for index in evenly_spaced(range(len(dataset)), options.calibration_frames):
        yield dataset[index][0][None]


def _save(graph: onnx.ModelProto, card: ModelCard, path: Path) -> None:
    """Write the graph with the embedded card, and the card next to it."""
    onnx.helper.set_model_props(graph, {METADATA_KEY: card.to_json()})
    onnx.save(graph, str(path))
    write_card(path, card)


def _publish(draft: Path, out: Path) -> None:
    """Rename both files into place. The old card goes first: a model without a card is refused, a wrong card is not."""
    card_path(out).unlink(missing_ok=True)
    draft.replace(out)
    card_path(draft).replace(card_path(out))
