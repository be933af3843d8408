"""Tables of text: as lines for a terminal, as Markdown for a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Text in rows and columns, with a title and perhaps a note."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def text(self) -> str:
        """Aligned columns, the first to the left, the others to the right, under the title and the note if any."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        aligned = [
            "  ".join(
                [
                    line[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
                ]
            )
            for line in lines
        ]
        return "\n".join([line for line in (self.title, self.note) if line] + [line.rstrip() for line in aligned])

    def markdown(self) -> str:
        """A section of a Markdown page; without a title, the rows alone."""
        head = [f"## {self.title}", ""] if self.title else []
        head += [self.note, ""] if self.note else []
        return "\n".join([*head, _row(self.header), "|---" * len(self.header) + "|", *map(_row, self.rows)])


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
