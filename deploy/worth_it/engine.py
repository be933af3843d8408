"""What enlarges frames: interpolation, and the upscaler."""

from __future__ import annotations

import numpy as np
from PIL import Image as Pictures

from deploy.core.closeable import Closing
from deploy.core.grid import Grid
from deploy.enhancement.upscaler import Upscaler
from deploy.prediction.postprocess import top_blocks
from deploy.prediction.predictor import Predictor
from deploy.worth_it.options import WorthOptions
from deploy.worth_it.samples import Image
from deploy.worth_it.ways import Enhanced, Ranking


class FrameEngine(Closing):
    """Puts blocks of the whole super-resolved frame over the interpolated one; ranks by edges without a predictor."""

    def __init__(self, predictor: Predictor | None, upscaler: Upscaler) -> None:
        self._predictor, self._upscaler = predictor, upscaler
        self.scale = upscaler.scale

    def grid(self, lr: Image) -> Grid:
        """See `Engine.grid`."""
        return Grid(lr.shape[0], lr.shape[1], self.scale)

    def close(self) -> None:
        """Free the networks."""
        self._upscaler.close()

    def enhance(self, lr: Image, budget: float, ranking: Ranking | None = None) -> Enhanced:
        """See `Engine.enhance`."""
        grid = self.grid(lr)
        size = (lr.shape[1] * self.scale, lr.shape[0] * self.scale)
        interpolated = np.array(Pictures.fromarray(lr).resize(size, Pictures.Resampling.BICUBIC))
        selected = np.full((grid.rows, grid.cols), budget == 1)
        if budget == 0:
            return Enhanced(interpolated, selected)
        sr = self._upscaler(lr[None])[0]
        if budget == 1:
            return Enhanced(sr, selected)
        if ranking is None and self._predictor is not None:
            ranking = self._predictor(lr).importance
        elif ranking is None:
            gray = lr.astype(np.float32).mean(axis=2)
            ranking = grid.pool(np.hypot(*np.gradient(gray)))
        selected = top_blocks(ranking, budget)
        return Enhanced(np.where(grid.upsample_to_sr(selected)[..., None], sr, interpolated), selected)


def open_engine(options: WorthOptions) -> FrameEngine:
    """The engine that options name."""
    return FrameEngine(
        Predictor(options.predictor) if options.predictor else None, Upscaler(options.upscaler, threads=options.threads)
    )
