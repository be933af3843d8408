"""A folder of results that can be read while it grows, and says until the end that it is not finished."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.core.errors import OptionError
from deploy.core.files import write_text
from deploy.core.work_folder import hold, put_back, remove_temporaries
from deploy.outputs.output_folder import cannot_create, check_output, make_parents, remove_empty

UNFINISHED = "UNFINISHED"
"""Name of the file that lies in a folder until it is finished; its last word tells the work that the folder is of."""


@contextmanager
def growing(
    out: Path, work: str, sources: Sequence[str], *, overwrite: bool, resumable: Collection[str] = ()
) -> Iterator[None]:
    """Let results grow in `out`; this process alone works there.

    Args:
        out: the folder, made if missing, and removed if nothing was done: earlier results are then put back.
        work: a word that tells this work from other: what an interrupted run left is kept only for the same.
        sources: inputs, which must not lie in `out`.
        overwrite: begin anew, in the place of earlier results.
        resumable: other work whose interrupted results are kept, too.

    Raises:
        OptionError: `out` cannot be used, holds results, or those of other unfinished work.
        OutputError: it cannot be made, or another process works there.
    """
    out = out.resolve()
    created, root = make_parents(out), out.parent / f".{out.name}.partial"
    earlier = root / "replaced"
    try:
        with ExitStack() as stack:
            try:
                stack.enter_context(hold(root / "lock"))
                put_back(earlier, out)  # killed in the middle of putting it away
                _make_room(out, earlier, {work, *resumable}, sources, overwrite=overwrite)
            except OSError as error:
                raise cannot_create(out, error) from None
            stack.callback(shutil.rmtree, earlier, ignore_errors=True)
            try:
                out.mkdir(exist_ok=True)
                write_text(
                    out / UNFINISHED,
                    f"These results are not finished: the run is in progress or was interrupted.\n{work}\n",
                )
                yield
            except BaseException:
                if not any(path.is_file() and path.name != UNFINISHED for path in out.rglob("*")):
                    shutil.rmtree(out, ignore_errors=True)
                    put_back(earlier, out)
                raise
            (out / UNFINISHED).unlink()
    except BaseException:
        remove_empty(created)
        raise


def _make_room(out: Path, earlier: Path, resumable: set[str], sources: Sequence[str], *, overwrite: bool) -> None:
    marker = out / UNFINISHED
    left = marker.read_text(encoding="utf-8").split()[-1:] if marker.is_file() else None
    resumes = not overwrite and any(left == [work] for work in resumable)
    if left is not None and not resumes and not overwrite:
        raise OptionError(
            f"--out {out} contains an unfinished run with other options",
            hint="Use the same options to resume it, another --out, or --overwrite to start over.",
        )
    if left is not None:
        remove_temporaries(out, below=True)
    check_output(out, sources, overwrite=overwrite or resumes)
    if out.exists() and not resumes:
        if earlier.exists():
            shutil.rmtree(out)
        else:
            out.rename(earlier)
