"""A page in headless Chromium, for tests that look at what readers see."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="chromium is not installed (apt-get install chromium)"
)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The page of an HTML file; in the end nothing may have gone wrong in it, nor may it be wider than the window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1240, "height": 900})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        yield page
        assert complaints == []
        assert not page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        browser.close()
