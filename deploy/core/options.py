"""Options declared once, as fields of a dataclass, for Python and for the command line."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

Options = TypeVar("Options")


def option(default: Any = MISSING, *, help: str, **how: Any) -> Any:
    """A field of a dataclass of options.

    Args:
        default: its value if omitted; without one, the option is required.
        help: the help text.
        how: arguments of ``ArgumentParser.add_argument``, such as `type`, `metavar`, `nargs` or `action`;
            ``positional=True`` makes it a positional argument.
    """
    return field(default=default, metadata={"help": help, **how})


def parse_options(kind: type[Options], parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> Options:
    """Read the fields of a dataclass of options from the command line: ``--start-seconds`` for ``start_seconds``.

    Args:
        kind: the dataclass; its fields are made by `option`.
        parser: their arguments are added to it.
        arguments: the command line; None takes the process's own.

    Raises:
        OptionError: a value is invalid.
    """
    for entry in fields(kind):  # type: ignore[arg-type]  # a TypeVar cannot be bound to dataclasses
        how = dict(entry.metadata)
        text = how.pop("help")
        positional = how.pop("positional", False)
        if entry.default is MISSING:
            how |= {} if positional else {"required": True}
        else:
            how["default"] = entry.default
            # None and False mean what the text says.
            text += f" (default: {entry.default})" if entry.default not in (None, False, ()) else ""
        flag = entry.name if positional else "--" + entry.name.replace("_", "-")
        parser.add_argument(flag, help=text.replace("%", "%%"), **how)
    given = vars(parser.parse_args(arguments))
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})
