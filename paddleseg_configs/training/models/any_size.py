"""A model whose logits of a macroblock depend on its surroundings alone, not on the size of the frame."""

from __future__ import annotations

from typing import Any

import paddle
from paddle import nn
from paddle.nn import functional
from paddleseg.cvlibs import manager
from paddleseg.models.backbones.mobilenetv2 import MobileNetV2
from paddleseg.models.layers import ConvBN, ConvBNReLU

from paddleseg_configs.training.models.extra_models import repeated

BLOCK_PX = 16


@manager.BACKBONES.add_component  # type: ignore[untyped-decorator]
def MobileNetV2_x0_35(**options: Any) -> MobileNetV2:
    """MobileNetV2 (Sandler et al., 2018) of 0.35 times its width, which PaddleSeg has no name for."""
    return MobileNetV2(scale=0.35, **options)


@manager.MODELS.add_component
class AnySizeSeg(nn.Layer):
    """Features at strides 8, 16 and 32, added at stride 16: one decision for each macroblock of 16 x 16 pixels.

    Nothing is pooled over the frame (no squeeze-and-excitation, no pyramid of bins), so one exported file takes frames
    of every size.

    Args:
        num_classes: number of levels, L.
        backbone: gives features at strides 4, 8, 16 and 32 and has no pooling over the frame, such as MobileNetV2.
        width: channels of the sum.
        pretrained: unused; PaddleSeg gives it to every model.
    """

    any_size = True

    def __init__(self, num_classes: int, backbone: Any, width: int = 96, pretrained: str | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        fine, middle, coarse = backbone.feat_channels[1:]
        self.from_fine = ConvBN(fine, width, 3, stride=2)
        self.from_middle = ConvBN(middle, width, 1)
        self.from_coarse = ConvBN(coarse, width, 1)
        self.mix = nn.Sequential(*(_Residual(width, dilation) for dilation in (1, 2)))
        self.head = nn.Conv2D(width, num_classes, 1)

    def blocks(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, 3, H, W) normalised images, sides multiples of 32 -> (N, L, H / 16, W / 16) logits of macroblocks."""
        _, fine, middle, coarse = self.backbone(x)
        wide = functional.interpolate(self.from_coarse(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        logits: paddle.Tensor = self.head(self.mix(self.from_fine(fine) + self.from_middle(middle) + wide))
        return logits

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """(N, 3, H, W) -> [(N, L, H, W)]: each block's logits, at each of its pixels."""
        blocks = self.blocks(x)
        if self.training:
            return [functional.interpolate(blocks, size=x.shape[2:], mode="nearest")]
        return [repeated(blocks, BLOCK_PX)]


class _Residual(nn.Layer):
    """A depthwise and a pointwise convolution around which the input passes."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.spatial = ConvBNReLU(width, width, 3, groups=width, dilation=dilation, padding=dilation)
        self.channels = ConvBN(width, width, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        result: paddle.Tensor = functional.relu(x + self.channels(self.spatial(x)))
        return result
