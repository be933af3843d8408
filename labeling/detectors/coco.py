"""Category numbers of COCO."""

from __future__ import annotations

_RETIRED_IDS = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
COCO_IDS: tuple[int, ...] = tuple(identifier for identifier in range(1, 91) if identifier not in _RETIRED_IDS)
"""COCO's own category id of each class: 1 to 90, with gaps where categories were given up."""
