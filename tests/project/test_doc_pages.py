"""The documentation holds together: links lead somewhere, both languages say the same, what is named exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.helpers.browser import needs_chromium, opened
from tests.helpers.doc_blocks import REPOSITORY, blocks_of, pages, without_blocks
from tests.helpers.doc_commands import commands_of, make_targets

README, CHINESE = REPOSITORY / "README.md", REPOSITORY / "README.zh.md"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_holds_together(page: Path) -> None:
    """No indented code, no marker without its block, and links, pictures, targets and tests that exist."""
    raw = page.read_text(encoding="utf-8")
    text = re.sub(r"^```.*?^```", "", raw, flags=re.M | re.S)
    assert re.findall(r"^\n    \S.*", text, flags=re.M) == [], "code goes into a fenced block"
    markers = re.findall(r"<!-- (?:not run|parsed only|run with)", raw)
    assert len(markers) == sum(block.how != "run" for block in blocks_of(page)), "a marker stands right above its block"
    for link in re.findall(r"\]\(([^)\s]+)\)", without_blocks(raw)):
        assert link.startswith(("http://", "https://")) or leads_somewhere(page, link), link
    assert set(re.findall(r"`make ([a-z]+)", raw)) <= make_targets()
    for file, test in re.findall(r"`(?:tests/)?((?:\w+/)*test_\w+\.py)(?:::(\w+))?`", text):
        source = (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, f"{file}::{test}"


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether a relative link names a file, and a heading in it where it has a fragment."""
    name, _, fragment = unquote(link).partition("#")
    target = page.parent / name if name else page
    if not fragment:
        return target.exists()
    return target.is_file() and fragment in {slug(title) for title in headings(target)}


def headings(page: Path) -> list[str]:
    """The headings of a page, with their marks."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"^#+ .+", text, flags=re.M)


def slug(heading: str) -> str:
    """A heading's fragment, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def test_both_languages_say_the_same() -> None:
    english, chinese = blocks_of(README), blocks_of(CHINESE)
    assert [(block.language, block.how, block.options) for block in english] == [
        (block.language, block.how, block.options) for block in chinese
    ]
    for ours, theirs in zip(english, chinese, strict=True):
        meaning = commands_of if ours.language == "bash" else (lambda text: ast.dump(ast.parse(text)))
        assert meaning(ours.text) == meaning(theirs.text), f"{ours} and {theirs}"
    levels = [[title.split()[0] for title in headings(page)] for page in (README, CHINESE)]
    assert levels[0] == levels[1]
    numbers = [re.findall(r"\d+\.\d+", without_blocks(page.read_text(encoding="utf-8"))) for page in (README, CHINESE)]
    assert sorted(numbers[0]) == sorted(numbers[1])
    links = [set(re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))) for page in (README, CHINESE)]
    assert links[0] - {CHINESE.name} == links[1] - {README.name}
    assert CHINESE.name in links[0] and README.name in links[1]


def test_the_architecture_names_what_exists() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = "deploy|export|labeling|paddleseg_configs|tests|detectors|upscalers|training"
    named = re.findall(rf"\b((?:{folders})/[\w/{{}},.]*)", text)
    assert len(named) > 15
    for name in named:
        for path in alternatives(name.rstrip(".,")):
            roots = (REPOSITORY, REPOSITORY / "labeling", REPOSITORY / "paddleseg_configs")
            assert any((root / path).exists() for root in roots), path


def alternatives(name: str) -> list[str]:
    """``a/{b,c}/`` -> ``a/b/`` and ``a/c/``."""
    braces = re.search(r"\{([\w,]+)\}", name)
    return [name.replace(braces[0], part) for part in braces[1].split(",")] if braces else [name]


def test_types_are_where_the_architecture_says() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([\w/.]+\.py)` \|", text, flags=re.M)
    assert len(rows) >= 12
    for name, file in rows:
        assert re.search(rf"^(class )?{name}\b", (REPOSITORY / file).read_text(encoding="utf-8"), flags=re.M), name


@needs_chromium
def test_pictures_show_in_a_browser(tmp_path: Path) -> None:
    named = {
        (page.parent / link).resolve()
        for page in pages()
        for link in re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    }
    assert {path.name for path in named} >= {"demo.png", "architecture.svg"}
    sheet = tmp_path / "pictures.html"
    sheet.write_text("".join(f'<img src="{path.as_uri()}" style="max-width: 100%">' for path in sorted(named)))
    with opened(sheet) as page:
        widths = page.eval_on_selector_all("img", "images => images.map(image => image.naturalWidth)")
    assert len(widths) == len(named) and min(widths) > 100


def test_known_holes_are_those_of_the_pins() -> None:
    pins = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8")
    page = (REPOSITORY / "docs" / "known-holes.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| ([a-z][\w-]*) ([\d.]+)[^|]* \|", page, flags=re.M))
    assert len(rows) >= 5
    for name, version in rows:
        pin = re.search(rf"\b{name}==([\d.]+)", pins + (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
        assert pin and pin[1] == version, f"look again whether {name} {pin and pin[1]} has known holes"
