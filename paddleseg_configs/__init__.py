"""PaddleSeg configurations and the tools that train, evaluate and export them."""

from __future__ import annotations

from deploy.core.lazy import install_moved_modules

install_moved_modules(
    {
        "paddleseg_configs.training.origin": "paddleseg_configs.training.config.origin",
        "paddleseg_configs.zoo": "paddleseg_configs.ladder",
        "paddleseg_configs.zoo.record": "paddleseg_configs.ladder.record",
    }
)
