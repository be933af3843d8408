"""Label new video on the scale of an earlier dataset, so that a level means the same in both."""

from __future__ import annotations

from pathlib import Path

from deploy.core.errors import OptionError
from labeling.dataset.manifest import MANIFEST_NAME, Manifest, ModelRecord, read_manifest
from labeling.labels.compatibility import require_same_kind
from labeling.labels.options import LabelOptions

# Options that determine the unit of raw importance.
_SCALE_OPTIONS = (
    "scale",
    "interpolation",
    "variant",
    "objective",
    "reference",
    "norm",
    "path_steps",
    "grid",
    "block_px",
)


def read_calibration(path: Path, options: LabelOptions, models: tuple[ModelRecord, ModelRecord]) -> Manifest:
    """Read the manifest of the dataset whose scale is used.

    Args:
        path: a dataset folder or its manifest.json.
        options: options of the new labels.
        models: detector and upscaler of the new labels.

    Raises:
        DatasetError: the dataset does not exist.
        OptionError: the scale does not cover the whole dataset, or its raw importance is of another kind.
    """
    manifest = read_manifest(path.parent if path.name == MANIFEST_NAME else path)
    if manifest.scope != "dataset":
        raise OptionError(
            f"--calibration {path}: its importance was normalized over each {manifest.scope}",
            hint="Only a scale over a whole dataset can be reused; label that dataset with --scope dataset.",
        )
    require_same_kind(
        manifest,
        options,
        models,
        _SCALE_OPTIONS,
        {"levels": (options.levels, manifest.num_levels)},
        named=f"--calibration {path}",
        hint="Different kinds of importance have no common scale; use the same options and weights.",
    )
    return manifest
