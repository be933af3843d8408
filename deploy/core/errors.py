"""The exceptions this project raises on purpose.

    RegenError
    ├── OptionError      a command-line option or configuration value breaks a rule
    ├── InputError       a video, image, list or folder cannot be used
    │   └── DatasetError a dataset folder breaks the contract of docs/architecture.md
    ├── WeightsError     a checkpoint, model or model card cannot be used
    ├── DeviceError      a GPU, its driver or a runtime on it cannot be used
    └── OutputError      a result cannot be written

Each has a ``hint``: what the user can do next. Any other exception is a bug.
"""

from __future__ import annotations


class RegenError(Exception):
    """Base of all expected failures.

    Args:
        message: what happened, to which value, by which rule.
        hint: what to do next.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class OptionError(RegenError):
    """A command-line option or configuration value breaks a rule."""


class InputError(RegenError):
    """A video, image, list file or folder cannot be used."""


class DatasetError(InputError):
    """A dataset folder breaks the contract of docs/architecture.md."""


class WeightsError(RegenError):
    """A checkpoint, model file or model card cannot be used."""


class DeviceError(RegenError):
    """A GPU, its driver or a runtime on it cannot be used."""


class OutputError(RegenError):
    """A result cannot be written."""


def first_line(error: BaseException) -> str:
    """How a library's error begins, for a message of ours: at most 200 characters; its type if it says nothing."""
    return _said(error)[0][:200]


def last_line(error: BaseException) -> str:
    """How a library's error ends, where that is what tells most; see `first_line`."""
    return _said(error)[-1][:200]


def _said(error: BaseException) -> list[str]:
    text = str(error).strip()
    if isinstance(error, KeyError) or not text:  # a key alone says nothing
        text = f"{type(error).__name__} {text}".strip()
    return text.splitlines()
