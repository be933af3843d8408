"""Locks die with their process, exclude each other, and unfinished work is used, removed or put back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deploy.core.errors import OutputError
from deploy.core.files import atomic_path, read_npz, write_npz, write_text
from deploy.core.work_folder import hold, remove_temporaries, replace_folder, work_folder
from tests.helpers.label_helpers import REPOSITORY

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

_WRITE = """
import sys
from pathlib import Path
from deploy.core.files import atomic_path
for _ in range(20):
    with atomic_path(Path(sys.argv[1])) as temporary, temporary.open("w") as stream:
        for _ in range(10):
            stream.write(sys.argv[2] * 100)
            stream.flush()
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


def test_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    """Each writes a long run of its own letter, slowly; whoever opens the file sees one letter."""
    command = [sys.executable, "-c", _WRITE, str(tmp_path / "file.txt")]
    processes = [subprocess.Popen([*command, letter], cwd=REPOSITORY) for letter in "abc"]
    seen = set()
    while any(process.poll() is None for process in processes):
        if (tmp_path / "file.txt").exists():
            seen.add((tmp_path / "file.txt").read_text())
    assert [process.returncode for process in processes] == [0] * 3
    assert seen <= {letter * 1000 for letter in "abc"} and seen
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_what_a_killed_writer_left_goes_with_the_next(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("kept")
    path = tmp_path / "folder" / "file.txt"
    for leave in (
        lambda left: left.write_text("half a page"),
        lambda left: left.symlink_to(outside),
        lambda left: left.hardlink_to(outside),
    ):
        with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
            raise ZeroDivisionError
        leave(temporary)
        write_text(path, "new")
        assert path.read_text() == "new" and outside.read_text() == "kept"
        assert list(path.parent.iterdir()) == [path]


def test_arrays_go_to_a_file_of_any_name(tmp_path: Path) -> None:
    write_npz(tmp_path / "arrays.dat", numbers=np.arange(3))
    assert read_npz(tmp_path / "arrays.dat")["numbers"].tolist() == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["arrays.dat"]


def test_a_lock_of_another_is_never_removed(tmp_path: Path) -> None:
    """Whose file was removed under him, and made anew by another, leaves it alone."""
    lock = tmp_path / "work" / "lock"
    with hold(lock):
        lock.unlink()
        with hold(lock):
            with pytest.raises(OutputError), hold(lock):
                raise AssertionError("two hold it")
            second = lock.stat().st_ino
        assert not lock.exists()
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
    assert lock.exists() and second


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "ä" * 125 + ".png"])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.suffix == ".png"
    assert [path.name for path in tmp_path.iterdir()] == [name]


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
