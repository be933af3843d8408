"""Tables of text, and how they look in Markdown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Text in rows and columns, with a title and perhaps a note."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def markdown(self) -> str:
        """A section of a Markdown page."""
        head = [f"## {self.title}", "", *([self.note, ""] if self.note else [])]
        return "\n".join([*head, _row(self.header), "|---" * len(self.header) + "|", *map(_row, self.rows)])


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
