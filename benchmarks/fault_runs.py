"""Runs that can be killed, and what they leave behind; see faults.py."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TIME_KEYS = frozenset({"seconds_per_iter", "latency", "milliseconds", "verdict", "worth_it"})
NAMES_ONLY = ("latency.json", "*.log", "zoo.md", "zoo.html", "worth.html", "stamps/*.txt")


@dataclass(frozen=True)
class Stage:
    """One command."""

    name: str
    arguments: tuple[object, ...]
    """Of Python; OUT stands for the folder it works in."""
    reads: tuple[str, ...] = ()
    """Stages whose results it reads."""
    appears_whole: bool = False
    """Whether what has its final name must be whole at every instant."""
    refuses_when_done: bool = False
    """Whether it ends with an error where its results are whole already: a kill may come behind its last step."""

    def words(self, folder: Path) -> list[str]:
        """What Python is to run, in a folder."""
        return [str(part).replace("OUT", str(folder)) for part in self.arguments]


def start(stage: Stage, folder: Path) -> subprocess.Popen[bytes] | Forked:
    """Start a command as the leader of a process group; its output is written next to its folder."""
    environment = {"PYTHONPATH": str(ROOT), "REGEN_BEGUN": str(folder.with_suffix(".begun"))}
    said = folder.with_suffix(".said")
    if stage.name in FORKS.stages:
        return Forked(stage.words(folder), environment, said)
    command = [sys.executable, *stage.words(folder)]
    with said.open("wb") as stream:
        return subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=stream, stderr=stream, start_new_session=True
        )


class _Forks:
    """Where runs are forked from."""

    def __init__(self) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.stages: tuple[str, ...] = ()
        """Whose runs are forks."""

    def preload(self, modules: tuple[str, ...], stages: tuple[str, ...]) -> None:
        """Import modules, if there are any, for the runs of these stages."""
        if modules:
            self.context.set_forkserver_preload(["__main__", *modules])
            first = self.context.Process(target=os.getpid)
            first.start()
            first.join()
            self.stages = stages


FORKS = _Forks()


class Forked:
    """A run as a fork, with what is used here of `subprocess.Popen`."""

    def __init__(self, words: list[str], environment: dict[str, str], said: Path) -> None:
        self._process = FORKS.context.Process(target=_run_here, args=(words, environment, said))
        self._process.start()
        self.pid = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """Exit code, once it has ended."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; `subprocess.TimeoutExpired` if that does not come in time."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0)
        return self._process.exitcode


def _run_here(words: list[str], environment: dict[str, str], said: Path) -> None:
    """In the fork: run what Python was to run."""
    os.setsid()
    os.environ.update(environment)
    os.chdir(ROOT)
    with said.open("wb") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    kind, *rest = words
    sys.argv = rest if kind in ("-c", "-m") else words
    if kind == "-c":
        exec(compile(rest[0], "counted", "exec"), {"__name__": "__main__"})  # noqa: S102 - our own text
    elif kind == "-m":
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(kind, run_name="__main__")


def kill(process: subprocess.Popen[bytes] | Forked) -> None:
    """Kill a run and all that it started, at once."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # a fork that is no leader of a group yet
        os.kill(process.pid, signal.SIGKILL)
    process.wait()


def ends_within(process: subprocess.Popen[bytes] | Forked, seconds: float) -> bool:
    """Whether a run ends before so much time has passed."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


def ends_before_it_writes(process: subprocess.Popen[bytes] | Forked, folder: Path) -> bool:
    """Wait until a run writes something into its folder, or ends."""
    before = _last_write(folder)
    while process.poll() is None:
        if _last_write(folder) > before:
            return False
        time.sleep(0.005)
    return True


def _last_write(folder: Path) -> int:
    times = [folder.stat().st_mtime_ns]
    for place, folders, files in os.walk(folder):  # which minds nothing that vanishes under its eyes
        for name in folders + files:
            with suppress(FileNotFoundError):
                times.append(Path(place, name).stat().st_mtime_ns)
    return max(times)


def contents(folder: Path) -> dict[str, str]:
    """Hash of what counts in every file, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(_essence(path)).hexdigest() for path in files}


def _essence(path: Path) -> bytes:
    """A file without its times."""
    if any(path.match(pattern) for pattern in NAMES_ONLY):
        return b""
    if path.suffix not in (".json", ".jsonl"):
        return path.read_bytes()
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    return json.dumps([_timeless(json.loads(line)) for line in lines]).encode()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in TIME_KEYS}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """What is wrong with files, in words."""
    lost = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    more = [f"{name} is left over" for name in found.keys() - wanted.keys()]
    return lost + more + [f"{name} differs" for name in wanted.keys() & found.keys() if wanted[name] != found[name]]


def said_last(folder: Path) -> str:
    """The last lines that a command wrote."""
    return " | ".join(folder.with_suffix(".said").read_text(errors="replace").splitlines()[-3:])
