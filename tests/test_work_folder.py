"""Locks die with their process, exclude each other, and unfinished work is used, removed or put back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.core.errors import OutputError
from deploy.core.work_folder import hold, remove_temporaries, replace_folder, work_folder
from tests.label_helpers import REPOSITORY

_COUNT = """
import sys
from pathlib import Path
from deploy.core.errors import OutputError
from deploy.core.work_folder import hold
folder, done = Path(sys.argv[1]), 0
while done < 50:
    try:
        with hold(folder / "lock" / "file"):
            number = folder / "number"
            number.write_text(str(int(number.read_text()) + 1))
            done += 1
    except OutputError:
        pass
"""


def test_only_one_holds_and_nothing_stays(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    with hold(lock):
        with pytest.raises(OutputError, match="another process is working on"), hold(lock):
            raise AssertionError("two hold it")
        with pytest.raises(OutputError), hold(lock, shared=True):
            raise AssertionError("shared although somebody has it alone")
    assert not lock.exists()
    with hold(lock, shared=True), hold(lock, shared=True), pytest.raises(OutputError), hold(lock):
        raise AssertionError("alone although others share it")


def test_processes_exclude_each_other_while_locks_come_and_go(tmp_path: Path) -> None:
    """An unlocked read and write of a number loses counts where two hold the lock, which is removed each time."""
    (tmp_path / "number").write_text("0")
    command = [sys.executable, "-c", _COUNT, str(tmp_path)]
    processes = [subprocess.Popen(command, cwd=REPOSITORY) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert (tmp_path / "number").read_text() == "200"


def test_a_draft_becomes_the_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for text in ("first", "second"):
        with work_folder(out) as draft:
            (draft / "file").write_text(text)
            replace_folder(draft, out)
        assert (out / "file").read_text() == text
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_the_old_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(ZeroDivisionError), work_folder(out) as draft:
        (draft / "file").write_text("half")
        raise ZeroDivisionError
    assert list(out.iterdir()) == [] and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_run_left_is_removed_or_put_back(tmp_path: Path) -> None:
    left = tmp_path / ".out.partial"
    for name in ("draft", "replaced"):  # killed between the two renames of replace_folder
        (left / name).mkdir(parents=True)
        (left / name / "file").write_text(name)
    (left / "lock").touch()
    with work_folder(tmp_path / "out") as draft:
        assert list(draft.iterdir()) == []
        assert (tmp_path / "out" / "file").read_text() == "replaced"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_temporaries_are_removed_where_asked(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "below"):
        (folder / ".tmp-folder").mkdir(parents=True)
        (folder / ".tmp-file.png").touch()
        (folder / "kept.png").touch()
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["below", "kept.png"]
    assert len(list((tmp_path / "below").iterdir())) == 3
    remove_temporaries(tmp_path, below=True)
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["kept.png"]
