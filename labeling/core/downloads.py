"""Download files and check their checksums. A failed download leaves no partial file."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from deploy.core.errors import InputError
from deploy.core.files import atomic_path, sha256_of

TIMEOUT_SECONDS = 60


def download(url: str, path: Path, *, sha256: str) -> None:
    """Download a file over HTTP.

    Args:
        url: URL of the file.
        path: where to write it; an existing file is replaced.
        sha256: first hexadecimal digits of its SHA-256; all 64 if known.

    Raises:
        InputError: no answer or a wrong checksum; `path` is unchanged.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tmp-") as folder:
        fetch = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS)
        try:
            found = Path(pooch.retrieve(url, known_hash=None, fname="file", path=folder, downloader=fetch))
        except (requests.RequestException, OSError, ValueError) as error:
            raise InputError(f"cannot download {url}: {error}", hint="Check the network.") from None
        digest = sha256_of(found)
        if not digest.startswith(sha256):
            raise InputError(
                f"{url} has checksum {digest}, expected {sha256}", hint="The download was discarded; try again."
            )
        with atomic_path(path) as temporary:
            found.replace(temporary)
