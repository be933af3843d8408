"""Which macroblocks of a video are worth super-resolving before an object detector looks at it.

The public names are those of `deploy`, imported when they are first used. The commands are those of ``regen --help``.
"""

from __future__ import annotations

from typing import Any

import deploy
from deploy import __all__ as __all__


def __getattr__(name: str) -> Any:
    return getattr(deploy, name)


def __dir__() -> list[str]:
    return __all__
