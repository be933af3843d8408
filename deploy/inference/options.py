"""What a run of inference may be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from deploy.core.errors import OptionError
from deploy.outputs.map_files import MapFormat, MapOptions
from deploy.prediction.reuse import ReuseRule
from deploy.prediction.selection import SelectionRule


@dataclass(frozen=True)
class InferenceOptions:
    """Options of one run; the command line's, by the same names.

    Raises:
        OptionError: a number is out of its range.
    """

    model: Path
    """The .onnx file."""
    input: tuple[str, ...]
    """Videos, folders of images, images, streams; several share one selection."""
    out: Path
    """The folder to create."""
    overwrite: bool = False
    """Replace the results of an earlier run."""
    backend: str = "auto"
    """"auto" or a backend's name."""
    threads: int | None = None
    """CPU threads; None takes one a CPU of this process."""
    spinning: bool = False
    """Whether idle CPU threads keep polling."""
    every: int = 1
    """Take one frame in so many."""
    start_seconds: float = 0.0
    """First presentation time to take."""
    stop_seconds: float | None = None
    """First presentation time not to take; None means the end."""
    top: float = 0.2
    """Fraction of the macroblocks to enhance, in [0, 1]; `select` goes before it."""
    select: str | None = None
    """A rule as `SelectionRule.parse` reads it."""
    window_seconds: float | None = None
    """Frames of all streams within so long share one selection; None takes each frame alone, or a second where there
    are several streams or a budget."""
    predict_every: int | None = None
    """Predict one frame in so many and reuse the prediction; None predicts each, or leaves it to `on_change`."""
    on_change: float | None = None
    """Predict anew when a frame differs so much from the last predicted one."""
    maps: MapFormat = "npz"
    """Format of the importance maps."""
    segment_seconds: float | None = None
    """Length of a file of maps; None writes one."""
    overlays: int = 5
    """Number of overlay PNGs."""
    overlay_video: bool | None = None
    """Whether to write overlay.mp4; None means for videos only."""

    def __post_init__(self) -> None:
        if not 0 <= self.top <= 1:
            raise OptionError(f"top={self.top} must be in [0, 1]", hint="Use --top 0.2 for one macroblock in five.")
        if self.segment_seconds is not None and not 0 < self.segment_seconds < math.inf:
            raise OptionError(f"segment_seconds={self.segment_seconds} must be positive", hint="Leave it out.")
        if self.overlays < 0:
            raise OptionError(f"overlays={self.overlays} is negative", hint="Use --overlays 0 for none.")
        if self.window_seconds is not None and not 0 < self.window_seconds < math.inf:
            raise OptionError(f"window_seconds={self.window_seconds} must be positive", hint="Leave it out.")
        _ = self.rule, self.reuse(), self.map_options  # each refuses what it cannot use

    @property
    def rule(self) -> SelectionRule:
        """Which macroblocks to enhance."""
        return SelectionRule.parse(self.select) if self.select else SelectionRule("top", Fraction(str(self.top)))

    @property
    def window(self) -> Fraction | None:
        """Length of a window in seconds; None makes each frame one."""
        if self.window_seconds is not None:
            return Fraction(str(self.window_seconds))
        return Fraction(1) if len(self.input) > 1 or self.rule.kind == "budget" else None

    @property
    def map_options(self) -> MapOptions:
        """How maps are written."""
        length = self.segment_seconds
        return MapOptions(self.maps, None if length is None else Fraction(str(length)))

    def reuse(self) -> ReuseRule:
        """A new rule for one stream."""
        every = 1 if self.predict_every is None and self.on_change is None else self.predict_every
        return ReuseRule(every, self.on_change)
