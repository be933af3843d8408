"""Merge datasets: of several detectors, sizes or machines."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from deploy.core.errors import DatasetError, OptionError
from deploy.core.files import sha256_of, write_text
from deploy.core.progress import track
from deploy.core.work_folder import work_folder
from labeling.dataset.layout import image_name, label_name, previous_name, video_of
from labeling.dataset.lists import read_pairs
from labeling.dataset.manifest import (
    MANIFEST_NAME,
    GridRecord,
    Manifest,
    ModelRecord,
    Scope,
    SplitRecord,
    read_manifest,
    write_manifest,
)
from labeling.maths.split import SPLITS

T = TypeVar("T")
_MUST_AGREE = ("num_levels", "curve", "reduction")


def merge_datasets(datasets: Sequence[Path], out: Path) -> Manifest:
    """Write a dataset with the frames of all datasets, each with its own label.

    The same frame may occur several times with labels of different detectors: a model then learns their mean.
    Videos keep unique names; the others get the number of their dataset. Files are hard links where the
    file system supports them.

    Args:
        datasets: two or more finished datasets.
        out: folder to create.

    Raises:
        DatasetError: a dataset cannot be used.
        OptionError: the datasets differ in levels, curve, reduction, grid or scope, or `out` exists.
    """
    if len(datasets) < 2:
        raise OptionError("merging needs at least two datasets", hint="Name two or more.")
    if out.exists():
        raise OptionError(f"--out {out} already exists", hint="Use a folder that does not exist yet, or remove it.")
    manifests = [read_manifest(dataset) for dataset in datasets]
    _require_agreement(datasets, manifests)
    names = _new_names(manifests)
    with work_folder(out) as draft:
        counts = zip(datasets, manifests, names, strict=True)
        for dataset, manifest, renamed in track(counts, total=len(datasets), label="merging", unit="dataset"):
            _add_files(dataset, manifest, renamed, draft)
        write_text(draft / "labels.txt", (datasets[0] / "labels.txt").read_text(encoding="utf-8"))
        merged = _merged(datasets, manifests, names)
        write_manifest(draft, merged)
        draft.replace(out)
    return merged


def _require_agreement(datasets: Sequence[Path], manifests: list[Manifest]) -> None:
    first = manifests[0]
    grid = first.grid.name, first.grid.block_px, first.grid.scale
    for dataset, manifest in zip(datasets[1:], manifests[1:], strict=True):
        pairs = [(name, getattr(first, name), getattr(manifest, name)) for name in _MUST_AGREE]
        pairs.append(("grid", grid, (manifest.grid.name, manifest.grid.block_px, manifest.grid.scale)))
        pairs.append(("previous detections", first.previous is not None, manifest.previous is not None))
        pairs.append(("scope of frame", first.scope == "frame", manifest.scope == "frame"))
        for name, expected, found in pairs:
            if found != expected:
                raise OptionError(
                    f"{name} of {dataset} is {found}, but that of {datasets[0]} is {expected}",
                    hint="Label both with the same options; --importance-from changes levels, curve and scope quickly.",
                )


def _new_names(manifests: list[Manifest]) -> list[dict[str, str]]:
    """Return, for each dataset, the new name of each of its videos."""
    every = [source.video_id for manifest in manifests for source in manifest.sources]
    names: list[dict[str, str]] = []
    for number, manifest in enumerate(manifests, 1):
        ids = [source.video_id for source in manifest.sources]
        names.append({name: f"{name[:58]}-{number}" if every.count(name) > 1 else name for name in ids})
    flat = [name for renamed in names for name in renamed.values()]
    if len(set(flat)) < len(flat):
        raise OptionError("two videos would have the same name", hint="Rename the videos and label them again.")
    return names


def _add_files(dataset: Path, manifest: Manifest, renamed: dict[str, str], out: Path) -> None:
    for split in SPLITS:
        lines = []
        for frame, label in read_pairs(dataset, split):
            name, index = renamed[video_of(frame)], int(frame.stem)
            _link(frame, out / image_name(name, index))
            _link(label, out / label_name(name, index))
            if manifest.previous is not None:
                _link(dataset / previous_name(video_of(frame), index), out / previous_name(name, index))
            lines.append(f"{image_name(name, index)} {label_name(name, index)}\n")
        with (out / f"{split}.txt").open("a", encoding="utf-8") as stream:
            stream.writelines(lines)
    for old, new in renamed.items():
        source = dataset / "importance" / f"{old}.npz"
        if not source.is_file():
            raise DatasetError(f"{source} is missing", hint="Create that dataset again.")
        _link(source, out / "importance" / f"{new}.npz")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _merged(datasets: Sequence[Path], manifests: list[Manifest], names: list[dict[str, str]]) -> Manifest:
    pairs = list(zip(manifests, names, strict=True))
    scope: Scope = "frame" if manifests[0].scope == "frame" else "video"
    sources = []
    for manifest, renamed in pairs:
        for source in manifest.sources:
            grid = manifest.make_grid(source.video_id)
            size = {"frame_height_px": grid.height_px, "frame_width_px": grid.width_px}
            sources.append(source.model_copy(update={"video_id": renamed[source.video_id], **size}))
    height = max(manifest.frame_height_px for manifest in manifests)
    width = max(manifest.frame_width_px for manifest in manifests)
    first = manifests[0]
    grid = replace(first.make_grid(), height_px=height, width_px=width)
    hashes = [sha256_of(dataset / MANIFEST_NAME) for dataset in datasets]
    options = {
        key: value
        for key, value in first.options.items()
        if all(key in manifest.options and manifest.options[key] == value for manifest in manifests)
    }
    return Manifest(
        schema_version=3 if first.previous is None else 4,
        frame_height_px=height,
        frame_width_px=width,
        grid=GridRecord(name=grid.name, block_px=grid.block_px, scale=grid.scale, rows=grid.rows, cols=grid.cols),
        num_levels=first.num_levels,
        scope=scope,
        curve=first.curve,
        calibrations=_by_new_names([(m, m.calibrations, renamed) for m, renamed in pairs]),
        level_edges=_by_new_names([(m, m.level_edges, renamed) for m, renamed in pairs]),
        detector=_common([manifest.detector for manifest in manifests]),
        upscaler=_common([manifest.upscaler for manifest in manifests]),
        options={**options, "merged_manifests": hashes},
        sources=tuple(sources),
        splits={
            split: SplitRecord(
                num_frames=sum(m.splits[split].num_frames for m in manifests),
                level_histogram=tuple(
                    map(sum, zip(*(m.splits[split].level_histogram for m in manifests), strict=True))
                ),
            )
            for split in SPLITS
        },
        versions=first.versions,
        job_sha256=hashlib.sha256("".join(hashes).encode()).hexdigest(),
        previous=first.previous and _common([m.previous for m in manifests if m.previous is not None]),
    )


def _by_new_names(parts: list[tuple[Manifest, dict[str, T], dict[str, str]]]) -> dict[str, T]:
    """Calibrations or edges by the keys of the merged dataset; a dataset-wide one is repeated for each video."""
    merged: dict[str, T] = {}
    for manifest, found, renamed in parts:
        for key, value in found.items():
            if manifest.scope == "dataset":
                merged |= dict.fromkeys(renamed.values(), value)
            else:
                video, slash, index = key.partition("/")
                merged[f"{renamed[video]}{slash}{index}"] = value
    return merged


def _common(records: list[ModelRecord]) -> ModelRecord:
    """The record that all have in common, or one that lists them."""
    if all(record == records[0] for record in records):
        return records[0]
    names = dict.fromkeys(f"{record.name} {record.weights_sha256[:12]}".strip() for record in records)
    return ModelRecord(name="several", weights_sha256="", settings={"models": tuple(names)})
