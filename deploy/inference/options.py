"""The options of a run of inference and of a timing: fields for Python, flags for the command line."""

from __future__ import annotations

from argparse import BooleanOptionalAction
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from deploy.backends.selection import AUTO, CHOICES
from deploy.core.options import option
from deploy.core.ranges import require_ranges
from deploy.inputs.options import SourceOptions

if TYPE_CHECKING:  # numpy is behind these, and --help works without it
    from deploy.outputs.map_files import MapOptions
    from deploy.prediction.reuse import ReuseRule
    from deploy.prediction.selection import SelectionRule


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """Which model runs, and how."""

    model: Path | None = option(
        None,
        type=Path,
        help="the .onnx file, with its model card (.json) next to it (default: the included general predictor)",
    )
    backend: str = option(AUTO, help=", ".join(CHOICES))
    threads: int | None = option(None, type=int, help="CPU threads (default: one per CPU of this process)")
    spinning: bool = option(
        False,
        action=BooleanOptionalAction,
        help="let idle CPU threads poll: faster on an idle machine, slower on a busy one",
    )
    lr_height: int | None = option(
        None,
        type=int,
        metavar="H",
        help="reduce larger frames to this shorter side for prediction only, for models of any size "
        "(default: the size the model was trained on)",
    )
    fit: Literal["exact", "pad"] = option(
        "exact", choices=("exact", "pad"), help="frames that do not fit a model of fixed size: refuse or pad them"
    )


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(RuntimeOptions):
    """Options of a timing.

    Raises:
        OptionError: a number is out of its range.
    """

    frames: int = option(200, type=int, metavar="N", help="frames to time")
    input_size: str | None = option(None, metavar="WxH", help="size of the input frames (default: the model's)")

    def __post_init__(self) -> None:
        require_ranges(self, "frames", low=1)


@dataclass(frozen=True, kw_only=True)
class InferenceOptions(SourceOptions, RuntimeOptions):
    """Options of one run.

    Raises:
        OptionError: a number is out of its range.
    """

    WITHOUT_EFFECT: ClassVar[frozenset[str]] = SourceOptions.WITHOUT_EFFECT | {"spinning", "blocks"}

    out: Path = option(type=Path, help="folder for the results")
    overwrite: bool = option(False, action="store_true", help="replace the results of an earlier run in --out")
    top: float = option(0.2, type=float, metavar="F", help="fraction of macroblocks to enhance")
    select: str | None = option(
        None,
        metavar="RULE",
        help="which macroblocks to enhance: top-20%, threshold-0.5 (importance) or budget-3000-per-second "
        "(macroblocks), over all inputs together (default: --top)",
    )
    window_seconds: float | None = option(
        None,
        type=float,
        metavar="S",
        help="select from all frames within this time together (default: each frame alone; 1 s for several inputs or "
        "a budget)",
    )
    predict_every: int | None = option(
        None, type=int, metavar="N", help="predict every Nth frame, reuse the result in between (default: every frame)"
    )
    on_change: float | None = option(
        None,
        type=float,
        metavar="C",
        help="predict again when a frame differs this much from the last predicted one (mean color difference, 0 to 1)",
    )
    maps: Literal["npz", "jsonl"] = option("npz", choices=("npz", "jsonl"), help="format of the importance maps")
    segment_seconds: float | None = option(
        None,
        type=float,
        metavar="S",
        help="start a new file of maps and of the overlay video every S seconds (default: one file)",
    )
    blocks: Literal["-"] | None = option(
        None, choices=("-",), help="also write the lines of blocks.jsonl to standard output, as they come"
    )
    overlays: int = option(5, type=int, metavar="N", help="number of overlay PNGs")
    overlay_video: bool | None = option(
        None, action=BooleanOptionalAction, help="write overlay.mp4 (default: for videos only)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_ranges(self, "top", low=0, high=1)
        require_ranges(self, "segment_seconds", "window_seconds", low=0, open_ends=True)
        require_ranges(self, "overlays", low=0)
        _ = self.rule, self.reuse(), self.map_options  # each refuses what it cannot use

    @property
    def rule(self) -> SelectionRule:
        """Which macroblocks to enhance."""
        from deploy.prediction.selection import SelectionRule

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
        from deploy.outputs.map_files import MapOptions

        length = self.segment_seconds
        return MapOptions(self.maps, None if length is None else Fraction(str(length)))

    def reuse(self) -> ReuseRule:
        """A new rule for one stream."""
        from deploy.prediction.reuse import ReuseRule

        every = 1 if self.predict_every is None and self.on_change is None else self.predict_every
        return ReuseRule(every, self.on_change)
