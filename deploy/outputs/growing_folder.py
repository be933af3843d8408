"""A folder of results that can be read while it grows, and says until the end that it is not finished."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.core.errors import OptionError, OutputError
from deploy.core.files import write_text
from deploy.core.work_folder import hold, remove_temporaries
from deploy.outputs.output_folder import check_output

UNFINISHED = "UNFINISHED"
"""Name of the file that lies in a folder until it is finished; its last word tells the work that the folder is of."""


@contextmanager
def growing(out: Path, work: str, sources: Sequence[str], *, overwrite: bool) -> Iterator[bool]:
    """Let results grow in `out`; this process alone works there.

    Args:
        out: the folder, made if missing.
        work: a word that tells this work from other: what an interrupted run left is kept only for the same.
        sources: inputs, which must not lie in `out`.
        overwrite: remove the results of an earlier run first.

    Yields:
        Whether there are results of an interrupted run to go on with.

    Raises:
        OptionError: `out` cannot be used, holds results, or those of other unfinished work.
        OutputError: it cannot be made, or another process works there.
    """
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = hold(out.parent / f".{out.name}.partial" / "lock")
        with lock:
            resumes = _prepare(out, work, sources, overwrite=overwrite)
            try:
                yield resumes
            except BaseException:
                if not any(path.is_file() and path.name != UNFINISHED for path in out.rglob("*")):
                    shutil.rmtree(out)  # nothing was done
                raise
            (out / UNFINISHED).unlink()
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise OutputError(
            f"cannot create {out}: {error.strerror}", hint="Choose a folder that you can write to."
        ) from None


def _prepare(out: Path, work: str, sources: Sequence[str], *, overwrite: bool) -> bool:
    marker = out / UNFINISHED
    left = marker.read_text(encoding="utf-8").split()[-1:] if marker.is_file() else None
    resumes = left == [work] and not overwrite
    if left is not None and left != [work] and not overwrite:
        raise OptionError(
            f"--out {out} contains an unfinished run with other options",
            hint="Use the same options to resume it, another --out, or --overwrite to start over.",
        )
    if left is not None:
        remove_temporaries(out, below=True)
    check_output(out, sources, overwrite=overwrite or resumes)
    if out.exists() and not resumes:
        shutil.rmtree(out)
    out.mkdir(exist_ok=True)
    write_text(marker, f"These results are not finished: the run is in progress or was interrupted.\n{work}\n")
    return resumes
