"""Run commands as stages. A stage is skipped if its command, input files and outputs have not changed."""

from __future__ import annotations

import hashlib
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy.core.cli import EXIT_INTERRUPTED
from deploy.core.errors import RegenError
from deploy.core.files import sha256_of, write_text

ROOT = Path(__file__).parents[2]
"""The project's folder, in which stages run."""
_KILLED = "It probably ran out of memory: close other programs, or use smaller frames or batches; then run it again."


@dataclass(frozen=True)
class Stage:
    """One command with its inputs and outputs."""

    name: str
    command: tuple[str, ...]
    """Arguments of the Python interpreter."""
    inputs: tuple[Path, ...]
    outputs: tuple[Path, ...]

    def fingerprint(self) -> str:
        """Hash of the command and of the files it reads."""
        parts = [*self.command, *(sha256_of(path) for path in self.inputs)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def words_of(command: Sequence[object]) -> tuple[str, ...]:
    """Arguments of a command. Paths become absolute, since stages do not run in the user's working directory."""
    return tuple(str(word.resolve()) if isinstance(word, Path) else str(word) for word in command)


def run_stage(stage: Stage, stamps: Path, log: Path | None = None) -> None:
    """Run a stage, unless it is up to date.

    Args:
        stage: the stage to run.
        stamps: folder that records completed runs.
        log: file for the command's output; None prints it.

    Raises:
        RegenError: the stage failed (without a log, it has printed the reason) or was killed.
        KeyboardInterrupt: the stage was interrupted.
    """
    stamp = stamps / f"{stage.name}.txt"
    fingerprint = stage.fingerprint()
    if stamp.is_file() and stamp.read_text() == fingerprint and all(path.exists() for path in stage.outputs):
        print(f"{stage.name}: up to date", flush=True)
        return
    stamp.unlink(missing_ok=True)
    execute(stage, log)
    write_text(stamp, fingerprint)


def execute(stage: Stage, log: Path | None = None) -> None:
    """Run a stage; see `run_stage`."""
    shown = [_relative(part) for part in stage.command]
    print(f"\n[{stage.name}] python {shlex.join(shown)}", flush=True)
    started = time.monotonic()
    with ExitStack() as stack:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
        stream = None if log is None else stack.enter_context(log.open("w", encoding="utf-8"))
        command = [sys.executable, "-u", *shown]
        code = subprocess.run(command, cwd=ROOT, stdout=stream, stderr=stream, check=False).returncode
    if code in (-signal.SIGINT, EXIT_INTERRUPTED):
        raise KeyboardInterrupt
    if code < 0:
        raise RegenError(f"stage {stage.name!r} was killed by {_signal_name(-code)}", hint=_KILLED)
    if code:
        reason = "see its message above" if log is None else _reason(log)
        raise RegenError(
            f"stage {stage.name!r} failed with exit code {code}: {reason}",
            hint="Fix the problem and run the command again.",
        )
    print(f"[{stage.name}] {time.monotonic() - started:.0f} s", flush=True)


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"


def _relative(part: str) -> str:
    """Paths inside the project are relative, as in the documentation, unless they would look like options."""
    path = Path(part)
    shown = str(path.relative_to(ROOT)) if path.is_absolute() and path.is_relative_to(ROOT) else part
    return part if shown.startswith("-") else shown


def _reason(log: Path) -> str:
    """The command's error message, or the last line of its output."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it printed nothing"])[-1]
