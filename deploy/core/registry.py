"""Names to factories, imported only when asked for. Adding an entry is one file and one line."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from deploy.core.errors import OptionError

Product = TypeVar("Product")


class Registry(Generic[Product]):
    """A fixed table of factories by name.

    Args:
        kind: the kind of entry, for messages ("detector").
        factories: name -> ``"package.module:callable"``, or ``"package.module:callable:variant"`` where one factory
            makes several entries: it is called with ``variant=...``.
    """

    def __init__(self, kind: str, factories: Mapping[str, str]) -> None:
        self.kind = kind
        self._factories = dict(factories)

    @property
    def names(self) -> tuple[str, ...]:
        """The known names, in the table's order."""
        return tuple(self._factories)

    def check(self, name: str) -> None:
        """Raise OptionError if the name is unknown."""
        if name not in self._factories:
            close = difflib.get_close_matches(name, self._factories, n=1)
            guess = f" Did you mean {close[0]!r}?" if close else ""
            raise OptionError(f"unknown {self.kind} {name!r}", hint=f"Known: {', '.join(self._factories)}.{guess}")

    def create(self, name: str, **arguments: Any) -> Product:
        """Import the named factory and call it with `arguments`.

        Raises:
            OptionError: the name is unknown, or a package that the entry needs is not installed.
        """
        self.check(name)
        module, attribute, *variant = self._factories[name].split(":")
        if variant:
            arguments["variant"] = variant[0]
        try:
            factory = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise OptionError(
                f"{self.kind} {name!r} needs the package {error.name!r}, which is not installed",
                hint=f"Install it into this environment: pip install {error.name}",
            ) from None
        product: Product = factory(**arguments)
        return product
