"""A folder of results that is whole or absent, and that never replaces what it did not write."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from deploy.core.errors import OptionError, OutputError
from deploy.core.work_folder import replace_folder, work_folder
from deploy.inputs.live import file_name_of

_OWN_FILES = re.compile(
    r"\.stream-\d+-[^/]+\.partial(/lock)?|"
    r"(stream-\d+-[^/]+(/|$))?"
    r"(importance(-\d{6,})?\.npz|importance\.jsonl|blocks\.jsonl|detections\.jsonl|latency\.json|overlay\.mp4|overlays(/\d{6,}\.png)?"
    r"|enhanced(-\d{6,})?\.mp4|enhanced(/\d{6,}\.png)?|UNFINISHED)?"
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
    """The results' own folder, or one a stream where there are several; made if missing."""
    if len(names) == 1:
        return folder
    label = "".join(c if c.isalnum() or c in "._-" else "_" for c in file_name_of(names[position]))[:48] or "input"
    stream = folder / f"stream-{position:02d}-{label}"
    stream.mkdir(exist_ok=True)
    return stream


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out`; it becomes `out` on success and vanishes on failure.

    Raises:
        OutputError: the folder cannot be created, or another process is working on it.
    """
    out = out.resolve()
    created = _make_parents(out)
    try:
        with ExitStack() as stack:
            try:
                draft = stack.enter_context(work_folder(out))
            except OSError as error:
                raise _cannot_create(out, error) from None
            yield draft
            try:
                replace_folder(draft, out)
            except OSError as error:
                raise OutputError(
                    f"cannot replace {out} with the results: {error.strerror}",
                    hint="Use a folder inside it that does not exist yet.",
                ) from None
    except BaseException:
        _remove_empty(created)
        raise


def _make_parents(out: Path) -> list[Path]:
    """Create the folders above `out`; return those that were missing, innermost first."""
    missing = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise _cannot_create(out, error) from None
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _cannot_create(out: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot create {out}: {error.strerror}", hint="Choose a folder that you can write to.")
