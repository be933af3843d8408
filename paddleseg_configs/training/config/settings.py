"""Read a configuration file and fill in everything that the dataset determines."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from paddleseg.cvlibs import Config
from paddleseg.cvlibs.config import merge_config_dicts

from deploy.core.errors import OptionError, last_line
from deploy.core.files import sha256_of
from labeling.dataset.manifest import MANIFEST_NAME, Manifest, read_manifest
from paddleseg_configs.training.config.level_weights import level_weights

DATASET_TYPE = "MacroblockLevels"
FROM_MANIFEST = "manifest"
"""Value of a loss's ``weight`` that is replaced by the weights of `level_weights`."""
SPLIT_KEYS = ("train_dataset", "val_dataset")
PARTS = ("batch_size", "iters", "best_metric", *SPLIT_KEYS, "optimizer", "lr_scheduler", "loss", "model")
"""Sections of a configuration. PaddleSeg ignores all others, including misspelled ones."""
LOSS_PARTS = ("types", "coef")
_SHIPPED = Path(__file__).parents[2]
"""Folder of the included configurations."""


@dataclass(frozen=True)
class Settings:
    """A configuration reconciled with a dataset."""

    config: Config
    """PaddleSeg's configuration, with number of levels, dataset folder and loss weights filled in."""
    dataset: Path
    """The dataset folder."""
    manifest: Manifest
    """Properties of the dataset."""

    @property
    def manifest_sha256(self) -> str:
        """Hash of the dataset's manifest."""
        return sha256_of(self.dataset / MANIFEST_NAME)

    def fingerprint(self, seed: int, start: str = "") -> str:
        """Hash of everything that determines a training run: configuration, dataset, seed and initial weights."""
        config = {key: value for key, value in self.config.dic.items() if key not in SPLIT_KEYS}
        splits = {key: {**self.config.dic[key], "dataset_root": ""} for key in SPLIT_KEYS}
        record = {"config": config, "splits": splits, "manifest": self.manifest_sha256, "seed": seed, "start": start}
        record["loss_over"] = "macroblocks"  # distinguishes runs whose loss is over pixels
        return hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode()).hexdigest()


def load_settings(path: Path, *, dataset: Path | None = None, overrides: Sequence[tuple[str, str]] = ()) -> Settings:
    """Read a configuration and reconcile it with its dataset's manifest.

    Args:
        path: a .yml file, whose ``_base_`` names the files it inherits from, or the name of an included configuration.
        dataset: dataset folder, instead of the one in the file.
        overrides: dotted keys and YAML values that replace parts of the file.

    Raises:
        OptionError: the file is missing, is not YAML, lacks a part, or contradicts the manifest.
        DatasetError: the dataset folder cannot be used.
    """
    path = find_config(path)
    content = read_yaml(path)
    for key, value in overrides:
        _override(content, key, value)
    for key in SPLIT_KEYS:
        if not isinstance(content.get(key), dict) or content[key].get("type") != DATASET_TYPE:
            raise OptionError(f"{path}: {key} must have type {DATASET_TYPE}", hint="Inherit macroblock_levels.yml.")
    _refuse_unknown(content, PARTS, str(path))
    _refuse_unknown(content.get("loss"), LOSS_PARTS, f"{path}: loss")
    root = dataset or Path(str(content["train_dataset"].get("dataset_root", "")))
    manifest = read_manifest(root)
    for key in SPLIT_KEYS:
        content[key]["dataset_root"] = str(root)
    _settle_levels(content, manifest, path)
    _settle_weights(content, manifest)
    return Settings(config=_to_config(content, path), dataset=root, manifest=manifest)


def find_config(path: Path) -> Path:
    """The file itself, or the included configuration of that name."""
    shipped = _SHIPPED / f"{path.name.removesuffix('.yml')}.yml"
    return shipped if path.parent == Path() and not path.exists() and shipped.is_file() else path


def read_yaml(path: Path, inherited_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a configuration with everything it inherits, using safe YAML loading."""
    if path.resolve() in inherited_by:
        raise OptionError(f"{path} inherits itself through _base_", hint="Remove the loop.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"cannot read configuration {path}: {error}", hint="Check --config.") from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise OptionError(f"{path} is not valid YAML: {reason}", hint="Compare it with mobileseg_*.yml.") from None
    if not isinstance(content, dict):
        raise OptionError(f"{path} is not a YAML mapping", hint="Compare it with mobileseg_*.yml.")
    bases = content.pop("_base_", [])
    for base in [bases] if isinstance(bases, str) else bases:
        parent = read_yaml(path.parent / base, (*inherited_by, path.resolve()))
        content = merge_config_dicts(content, parent)
    result: dict[str, Any] = content
    return result


def _override(content: dict[str, Any], key: str, value: str) -> None:
    hint = "Use --opts KEY=VALUE, such as --opts batch_size=4 loss.coef=[1,0.4]."
    *parents, last = key.split(".")
    node: Any = content
    for parent in parents:
        node = node.get(parent) if isinstance(node, dict) else None
    if not isinstance(node, dict) or not last or not value:
        raise OptionError(f"--opts {key}={value}: the configuration has no such entry", hint=hint)
    try:
        node[last] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise OptionError(f"--opts {key}={value}: the value is not valid YAML", hint=hint) from None


def _refuse_unknown(section: object, known: Sequence[str], where: str) -> None:
    for name in section if isinstance(section, dict) else ():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
            raise OptionError(f"{where} has no entry {name!r}; see the file and --opts", hint=hint)


def _settle_levels(content: dict[str, Any], manifest: Manifest, path: Path) -> None:
    for part in ("model", *SPLIT_KEYS):
        section = content.get(part)
        if not isinstance(section, dict):
            raise OptionError(f"{path}: no {part} section", hint="Inherit macroblock_levels.yml and add a model.")
        stated = section.setdefault("num_classes", manifest.num_levels)
        if stated != manifest.num_levels:
            raise OptionError(
                f"{path}: {part}.num_classes is {stated}, but the dataset has {manifest.num_levels} levels",
                hint="Remove num_classes from the configuration; the manifest sets it.",
            )


def _settle_weights(content: dict[str, Any], manifest: Manifest) -> None:
    for loss in _losses_in(content.get("loss")):
        if loss.get("weight") == FROM_MANIFEST:
            train = manifest.splits.get("train")
            loss["weight"] = list(level_weights(train.level_histogram if train else ()))


def _losses_in(section: object) -> Iterator[dict[str, Any]]:
    """Yield every loss of a ``loss`` section, including those inside a MixedLoss."""
    if isinstance(section, Mapping):
        for key in ("types", "losses"):
            for item in section.get(key) or ():
                if isinstance(item, dict):
                    yield item
                    yield from _losses_in(item)


def _to_config(content: dict[str, Any], path: Path) -> Config:
    class ReadConfig(Config):  # type: ignore[misc]
        """PaddleSeg's configuration, from the parsed file."""

        @classmethod
        def _parse_from_yaml(cls, _path: str, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
            return content

    try:
        config = ReadConfig(str(path))
    except (AssertionError, RuntimeError, TypeError, KeyError, ValueError) as error:
        reason = last_line(error)
        raise OptionError(f"{path}: {reason}", hint="Compare it with mobileseg_*.yml.") from None
    for key in ("iters", "batch_size"):
        if not isinstance(config.dic[key], int) or config.dic[key] < 1:
            raise OptionError(f"{path}: {key}={config.dic[key]!r} must be a positive integer", hint="Try 4.")
    return config
