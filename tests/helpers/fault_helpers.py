"""Small disks, disks that may not be written to, and commands run in this process, for the tests of faults."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.core.cli import run


@dataclass(frozen=True)
class Disk:
    """A file system of its own, in memory."""

    root: Path
    """Where it is mounted."""

    def remount(self, options: str) -> None:
        """Change its size ("size=64m") or whether it may be written to ("ro")."""
        subprocess.run(["mount", "-o", f"remount,{options}", self.root], check=True)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Disk]:
    """A disk of so many bytes ("48k", "2m"); the test is skipped where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=False).returncode:
        pytest.skip("this machine does not allow mounting a small file system")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def call(monkeypatch: pytest.MonkeyPatch, module: str, *arguments: object) -> int:
    """Run a command in this process; its exit code."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [module, *map(str, arguments)])
        try:
            run(importlib.import_module(module).main)
        except SystemExit as ended:
            return int(ended.code or 0)
    return 0


def one_message(capsys: pytest.CaptureFixture[str]) -> str:
    """What the command said on standard error, after checking that it is one message with a hint."""
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.count("error: ") == 1 and said.count(" hint: ") == 1, said
    return said[said.index("error: ") :]
