"""File names of a dataset, and the label value of ignored pixels."""

from __future__ import annotations

from pathlib import PurePath

IGNORE_LEVEL = 255
"""Label value of unknown pixels."""


def frame_file_name(index: int) -> str:
    """File name of a frame's picture."""
    return f"{index:06d}.png"


def image_name(video_id: str, index: int) -> str:
    """Path of an LR frame in the dataset."""
    return f"origin_images/{video_id}/{frame_file_name(index)}"


def label_name(video_id: str, index: int) -> str:
    """Path of a label in the dataset."""
    return f"labels/{video_id}/{frame_file_name(index)}"


def previous_name(video_id: str, index: int) -> str:
    """Path, in the dataset, of the score map of the previous frame's detections."""
    return f"previous/{video_id}/{frame_file_name(index)}"


def video_of(path: PurePath) -> str:
    """Video of a frame or label of a dataset: the name of its folder."""
    return path.parent.name
