"""Compare an existing dataset with the one to be made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from deploy.core.errors import OptionError, OutputError
from labeling.dataset.manifest import MANIFEST_NAME, Manifest, ModelRecord, read_manifest
from labeling.labels.job import BEFORE, option_values
from labeling.labels.options import LabelOptions

_DEFAULTS = {field.name: field.default for field in fields(LabelOptions)} | BEFORE
"""Defaults of options missing in a manifest."""


def require_same_kind(
    manifest: Manifest,
    options: LabelOptions,
    models: tuple[ModelRecord, ModelRecord],
    names: Iterable[str],
    more: Mapping[str, tuple[object, object]],
    *,
    named: str,
    hint: str,
) -> None:
    """Raise OptionError at the first difference.

    Args:
        manifest: manifest of the existing dataset.
        options: options of the new labels.
        models: their detector and upscaler.
        names: options that must be equal; an option missing in the manifest has its default.
        more: other values that must be equal, by name: the new one and the existing one.
        named: path of the dataset as given by the user, for the message.
        hint: hint for the message.
    """
    pairs: dict[str, tuple[object, object]] = {
        name: (getattr(options, name), manifest.options.get(name, _DEFAULTS[name])) for name in names
    }
    pairs |= {"detector": (models[0], manifest.detector), "upscaler": (models[1], manifest.upscaler), **more}
    for name, (here, there) in pairs.items():
        if _plain(here) != _plain(there):
            raise OptionError(f"{named} was made with another {name}: {there}, not {here}", hint=hint)


def differing_options(manifest: Manifest, values: Mapping[str, object]) -> list[str]:
    """Names of the options whose values (by name) differ from those of an existing dataset."""
    here = BEFORE | dict(values)
    return [name for name, value in here.items() if _plain(value) != manifest.options.get(name, _DEFAULTS[name])]


def is_complete(options: LabelOptions, fingerprint: str) -> bool:
    """Whether the output of this job exists already; prints a message.

    Raises:
        OptionError: the output is of another job and --overwrite is not given.
        OutputError: the output is not a dataset.
    """
    if not options.out.exists() or (options.out.is_dir() and not any(options.out.iterdir())):
        return False
    if not (options.out / MANIFEST_NAME).is_file():
        raise OutputError(
            f"{options.out} exists and is not a dataset of this project", hint="Choose another --out, or move it away."
        )
    manifest = read_manifest(options.out)
    if manifest.job_sha256 == fingerprint:
        print(f"{options.out} is already complete: same videos, options and weights")
        return True
    if not options.overwrite:
        differing = ", ".join(differing_options(manifest, option_values(options)))
        differing = differing or "videos, weights, calibration or package versions"
        raise OptionError(
            f"{options.out} contains labels of another job: {differing} differ",
            hint="Choose another --out, or add --overwrite to replace it.",
        )
    return False


def _plain(value: object) -> object:
    """Convert tuples to lists, as JSON does."""
    return list(value) if isinstance(value, tuple) else value
