"""Code blocks of the Markdown files, and the invisible marker that says how a block is tested where it is not just run.

A block may have one of these on the line before:

    <!-- not run: REASON -->              only its syntax is checked
    <!-- parsed only: REASON -->          every command's own parser must accept its options, and paths must exist
    <!-- run with OPTIONS: REASON -->     the last command is run with these options behind its own
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LANGUAGES = frozenset({"bash", "python", "yaml", "text"})
NOT_OURS = frozenset({".venv", "runs", "cache", ".git"})
MARKER = re.compile(r"<!-- (?P<how>not run|parsed only|run with(?P<options> [^:>]+)):(?P<reason>[^>]*)-->")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    """Its file, relative to the repository."""
    line: int
    """Line of the opening fence, from 1."""
    language: str
    """What stands behind the opening fence."""
    text: str
    """What stands between the fences."""
    how: str
    """"run", "run with", "parsed only" or "not run"."""
    options: str
    """Options to add, for "run with"."""
    reason: str
    """Why it is not just run."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every Markdown file of the project."""
    found = REPOSITORY.rglob("*.md")
    return sorted(path for path in found if not NOT_OURS & set(path.relative_to(REPOSITORY).parts))


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a file, in order."""
    return list(_blocks(page.read_text(encoding="utf-8"), str(page.relative_to(REPOSITORY))))


def _blocks(text: str, page: str) -> Iterator[Block]:
    lines = text.splitlines()
    opening: int | None = None
    for number, line in enumerate(lines):
        if not line.startswith("```"):
            continue
        if opening is None:
            opening = number
            continue
        marker = MARKER.fullmatch(lines[opening - 1].strip()) if opening else None
        yield Block(
            page=page,
            line=opening + 1,
            language=lines[opening][3:].strip(),
            text="\n".join(lines[opening + 1 : number]) + "\n",
            how="run" if marker is None else " ".join(marker["how"].split()[:2]),
            options=(marker["options"] or "").strip() if marker else "",
            reason=marker["reason"].strip() if marker else "",
        )
        opening = None
    assert opening is None, f"{page}:{opening}: a block that does not end"


def without_blocks(text: str) -> str:
    """The text of a page without its fenced blocks and its inline code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
