"""A folder of results that never replaces other files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from deploy.core.errors import OptionError, OutputError
from deploy.inputs.live import file_name_of

_OWN_FILES = re.compile(
    r"\.stream-\d+-[^/]+\.partial(/lock)?|"
    r"(stream-\d+-[^/]+(/|$))?"
    r"(importance(-\d{6,})?\.npz|(importance|blocks|detections)\.jsonl|latency\.json|UNFINISHED"
    r"|(overlay|enhanced)(-\d{6,})?\.mp4|(overlays|enhanced)(/\d{6,}\.png)?)?"
)


def check_output(out: Path, sources: Sequence[str], *, overwrite: bool) -> None:
    """Refuse an output folder that would destroy something.

    Raises:
        OptionError: `out` is a file or the current folder, holds files of others or the input, or holds results and
            may not be overwritten.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise OptionError(f"--out {out} is a file", hint="Give a folder that does not exist yet.")
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*"))
    foreign = [name for name in names if not _OWN_FILES.fullmatch(name)]
    if foreign:
        raise OptionError(
            f"--out {out} contains files that this command did not write: {', '.join(foreign[:3])}",
            hint="Give a folder that does not exist yet.",
        )
    if out.resolve() == Path.cwd():
        raise OptionError(f"--out {out} is the current folder", hint="Use a folder inside it: --out results")
    for source in sources:
        if Path(source).resolve().is_relative_to(out.resolve()):
            raise OptionError(f"--input {source} is inside --out {out}", hint="Use another output folder.")
    if names and not overwrite:
        raise OptionError(f"--out {out} already contains results", hint="Add --overwrite to replace them.")


def folder_of_stream(folder: Path, names: Sequence[str], position: int) -> Path:
    """The results' folder, or one per stream if there are several; created if missing."""
    if len(names) == 1:
        return folder
    label = "".join(c if c.isalnum() or c in "._-" else "_" for c in file_name_of(names[position]))[:48] or "input"
    stream = folder / f"stream-{position:02d}-{label}"
    stream.mkdir(exist_ok=True)
    return stream


def make_parents(out: Path) -> list[Path]:
    """Create the folders above `out`; return those that were missing, innermost first.

    Raises:
        OutputError: one cannot be created.
    """
    missing = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remove_empty(missing)
        raise cannot_create(out, error) from None
    return missing


def remove_empty(folders: list[Path]) -> None:
    """Remove those of these folders that hold nothing, in this order."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def cannot_create(out: Path, error: OSError) -> OutputError:
    """The error that a folder cannot be made."""
    return OutputError(f"cannot create {out}: {error.strerror}", hint="Choose a folder that you may write to.")
