"""Get CenterNet-MobileNetV3, a COCO detector of 2 million parameters, from the npm package @vladmandic/human (MIT).

    python datasets/get_demo_detector.py [--out datasets/cache/centernet]

Needs npm, only to download the package: nothing in it is installed or run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from deploy.core.cli import run
from deploy.core.errors import InputError
from deploy.core.files import atomic_path, sha256_of

PACKAGE = "@vladmandic/human@3.3.6"
SHA256 = {
    "centernet.json": "bfb942eaacc5becf738d536663bc4580a0ae9e560722306e6d4dd7fe4a09de05",
    "centernet.bin": "1b635a15009071f506f9f2b3519b31c072c534888989f30d269ffd44734ef7ef",
}
DEFAULT_OUT = Path(__file__).parent / "cache" / "centernet"
TIMEOUT_SECONDS = 300


def main() -> None:
    """Parse the command line and get the detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write to (default: %(default)s)")
    get_demo_detector(parser.parse_args().out)


def get_demo_detector(out: Path) -> None:
    """Put the model's two files into `out` unless they are there.

    Raises:
        InputError: npm is missing or fails, or a checksum differs.
    """
    if all((out / name).is_file() and sha256_of(out / name) == digest for name, digest in SHA256.items()):
        print(f"{out} already exists")
        return
    npm = shutil.which("npm")
    if npm is None:
        raise InputError("npm is not installed", hint="Install npm, or use --detector hog, which needs no download.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            result = subprocess.run(
                [npm, "pack", PACKAGE], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(f"npm pack {PACKAGE}: {error}", hint="Use --detector hog, or try again.") from None
        if result.returncode != 0:
            last = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"npm pack {PACKAGE}: {last}", hint="Use --detector hog, which needs no download.")
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            for file_name, digest in SHA256.items():
                _take(archive, file_name, digest, out)
    print(f"wrote {out}")


def _take(archive: tarfile.TarFile, file_name: str, digest: str, out: Path) -> None:
    try:
        member = archive.extractfile(f"package/models/{file_name}")
    except (KeyError, RecursionError):  # not there, or a link that leads nowhere or to itself
        member = None
    if member is None:
        raise InputError(f"{PACKAGE} holds no {file_name}", hint="Use --detector hog.")
    with atomic_path(out / file_name) as temporary:
        with temporary.open("wb") as stream:
            shutil.copyfileobj(member, stream)
        if sha256_of(temporary) != digest:
            raise InputError(f"{file_name} has another checksum than expected", hint="The package was changed.")


if __name__ == "__main__":
    run(main)
