"""Does an upscaler give the frame back? Its result, reduced again, must be what went in.

That tells a network that is run wrongly (a residual scale or a range of values that its file does not state, another
network's weights, no training) from every one that is run rightly, whatever it was trained on.
"""

from __future__ import annotations

import math
import sys
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deploy.core.errors import RegenError, WeightsError, first_line
from labeling.upscalers.base import Upscaler

LEAST_DB = 25.0
"""Applied once, CARN-M, EDSR, PAN, IMDN, SAFMN, RLFN, ESPCN and FSRCNN have 34 to 53 dB. EDSR with a residual scale ten
times too large has 12, one that is not trained 13, CARN-M fed values to 255 18, a gray result 20."""
_BORDER_PX = 4
_HINTS = {
    "edsr": "If it was trained with a residual scale, specify it: --upscaler-option res_scale=0.1",
    "onnx": "It must enlarge RGB or luma of values 0 to 1 or 0 to 255, without any other normalization.",
}
_HINTS["torch-program"] = _HINTS["onnx"]


def require_consistent(upscaler: Upscaler, source: str, *, stated: bool = False) -> None:
    """Apply an upscaler of any scale once to the known frame.

    Args:
        upscaler: the upscaler to test.
        source: its file, for the message.
        stated: the user said how it is to be run; then a result that is not the frame is a warning.

    Raises:
        WeightsError: it does not run, or its result, reduced again, is not the frame.
    """
    frame = known_frame()
    enlarge = getattr(upscaler, "enlarge_once", partial(upscaler.upscale, reference=None))
    try:
        found_db = consistency_db(frame, enlarge(frame))
    except RegenError:
        raise
    except Exception as error:  # what networks raise has no common base
        raise WeightsError(f"{source} failed to run: {first_line(error)}", hint="Download the file again.") from None
    if found_db >= LEAST_DB:
        return
    message = (
        f"{source} does not enlarge as {upscaler.name!r}: its result, reduced again, should be the frame, and is "
        f"{found_db:.1f} dB from it (at least {LEAST_DB:.0f}; correct ones reach 34 or more)"
    )
    if not stated:
        raise WeightsError(message, hint=_hint_for(upscaler))
    print(f"warning: {message}. {_hint_for(upscaler)}", file=sys.stderr)


def _hint_for(upscaler: Upscaler) -> str:
    if upscaler.record:
        given = ", ".join(f"{key}={value}" for key, value in upscaler.record.items())
        return f"It was not trained with {given}, or it is untrained."
    return _HINTS.get(upscaler.name, "Use trained weights of this kind, or the --upscaler that they are for.")


def consistency_db(frame: Tensor, enlarged: Tensor) -> float:
    """PSNR between a frame and its enlargement reduced by area, without a border of 4 pixels.

    Args:
        frame: (1, C, H, W) in [0, 1].
        enlarged: (1, C, H * scale, W * scale), clipped to [0, 1].

    Returns:
        dB; 100 at most, and 0 where a value is not a number.
    """
    inner = slice(_BORDER_PX, -_BORDER_PX)
    reduced = functional.interpolate(enlarged.float().clamp(0.0, 1.0), frame.shape[2:], mode="area")
    error = float((reduced - frame)[..., inner, inner].square().mean())
    return 0.0 if math.isnan(error) else -10.0 * math.log10(max(error, 1e-10))


def known_frame() -> Tensor:
    """A picture of a house, a tree, a wire and a road before a sky: (1, 3, 39, 47) RGB in [0, 1], whole 1/255.

    Saturated colors, dark and bright areas, edges and texture. Its sides are multiples of nothing, as frames' may be.
    """
    height, width, fine = 39, 47, 4
    y, x = np.mgrid[: height * fine, : width * fine] / fine
    sky = (120 + 70 * np.sin(y / 40 + 0.3), 130 + 60 * np.cos(x / 30) + y / 2, 200 - 2 * y)
    picture = np.stack(np.broadcast_arrays(*sky), axis=2)
    road = 90 + 18 * np.sin(1.3 * x + 0.7 * y)[..., None] * np.ones(3)
    for area, colour in (
        ((y > 11) & (y < 35) & (x > 5) & (x < 17), (150, 70, 50)),
        ((y > 15) & (y < 20) & (x > 8) & (x < 11), (230, 220, 120)),
        ((y > 23) & (y < 28) & (x > 11) & (x < 14), (20, 25, 45)),
        ((y - 16) ** 2 + (x - 33) ** 2 < 81, (60, 120, 60)),
        (abs(y - 8 - 0.8 * (x - 20)) < 1.2, (240, 240, 235)),
        ((y > 30) & (x > 18), road),
    ):
        picture = np.where(area[..., None], colour, picture)
    pixels = picture.clip(0, 255).reshape(height, fine, width, fine, 3).mean(axis=(1, 3)).round() / 255
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None].contiguous()
