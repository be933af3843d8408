"""A model whose logits for a macroblock depend only on its surroundings, not on the frame size."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from paddle import nn
from paddle.nn import functional
from paddleseg.cvlibs import manager
from paddleseg.models.layers import ConvBN, ConvBNReLU

from paddleseg_configs.training.models.extra_models import repeated
from paddleseg_configs.training.models.padding import padded_size
from paddleseg_configs.training.paddle_fixes.pretrained import load_pretrained

BLOCK_PX = 16


@manager.MODELS.add_component
class AnySizeSeg(nn.Layer):
    """Features at strides 8, 16 and 32, added at stride 16: one decision for each macroblock of 16 x 16 pixels.

    Nothing is pooled over the frame (no squeeze-and-excitation, no pyramid of bins), so one exported file takes frames
    of any size.

    Args:
        num_classes: number of levels, L.
        backbone: returns features at strides 4, 8, 16 and 32, without pooling over the frame, such as MobileNetV2.
        width: number of channels of the sum.
        in_channels: channels of the frames and of the backbone: 3, or 4 with the previous frame's detections.
        pretrained: weights to start from: "general" (those of the general predictor), a file, or a URL with its
            checksum. A head for a different number of levels is initialized at random.
    """

    any_size = True

    def __init__(
        self, num_classes: int, backbone: Any, width: int = 96, in_channels: int = 3, pretrained: str | None = None
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.backbone = backbone
        fine, middle, coarse = backbone.feat_channels[1:]
        self.from_fine = ConvBN(fine, width, 3, stride=2)
        self.from_middle = ConvBN(middle, width, 1)
        self.from_coarse = ConvBN(coarse, width, 1)
        self.mix = nn.Sequential(*(_Residual(width, dilation) for dilation in (1, 2)))
        self.head = nn.Conv2D(width, num_classes, 1)
        load_pretrained(self, pretrained)

    def blocks(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, H, W) normalized images, sides multiples of 32 -> (N, L, H / 16, W / 16) logits of macroblocks."""
        _, fine, middle, coarse = self.backbone(x)
        wide = functional.interpolate(self.from_coarse(coarse), paddle.shape(middle)[2:], mode="bilinear")
        logits: paddle.Tensor = self.head(self.mix(self.from_fine(fine) + self.from_middle(middle) + wide))
        return logits

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """(N, C, H, W) -> [(N, L, H, W)]: each block's logits, repeated at all of its pixels."""
        blocks = self.blocks(x)
        if self.training:
            return [functional.interpolate(blocks, size=x.shape[2:], mode="nearest")]
        return [repeated(blocks, BLOCK_PX)]


def any_size_logits(model: Any, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """(C, H, W) normalized pixels of any size -> (L, H, W) logits, repeated at all pixels of a block.

    Like the exported file, this pads the frame with its last row and column to multiples of 32.
    """
    height, width = image.shape[1:]
    tall, wide = padded_size(height, width)
    padded = np.pad(image, ((0, 0), (0, tall - height), (0, wide - width)), mode="edge")
    with paddle.no_grad():
        blocks: NDArray[np.float32] = model.blocks(paddle.to_tensor(padded[None])).numpy()[0]
    return blocks.repeat(BLOCK_PX, 1).repeat(BLOCK_PX, 2)[:, :height, :width]


class _Residual(nn.Layer):
    """A depthwise and a pointwise convolution with a residual connection."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.spatial = ConvBNReLU(width, width, 3, groups=width, dilation=dilation, padding=dilation)
        self.channels = ConvBN(width, width, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        result: paddle.Tensor = functional.relu(x + self.channels(self.spatial(x)))
        return result
