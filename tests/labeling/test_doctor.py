"""The doctor works with nothing installed, tells what is missing, and survives libraries that crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labeling import doctor
from tests.helpers.label_helpers import REPOSITORY


def test_without_any_package(tmp_path: Path) -> None:
    """-I -S: no site-packages at all."""
    out = tmp_path / "findings.json"
    code = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); sys.argv = ['doctor', '--json', {str(out)!r}]; "
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code + "import labeling.doctor as d; d._TRIALS = d._TRIALS[3:4]; d.main()"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    findings = {line["name"]: line for line in json.loads(out.read_text())}
    assert findings["Python"]["status"] == "ok"
    packages = findings["packages"]  # the last of that name; one for all that are missing
    assert packages["status"] == "failure" and "are not installed: " in packages["message"]
    assert "make setup" in packages["fix"] and len(findings) < 10
    assert "fix: Run: make setup" in done.stdout and "Traceback" not in done.stderr


def test_here_everything_needed_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heavy trials are left to the command; the quick ones run."""
    quick = [trial for trial in doctor._TRIALS if trial[0] in ("ONNX Runtime", "FFmpeg libraries")]
    monkeypatch.setattr(doctor, "_TRIALS", quick)
    lines = doctor.examine()
    assert [line for line in lines if line.status == "failure"] == []
    assert {"Python", "packages", "ONNX Runtime", "FFmpeg libraries", "TensorRT", "NVIDIA GPU", "disk"} <= {
        line.name for line in lines
    }


@pytest.mark.parametrize(
    ("code", "needed", "status", "message"),
    [
        ("print('fine')", True, "ok", "fine"),
        ("import no_such_library", True, "failure", "No module named"),
        ("import no_such_library", False, "warning", "No module named"),
        ("import os; os.kill(os.getpid(), 11)", True, "failure", "signal 11"),
    ],
)
def test_a_trial(code: str, needed: bool, status: str, message: str) -> None:
    line = doctor._try("a library", needed, code, "install it")
    assert line.status == status and message in line.message and (line.fix == "install it") == (status != "ok")


def test_pins(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy==0.1\n# a comment==1\nno-such-package==1.0\nopenvino-no==2\n")
    lines = {line.name: line for line in doctor._packages(requirements)}
    assert lines["numpy"].status == "warning" and "0.1 was tested" in lines["numpy"].message
    assert lines["no-such-package"].status == "failure"
    assert lines["packages"].message == "0 of 3 have the pinned version"
    assert doctor._packages(tmp_path / "none.txt")[0].status == "failure"


def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_GB", 10**9)
    assert [line.status for line in doctor._disk(tmp_path)] == ["warning", "ok"]
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", lambda **_: (_ for _ in ()).throw(PermissionError(13, "no")))
    assert doctor._disk(tmp_path)[1].status == "failure"
