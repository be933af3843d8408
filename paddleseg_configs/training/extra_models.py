"""Models that PaddleSeg can build but has no name for."""

from __future__ import annotations

from typing import Any

from paddleseg.cvlibs import manager
from paddleseg.models.ddrnet import DualResNet


@manager.MODELS.add_component
class DDRNet23Slim(DualResNet):  # type: ignore[misc]
    """DDRNet-23-slim (Hong et al., 2021): PaddleSeg's factory only makes the version of twice the width.

    Args:
        num_classes: number of levels.
        options: of PaddleSeg's ``DualResNet``.
    """

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(num_classes, planes=32, head_planes=64, **options)
