"""Ground-truth annotations: COCO JSON or MOT text."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.core.errors import InputError, first_line
from deploy.detectors.detections import Detections

Key = int | str
"""Index of a frame of a video from 0, or file name of an image."""
_HINT = "Use COCO JSON (bbox, category_id, category names) or MOT text (frame, id, x, y, width, height, …)."
_PERSON = "person"


@dataclass(frozen=True)
class Annotations:
    """Boxes of some frames, in pixels of the source."""

    boxes: Mapping[Key, tuple[tuple[float, float, float, float, str], ...]]
    """Frame -> x0, y0, x1, y1 and the name of the class of each object."""

    @property
    def classes(self) -> set[str]:
        """Names of the classes that there are."""
        return {box[4] for boxes in self.boxes.values() for box in boxes}

    def knows(self, index: int, image_name: str = "") -> bool:
        """Whether a frame is annotated: identified by index in a video, or by image file name."""
        return (image_name or index) in self.boxes

    def of_frame(self, index: int, image_name: str, names: tuple[str, ...], kept: tuple[str, ...]) -> Detections:
        """The objects of a frame.

        Args:
            index: of the frame in a video.
            image_name: of an image's file; empty for a video.
            names: classes of the detector.
            kept: those that count.
        """
        chosen = [box for box in self.boxes[image_name or index] if box[4] in kept]
        corners = np.array([box[:4] for box in chosen], np.float32).reshape(-1, 4)
        classes = np.array([names.index(box[4]) for box in chosen], np.int64)
        return Detections(corners, np.ones(len(chosen), np.float32), classes, names)


def read_annotations(path: Path) -> Annotations:
    """Read a file of either kind, identified by its suffix.

    Raises:
        InputError: missing, or of no such form.
    """
    read: Callable[[Path], dict[Key, list[Any]]] = _read_coco if path.suffix.lower() == ".json" else _read_mot
    try:
        found = read(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"cannot read annotations {path}: {first_line(error)}", hint=_HINT) from None
    if not found:
        raise InputError(f"annotations {path} contain no frame", hint=_HINT)
    return Annotations({key: tuple(boxes) for key, boxes in found.items()})


def _read_coco(path: Path) -> dict[Key, list[Any]]:
    """By file name, and by the frame's number where the name ends in one or `frame_index` says it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    by_image: dict[Any, list[Any]] = {image["id"]: [] for image in content["images"]}
    for entry in content["annotations"]:
        x, y, width, height = map(float, entry["bbox"])
        if not entry.get("iscrowd"):
            by_image[entry["image_id"]].append((x, y, x + width, y + height, names[entry["category_id"]]))
    found: dict[Key, list[Any]] = {}
    for image in content["images"]:
        name = Path(str(image.get("file_name", ""))).name
        number = re.search(r"(\d+)\.\w+$", name)
        index = image.get("frame_index", int(number[1]) if number else None)
        for key in (name, index):
            if key not in ("", None):
                found[key] = by_image[image["id"]]
    return found


def _read_mot(path: Path) -> dict[Key, list[Any]]:
    """Frames are numbered from 1; boxes whose confidence is 0 do not count; all are people."""
    found: dict[Key, list[Any]] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            if row:
                frame, x, y, width, height = int(row[0]), *map(float, row[2:6])
                boxes = found.setdefault(frame - 1, [])
                if len(row) <= 6 or float(row[6]) != 0:
                    boxes.append((x, y, x + width, y + height, _PERSON))
    return found
