"""The table of upscalers: options by name, and a trial of every network that is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.core.errors import OptionError
from deploy.core.registry import Registry
from labeling.upscalers.base import Upscaler


class UpscalerRegistry(Registry[Upscaler]):
    """See `Registry`.

    Args:
        factories: as for `Registry`.
        options: by name, the options that a factory takes as keywords besides ``scale`` and ``weights``.
    """

    def __init__(self, factories: Mapping[str, str], options: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__("upscaler", factories)
        self._options = dict(options)

    def create(self, name: str, **arguments: Any) -> Upscaler:
        """Make an upscaler and try it.

        Args:
            name: one of the table.
            **arguments: ``scale`` (int), ``weights`` (a path, or None) and, where there are any, ``options``: a mapping
                of names to values, as `parse_options` makes and as `Upscaler.record` keeps them.

        Raises:
            OptionError: an unknown name or option, or one whose value breaks its rule.
            WeightsError: the weights cannot be used; or the result, reduced again, is not the frame, and nobody said
                what the file leaves open (``res_scale``).
        """
        self.check(name)
        options: Mapping[str, str | float] = arguments.pop("options", None) or {}
        known = self._options.get(name, ())
        for key in options:
            if key not in known:
                hint = f"It takes {', '.join(known)}." if known else "It has no options: omit --upscaler-option."
                raise OptionError(f"upscaler {name!r} has no option {key!r}", hint=hint)
        upscaler = super().create(name, **arguments, **options)
        if upscaler.weights_sha256:
            from labeling.upscalers.consistency import require_consistent

            source = str(arguments.get("weights") or f"the weights of {name!r}")
            require_consistent(upscaler, source, stated="res_scale" in options)
        return upscaler


def parse_options(texts: Sequence[str]) -> dict[str, str | float]:
    """``("res_scale=0.1",)`` -> ``{"res_scale": "0.1"}``.

    Raises:
        OptionError: not KEY=VALUE, or a key twice.
    """
    options: dict[str, str | float] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise OptionError(f"--upscaler-option {text!r} is not KEY=VALUE", hint="Use the form res_scale=0.1")
        if key in options:
            raise OptionError(f"--upscaler-option {key} is given twice", hint="Specify it once.")
        options[key] = value
    return options
