"""Models that PaddleSeg does not register, or that make one decision per macroblock."""

from __future__ import annotations

from typing import Any

import paddle
from paddleseg.cvlibs import manager
from paddleseg.models.ddrnet import DualResNet
from paddleseg.models.mobileseg import MobileSeg


@manager.MODELS.add_component
class DDRNet23Slim(DualResNet):  # type: ignore[misc]
    """DDRNet-23-slim (Hong et al., 2021): PaddleSeg's factory only builds the version of twice the width.

    Args:
        num_classes: number of levels.
        options: options of PaddleSeg's ``DualResNet``.
    """

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(num_classes, planes=32, head_planes=64, **options)


@manager.MODELS.add_component
class BlockSeg(MobileSeg):  # type: ignore[misc]
    """MobileSeg without upsampling beyond stride 16: one decision per macroblock of 16 x 16 pixels.

    Its logits are repeated over the pixels of the block, so its outputs have the same shape as those of other models.

    Args:
        num_classes: number of levels.
        backbone: any backbone that MobileSeg supports.
        options: options of PaddleSeg's ``MobileSeg``.
    """

    def __init__(self, num_classes: int, backbone: Any, **options: Any) -> None:
        super().__init__(
            num_classes, backbone, backbone_indices=[2, 3], arm_out_chs=[64, 128], seg_head_inter_chs=[32], **options
        )

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """(N, 3, H, W) -> [(N, L, H, W)], in training with an auxiliary output at stride 32; sides multiples of 32."""
        features = self.backbone(x)
        outputs = self.ppseg_head([features[2], features[3]])
        main = repeated(self.seg_heads[0](outputs[0]), 16)
        if not self.training:
            return [main]
        return [main, repeated(self.seg_heads[1](outputs[1]), 32)]


def repeated(blocks: paddle.Tensor, side_px: int) -> paddle.Tensor:
    """Repeat each value of (N, L, rows, cols) over side x side pixels: Paddle2ONNX fails on nearest interpolation."""
    _, levels, rows, cols = blocks.shape
    tall = blocks.reshape([-1, levels * rows, 1, cols, 1]).tile([1, 1, side_px, 1, side_px])
    return tall.reshape([-1, levels, rows * side_px, cols * side_px])
