"""Select parts of videos and their splits: by shares, by hand on the command line, or by a list file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from deploy.core.errors import InputError, OptionError, RegenError, first_line
from deploy.inputs.video import FrameSelection
from labeling.labels.options import LabelOptions
from labeling.maths.split import SPLITS, SplitName

_HINT = "Write a list of entries:\n  - path: street.mp4\n    split: train\n    start: 10\n    stop: 70.5\n    every: 5"
_MOST_BYTES = 10**7


@dataclass(frozen=True)
class Clip:
    """A part of a video."""

    path: Path
    """The video, or the folder of images."""
    split: SplitName | None
    """Its split; None: by the shares."""
    selection: FrameSelection
    """Which of its frames."""


class _Entry(BaseModel):
    """One entry of a list file."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, Field(min_length=1)]
    split: SplitName
    start: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    stop: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    every: Annotated[int, Field(ge=1)] | None = None


_ENTRIES = TypeAdapter(Annotated[list[_Entry], Field(min_length=1)])


def span_of(clips: Sequence[Clip]) -> FrameSelection:
    """Range of frames from the first part of a video to the last."""
    stops = [clip.selection.stop_seconds for clip in clips]
    last = None if None in stops else max(stop for stop in stops if stop is not None)
    return FrameSelection(min(clip.selection.start_seconds for clip in clips), last)


def clips_of(options: LabelOptions) -> list[Clip]:
    """All parts of videos named in a command, in order of their first mention.

    Raises:
        InputError: the list file cannot be read.
        OptionError: the list file is invalid, or videos with and without a split are mixed.
    """
    usual = FrameSelection(options.start_seconds, options.stop_seconds, options.every)
    clips = [Clip(path, None, usual) for path in options.videos]
    clips += [Clip(path, split, usual) for split in SPLITS for path in getattr(options, split)]
    if options.clips is not None:
        clips += _listed(options.clips, usual)
    if not clips:
        raise OptionError("no video given", hint="Specify at least one: make_labels.py VIDEO --out DIR")
    if options.videos and len(clips) > len(options.videos):
        raise OptionError(
            f"{options.videos[0]} has no split, but other videos have one",
            hint="Assign every video with --train, --val, --test or --clips, or none of them.",
        )
    return clips


def _listed(file: Path, usual: FrameSelection) -> list[Clip]:
    """Read the entries of a list file; missing values are taken from the command's options."""
    try:
        with file.open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise OptionError(f"--clips {file} is larger than 10 MB: not a list of videos", hint=_HINT)
        entries = _ENTRIES.validate_python(yaml.safe_load(text.decode("utf-8")))
    except OSError as error:
        raise InputError(f"cannot read --clips {file}: {error.strerror}", hint="Check the path.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
        raise OptionError(f"--clips {file}: entry {where or 'list'}: {first['msg']}", hint=_HINT) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise OptionError(f"--clips {file} is not YAML: {first_line(error)}", hint=_HINT) from None
    clips = []
    for number, entry in enumerate(entries, 1):
        try:
            selection = FrameSelection(
                usual.start_seconds if entry.start is None else entry.start,
                usual.stop_seconds if entry.stop is None else entry.stop,
                entry.every or usual.every,
            )
        except RegenError as error:
            raise OptionError(f"--clips {file}: entry {number}: {error}", hint=error.hint) from None
        clips.append(Clip(file.parent / entry.path, entry.split, selection))
    return clips
