"""Check a documented command without doing its work: its own parser reads the options, and its files must exist."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import tyro

from tests.helpers.doc_blocks import REPOSITORY

FOLDERS = ("benchmarks", "datasets", "deploy", "docs", "export", "labeling", "paddleseg_configs", "tests")
OUTPUTS = frozenset({"--out", "--json", "--page", "--report", "--save_dir", "--onnx"})
TOOLS = REPOSITORY / "paddleseg_configs" / "paddleseg_tools" / "paddleseg" / "tools"


class _AcceptedError(Exception):
    """The options were read; there is nothing more to try."""


def commands_of(script: str) -> list[list[str]]:
    """The words of each command of a shell block, without comments; variables that it sets are filled in."""
    variables: dict[str, str] = {}
    commands = []
    for line in script.replace("\\\n", " ").splitlines():
        filled = re.sub(r"\$(\w+)", lambda use: variables[use[1]], line)
        words = shlex.split(filled, comments=True)
        while words and (assignment := re.fullmatch(r"([A-Z_]+)=(.*)", words[0])):
            variables[assignment[1]] = assignment[2]
            del words[0]
        if words:
            commands.append(words)
    return commands


def check_command(words: list[str]) -> None:
    """Raise unless the command is one of this project's and would accept its options."""
    if words[0] == "make":
        check_make(words[1:])
        return
    assert words[0] in ("python", ".venv/bin/python", "python3"), f"cannot check {words[0]!r} without running it"
    check_paths(words)
    script, arguments = _script(words[1:])
    parse(script, arguments)


def parse(script: Path, arguments: list[str]) -> None:
    """Run a script up to the moment at which it has read its options.

    Raises:
        SystemExit: its parser refuses them.
    """
    path = list(sys.path)
    sys.path.insert(0, str(script.parent))
    try:
        with mock.patch.object(sys, "argv", [str(script), *arguments]), _stop_after_parsing():
            runpy.run_path(str(script), run_name="__main__")
    except _AcceptedError:
        return
    finally:
        sys.path[:] = path
    raise AssertionError(f"{script} never read its options")


@contextmanager
def _stop_after_parsing() -> Iterator[None]:
    parse_args = argparse.ArgumentParser.parse_args

    def stopping(read: Callable[..., Any]) -> Callable[..., Any]:
        def read_and_stop(*arguments: Any, **keywords: Any) -> None:
            with mock.patch.object(argparse.ArgumentParser, "parse_args", parse_args):
                read(*arguments, **keywords)
            raise _AcceptedError

        return read_and_stop

    with (
        mock.patch.object(tyro, "cli", stopping(tyro.cli)),
        mock.patch.object(argparse.ArgumentParser, "parse_args", stopping(parse_args)),
    ):
        yield


def _script(words: list[str]) -> tuple[Path, list[str]]:
    """Which file ``python ...`` runs, and what it gets."""
    if words[0] != "-m":
        return REPOSITORY / words[0], words[1:]
    module = words[1]
    if module == "paddle.distributed.launch":  # the command that it starts comes behind its own options
        start = next(number for number, word in enumerate(words) if word.endswith(".py"))
        return REPOSITORY / words[start], words[start + 1 :]
    if module.startswith("paddleseg.tools."):
        return TOOLS / f"{module.rpartition('.')[2]}.py", words[2:]
    return REPOSITORY / f"{module.replace('.', '/')}.py", words[2:]


def check_paths(words: list[str]) -> None:
    """Every path inside the project exists; for one that the command writes, its folder."""
    for option, word in pairwise(words):
        path = Path(word.rpartition("=")[2])
        if len(path.parts) < 2 or path.parts[0] not in FOLDERS or path.parts[:2] == ("datasets", "cache"):
            continue
        where = REPOSITORY / (path.parent if option in OUTPUTS else path)
        assert where.exists(), f"there is no {where.relative_to(REPOSITORY)}"


def make_targets() -> set[str]:
    """What the Makefile can make."""
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):(?!=)", text, flags=re.M))


def check_make(words: list[str]) -> None:
    """Targets exist; so do the variables that are set."""
    variables = set(re.findall(r"^(\w+) \?=", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    for word in words:
        name, sets, _ = word.partition("=")
        assert name in (variables if sets else make_targets()), f"the Makefile has no {name}"
