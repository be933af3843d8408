"""How long each stage of a predictor takes on this machine, on frames of noise."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from deploy.core.errors import OptionError
from deploy.inference.latency import StageClock
from deploy.inference.options import BenchmarkOptions
from deploy.inference.run import open_predictor
from deploy.prediction.predictor import Predictor


def time_predictor(options: BenchmarkOptions) -> dict[str, Any]:
    """Time resize, normalization, network and post-processing.

    Returns:
        backend, stages (`StageClock.summary`), and share_around_network, the part of the time that is not the network.

    Raises:
        OptionError: the input size is none.
    """
    clock = StageClock()
    with open_predictor(options) as predictor:
        image = np.random.default_rng(0).integers(0, 256, (*_size(options.input_size, predictor), 3), np.uint8)
        view = predictor.view(*image.shape[:2])
        for _ in range(options.frames):
            with clock.stage("resize"):
                lr = view.to_input(image)
            with clock.stage("normalise"):
                batch = view.to_batch(lr)
            with clock.stage("network"):
                output = predictor.backend.run(batch)
            with clock.stage("postprocess"):
                view.read(output[0])
        stages = clock.summary()
        total = sum(figures["p50_ms"] for figures in stages.values())
        share = 1 - stages["network"]["p50_ms"] / total
        return {"backend": predictor.backend_report, "stages": stages, "share_around_network": share}


def _size(text: str | None, predictor: Predictor) -> tuple[int, int]:
    """Height and width."""
    if text is None:
        return predictor.card.grid.height_px, predictor.card.grid.width_px
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise OptionError(f"--input-size {text!r} is not WIDTHxHEIGHT", hint="Use --input-size 1920x1080.")
    return int(match[2]), int(match[1])
