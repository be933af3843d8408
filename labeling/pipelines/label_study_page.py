"""The comparison of labels as a table (Markdown) and a page."""

from __future__ import annotations

from pathlib import Path

from labeling.dataset.label_study_record import LabelStudy


def write_pages(study: LabelStudy, out: Path) -> None:
    """Write the table and the page beside ``labels.json``."""
