"""How every command of the project ends: one clear message and a meaningful exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from io import TextIOWrapper

from deploy.core.errors import RegenError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

_OS_HINTS = {
    errno.ENOSPC: "The disk is full: free some space and run the same command again.",
    errno.EACCES: "Choose a folder that you can write to, or change its permissions.",
    errno.EPERM: "Choose a folder that you can write to, or change its permissions.",
    errno.EROFS: "The file system is read-only: choose another output folder.",
    errno.ENOTDIR: "Part of that path is a file: choose another output folder.",
    errno.ENAMETOOLONG: "Choose a shorter path.",
}


def run(main: Callable[[], None], *, resumes: bool = False) -> None:
    """Run `main` and exit: 0 on success, 2 on a user's error, 130 on Ctrl-C. Programming errors propagate.

    Args:
        main: the command.
        resumes: whether the same command resumes after an interruption; otherwise it starts over.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a file name need not be text of any encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except RegenError as error:
        _fail(str(error), error.hint)
    except OSError as error:
        if error.errno is None:  # not from the operating system
            raise
        where = error.filename or "while reading or writing"
        _fail(f"{error.strerror}: {where}", _OS_HINTS.get(error.errno, "Check that path and its file system."))
    except KeyboardInterrupt:
        advice = "run the same command again to resume" if resumes else "nothing was kept; the same command starts over"
        print(f"\ninterrupted: {advice}", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def _fail(message: str, hint: str) -> None:
    print(f"error: {message}\n hint: {hint}", file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)
