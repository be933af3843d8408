"""One process at a time: locks that die with their process, and folders for work that is not finished."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from deploy.core.errors import OutputError

_TRIES = 100


@contextmanager
def hold(lock: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock file `lock` until the context is left or the process ends.

    Args:
        lock: a file that is made for this and removed afterwards, with its folder if that is empty; a shared one stays.
        shared: allow other shared holders, but no exclusive one.

    Raises:
        OutputError: another process holds it.
    """
    try:
        stream = acquire(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(
            f"another process is working on {lock.parent}", hint="Wait for it to finish, or choose another output."
        ) from None
    try:
        yield
    finally:
        if not shared and _is_still(lock, stream):
            lock.unlink()
            with suppress(OSError):  # it holds something, or another process has begun
                lock.parent.rmdir()
        stream.close()


def acquire(lock: Path, kind: int) -> TextIO:
    """Open a file, made if missing, with a lock that ends when it is closed or the process dies.

    Args:
        lock: the file.
        kind: what `fcntl.flock` is to do.

    Raises:
        BlockingIOError: another process holds it, and `kind` has LOCK_NB.
    """
    while True:
        stream = _open(lock)
        try:
            fcntl.flock(stream, kind)
        except BaseException:
            stream.close()
            raise
        if _is_still(lock, stream):
            return stream
        stream.close()


def _open(lock: Path) -> TextIO:
    for _ in range(_TRIES):
        with suppress(FileNotFoundError, FileExistsError):  # who held it before may just remove the folder
            return _open_once(lock)
        time.sleep(0.001)
    return _open_once(lock)


def _open_once(lock: Path) -> TextIO:
    """Open a regular file, made if missing; no link of either kind, pipe or device: those are removed, not followed."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    if lock.is_symlink():
        lock.unlink()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    stream = os.fdopen(os.open(lock, flags | os.O_NONBLOCK, 0o666), "a", encoding="utf-8")
    state = os.fstat(stream.fileno())
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        stream.close()
        lock.unlink()
        raise FileNotFoundError(lock)  # once more
    return stream


def _is_still(lock: Path, stream: TextIO) -> bool:
    """Whether the open file is the one of that name: who held it before has removed it at its end."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder next to `out`, exclusive to this process, to be renamed to `out`.

    It lies in ``.NAME.partial``, which is removed at the end. What a killed run left there is removed first, but for an
    earlier `out` that it was about to replace (see `replace_folder`): that is put back.

    Raises:
        OutputError: another process is working on `out`.
    """
    root = out.parent / f".{out.name}.partial"
    with hold(root / "lock"):
        draft, replaced = root / "draft", root / "replaced"
        try:
            put_back(replaced, out)
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            yield draft
        finally:
            put_back(replaced, out)
            clear(root)


def put_back(replaced: Path, out: Path) -> None:
    """Give an output that was about to be replaced its place again, unless something has taken it."""
    if replaced.exists() and not out.exists():
        replaced.rename(out)


def clear(folder: Path) -> None:
    """Remove all that a work folder holds but its lock, which goes when it is let go."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != "lock":
            path.unlink(missing_ok=True)


def replace_folder(draft: Path, out: Path) -> None:
    """Rename a draft of `work_folder` to `out`. An earlier `out` is removed when that is done, or put back."""
    replaced = draft.parent / "replaced"
    if out.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        out.rename(replaced)
    try:
        draft.rename(out)
    except BaseException:
        put_back(replaced, out)
        raise


def remove_temporaries(folder: Path, *, below: bool = False) -> None:
    """Delete what killed writers (`deploy.core.files.atomic_path`) left in a folder that is this process's alone.

    Args:
        folder: where to look.
        below: look in all folders below it, too.
    """
    for path in list(folder.rglob(".tmp-*") if below else folder.glob(".tmp-*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
