"""Get vtest.avi, the demo clip: 768 x 576, 795 frames at 10 frames/s, people and vans seen from above.

    python datasets/get_demo_clip.py [--out datasets/cache/vtest.avi]

Extracts it from Debian's or Ubuntu's package opencv-doc (no root needed), or downloads it from OpenCV's repository, and
checks its checksum.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from deploy.core.cli import run
from deploy.core.errors import InputError
from deploy.core.files import atomic_path, sha256_of
from labeling.core.downloads import download

SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
URL = "https://github.com/opencv/opencv/raw/4.x/samples/data/vtest.avi"
DEFAULT_OUT = Path(__file__).parent / "cache" / "vtest.avi"
TIMEOUT_SECONDS = 300


def main() -> None:
    """Parse the command line and get the clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="file to write (default: %(default)s)")
    get_demo_clip(parser.parse_args().out)


def get_demo_clip(out: Path) -> None:
    """Put the clip at `out` unless it is there.

    Raises:
        InputError: no source worked; the message gives the reasons.
    """
    if out.is_file() and sha256_of(out) == SHA256:
        print(f"{out} already exists")
        return
    failures = []
    for name, source in (("Debian package opencv-doc", _from_debian), ("OpenCV's repository", _from_url)):
        print(f"getting vtest.avi from {name} ...", flush=True)
        try:
            _fetch(source, out)
        except (OSError, subprocess.SubprocessError, InputError) as error:
            failures.append(f"{name}: {error}")
            print(f"  failed: {error}")
            continue
        print(f"wrote {out}")
        return
    raise InputError(
        "cannot get the demo clip; " + "; ".join(failures),
        hint=f"Download {URL} with a browser to {out}, or use your own video: make demo VIDEO=path",
    )


def _fetch(source: Callable[[Path], Path], out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = source(Path(folder))
        digest = sha256_of(found)
        if digest != SHA256:
            raise InputError(f"checksum {digest}, expected {SHA256}", hint="The file was changed during the download.")
        with atomic_path(out) as temporary:
            shutil.copyfile(found, temporary)


def _from_debian(folder: Path) -> Path:
    """Download the package without installing it, and take the clip out."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise InputError(f"{tool} is not installed", hint="This is not Debian or Ubuntu.")
    try:
        _quiet(["apt-get", "download", "opencv-doc"], folder)
    except InputError:  # a fresh machine may have no package lists yet; private ones need no root
        (folder / "lists" / "partial").mkdir(parents=True)
        private = ["-o", f"Dir::State::Lists={folder / 'lists'}", "-o", f"Dir::Cache={folder}"]
        _quiet(["apt-get", *private, "update"], folder)
        _quiet(["apt-get", *private, "download", "opencv-doc"], folder)
    package = next(folder.glob("opencv-doc_*.deb"))
    _quiet(["dpkg-deb", "-x", package.name, "contents"], folder)
    clip = next((folder / "contents").rglob("vtest.avi"), None)
    if clip is None:
        raise InputError(f"{package.name} contains no vtest.avi", hint="This is another release of the package.")
    return clip


def _from_url(folder: Path) -> Path:
    clip = folder / "vtest.avi"
    download(URL, clip, sha256=SHA256)
    return clip


def _quiet(command: list[str], folder: Path) -> None:
    """Run a command, and on failure give the last line that it said."""
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    if result.returncode != 0:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{' '.join(command)}: {last}", hint="Check the network.")


if __name__ == "__main__":
    run(main)
