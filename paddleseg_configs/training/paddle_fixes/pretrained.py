"""Weights to start from, for ``pretrained:``: a local file, or an address with a checksum.

PaddleSeg's own download checks nothing and unpacks archives wherever their members say; and its loading goes on, from
random weights, when no name in the file is one of the model's.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urldefrag, urlparse

import numpy as np

from deploy.core.errors import WeightsError
from deploy.core.files import atomic_path, sha256_of
from paddleseg_configs.training.paddle_fixes.weights import read_state

TIMEOUT_SECONDS = 60


def load_pretrained(model: Any, source: str | None) -> None:
    """Copy what fits by name and shape into a model; the rest keeps its initial weights. In place of PaddleSeg's.

    Args:
        model: a paddle layer.
        source: a .pdparams file, an address as `fetch_pretrained` takes it, or None for nothing.

    Raises:
        WeightsError: no such file, or nothing in it fits.
    """
    if source is None:
        return
    path = Path(fetch_pretrained(source) if urlparse(source).netloc else source)
    given, own = read_state(path), model.state_dict()
    fitting = {
        name: value for name, value in given.items() if name in own and np.shape(value) == tuple(own[name].shape)
    }
    name = type(model).__name__
    if not fitting:
        raise WeightsError(
            f"pretrained: none of the {len(given)} tensors of {path} fits {name}",
            hint="Give weights of this very model, or pretrained: null.",
        )
    model.set_dict({**own, **fitting})
    print(f"{name}: {len(fitting)} of {len(own)} tensors from {path}", flush=True)


def fetch_pretrained(address: str) -> str:
    """Fetch weights once, and say where they lie.

    Args:
        address: ``https://HOST/FILE#sha256=DIGEST``: a ``.pdparams`` file, or a tar archive that holds one.

    Raises:
        WeightsError: no checksum or another one, no answer, or an archive without weights.
    """
    url, fragment = urldefrag(address)
    match = re.fullmatch(r"sha256=([0-9a-f]{64})", fragment)
    if match is None or urlparse(url).scheme not in ("http", "https"):
        raise WeightsError(
            f"pretrained: {address} does not say its checksum",
            hint=f"Append it: {url}#sha256=…, which `curl -L {url} | sha256sum` prints; or give a local file.",
        )
    target = cache_folder() / match[1] / "model.pdparams"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            download = Path(folder) / "download"
            _download(url, download)
            if (digest := sha256_of(download)) != match[1]:
                raise WeightsError(f"{url} has the checksum {digest}, not {match[1]}", hint="Nothing was kept.")
            _keep_weights(download, target, url)
    return str(target)


def cache_folder() -> Path:
    """Where weights are kept: $XDG_CACHE_HOME or ~/.cache, in regen/pretrained."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regen" / "pretrained"


def _download(url: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as stream:  # noqa: S310
            shutil.copyfileobj(answer, stream)
    except (URLError, OSError) as error:
        raise WeightsError(f"cannot download {url}: {error}", hint="Or give a local .pdparams file.") from None


def _keep_weights(source: Path, target: Path, url: str) -> None:
    """Copy the file, or the only .pdparams member of an archive, whatever path it claims there."""
    with atomic_path(target) as temporary:
        if not tarfile.is_tarfile(source):
            shutil.copyfile(source, temporary)
            return
        with tarfile.open(source) as archive:
            members = [member for member in archive if member.isfile() and member.name.endswith(".pdparams")]
            stream = archive.extractfile(members[0]) if len(members) == 1 else None
            if stream is None:
                raise WeightsError(f"{url} holds {len(members)} .pdparams files, not one", hint="Unpack it yourself.")
            with temporary.open("wb") as kept:
                shutil.copyfileobj(stream, kept)
