"""An unfinished dataset: a folder next to the output, named by everything that determines the labels."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.core.files import write_image, write_npz
from deploy.core.work_folder import hold
from labeling.dataset.layout import image_name


@dataclass(frozen=True)
class WorkFolder:
    """Unfinished work of one job, next to the output and named by the job's fingerprint."""

    root: Path
    """The folder."""

    @classmethod
    def for_output(cls, out: Path, fingerprint: str) -> WorkFolder:
        """Return the work folder for `out`."""
        out = out.resolve()
        return cls(out.parent / f".{out.name}.partial-{fingerprint[:12]}")

    def unfinished_others(self) -> list[Path]:
        """Find work folders of other jobs with the same output."""
        prefix = self.root.name.rsplit("-", 1)[0]
        return sorted(path for path in self.root.parent.glob(f"{glob.escape(prefix)}-*") if path != self.root)

    @property
    def dataset(self) -> Path:
        """Folder of the unfinished dataset."""
        return self.root / "dataset"

    def frame_file(self, video_id: str, index: int) -> Path:
        """File of the importance of one frame. It is written last, so the frame is done if it exists."""
        return self.root / "frames" / video_id / f"{index:06d}.npz"

    def coded_file(self, video_id: str) -> Path:
        """File of the coded low-resolution video, if any."""
        return self.root / "coded" / f"{video_id}.mkv"

    def store_image(self, video_id: str, index: int, image: NDArray[np.uint8]) -> None:
        """Store the LR frame."""
        write_image(self.dataset / image_name(video_id, index), Image.fromarray(image))

    def store_frame(self, video_id: str, index: int, importance: NDArray[np.float32], num_detections: int) -> None:
        """Store the raw importance."""
        write_npz(self.frame_file(video_id, index), importance=importance, num_detections=np.array(num_detections))

    @contextmanager
    def locked(self, shard: str | None) -> Iterator[None]:
        """Prevent a second process from working on the same job, or the same part of it.

        Raises:
            OutputError: another process is working on it.
        """
        with ExitStack() as stack:
            stack.enter_context(hold(self.root / "lock", shared=shard is not None))
            if shard:
                stack.enter_context(hold(self.root / f"lock-{shard.replace('/', '-of-')}"))
            yield
