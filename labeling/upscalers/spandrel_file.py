"""Any checkpoint that spandrel knows: ESRGAN, SwinIR, HAT, SPAN, Compact, OmniSR and two dozen more, by its weights."""

from __future__ import annotations

from pathlib import Path

from spandrel import ImageModelDescriptor, ModelLoader, ModelTiling, UnsupportedModelError
from torch import Tensor

from deploy.core.errors import OptionError, WeightsError, first_line
from deploy.core.files import sha256_of
from labeling.core.weights import read_state
from labeling.upscalers.network import NetworkUpscaler

OVERLAP_PX = 32
"""Context around a tile. Attention and global pooling see further: tiles of such networks differ slightly."""


def load_spandrel(*, scale: int, weights: Path | None = None) -> NetworkUpscaler:
    """Load a super-resolution network; its architecture and factor are read off the weights.

    Raises:
        OptionError: no file was named.
        WeightsError: missing, unreadable, unknown to spandrel, or not a network that enlarges RGB frames.
    """
    if weights is None:
        raise OptionError("upscaler 'spandrel' needs a file", hint="Add --upscaler-weights MODEL.pth or .safetensors")
    state = read_state(weights)
    try:
        model = ModelLoader().load_from_state_dict(state)
    except UnsupportedModelError:
        raise WeightsError(
            f"spandrel does not recognize the network in {weights}",
            hint="For EDSR and CARN use --upscaler edsr or carn. Any other: export it with its own code to ONNX or "
            "TorchScript, and use --upscaler onnx or torch-program.",
        ) from None
    except (KeyError, ValueError, RuntimeError, AssertionError) as error:  # a known name, but other shapes
        first = first_line(error)
        raise WeightsError(f"spandrel cannot build {weights}: {first}", hint="Copy the file again.") from None
    if not isinstance(model, ImageModelDescriptor) or model.scale < 2 or model.input_channels != 3:
        raise WeightsError(
            f"{weights} is {model.architecture.name}, purpose {model.purpose}, x{model.scale}, "
            f"{model.input_channels} channels: not an RGB super-resolution network",
            hint="Use a super-resolution network.",
        )
    return NetworkUpscaler(
        "spandrel",
        model.model,
        lambda lr: _run(model, lr),
        native_scale=model.scale,
        scale=scale,
        weights_sha256=sha256_of(weights),
        overlap_px=OVERLAP_PX,
        tile_px=256 if model.tiling == ModelTiling.SUPPORTED else None,
    )


def _run(model: ImageModelDescriptor, lr: Tensor) -> Tensor:
    """Spandrel's call pads to what the network needs; a copy, since autograd refuses what inference mode made."""
    sr: Tensor = model(lr)
    return sr.clone()
