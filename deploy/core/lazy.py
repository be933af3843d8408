"""Names that are imported when they are used, and modules that have moved."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def import_name(name: str, homes: Mapping[str, str], package: str) -> Any:
    """For a package's ``__getattr__``: a public name, from the module that defines it.

    Args:
        name: the requested name.
        homes: public name -> module.
        package: that is asked, for the message.

    Raises:
        AttributeError: no such name.
    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(importlib.import_module(homes[name]), name)


def install_moved_modules(moved: Mapping[str, str]) -> None:
    """Let imports of old module names find the new modules, with a DeprecationWarning."""
    sys.meta_path.insert(0, _MovedModules(dict(moved)))


class _MovedModules(MetaPathFinder, Loader):
    """Stands first: a submodule of a package that has moved would be found a second time, under its old name."""

    def __init__(self, moved: Mapping[str, str]) -> None:
        self._moved = moved

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """A module that has moved."""
        return importlib.util.spec_from_loader(name, self) if name in self._moved else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, under its new name."""
        new = self._moved[spec.name]
        warnings.warn(f"{spec.name} has moved to {new}", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self._kept = module.__spec__, module.__loader__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is run again; what the import machinery wrote into the module is taken back."""
        module.__spec__, module.__loader__ = self._kept
