"""Citations and links lead somewhere: `provide.md 13` is a section of docs/notes/provide.md, links are files."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "docs" / "notes"
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
CARDS = sorted((ROOT / "src" / "scenewise" / "weights").glob("*/README.md"))
TEXTS = [
    *PAGES,
    *CARDS,
    *(path for top in ("src", "tests") for end in ("py", "yaml") for path in sorted((ROOT / top).rglob(f"*.{end}"))),
]

NUMBER = r"\d+(?:\.\d+)*"
CITATION = re.compile(rf"\b([a-z_]+\.md)\s+({NUMBER}(?:(?:,\s+|\s+and\s+|\s+to\s+){NUMBER})*)")
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)
LINK = re.compile(r"\]\(((?!https?:|mailto:)[^)\s]+)\)")
SECTION = re.compile(rf"^({NUMBER})\.? ")


def prose(path: Path) -> str:
    """The text of a page without what is fenced or quoted as code, where nothing is a heading or a link."""
    text = prose_with_code(path)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("(", " ").replace("#", " "), text)


def prose_with_code(path: Path) -> str:
    """The text of a page without what is fenced."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def headings(path: Path) -> list[str]:
    text = prose_with_code(path)
    return [title for _, title in HEADING.findall(text)]


def anchors(path: Path) -> set[str]:
    """The anchors GitHub makes of a page's headings: lower case, no punctuation, hyphens for spaces."""
    found: set[str] = set()
    for title in headings(path):
        slug = re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).replace(" ", "-")
        repeated = sum(slug == one or re.fullmatch(rf"{re.escape(slug)}-\d+", one) is not None for one in found)
        found.add(f"{slug}-{repeated}" if repeated else slug)
    return found


def sections(path: Path) -> list[str]:
    """The numbers of a page's sections, as they stand: "13", "14.1"."""
    return [number[1] for title in headings(path) if (number := SECTION.match(title))]


def citations(text: str) -> list[tuple[str, str]]:
    """All (page, section) that a text cites; "lds.md 4.1 to 4.3" cites 4.1 and 4.3."""
    return [(page, number) for page, numbers in CITATION.findall(text) for number in re.findall(NUMBER, numbers)]


def test_citations_are_read() -> None:
    text = "so (lds.md 4.1 to 4.3; rnem.md 3, 6 and 9), and iodine.md\n    11, row 8: see docs/datasets.md"
    assert citations(text) == [
        ("lds.md", "4.1"), ("lds.md", "4.3"), ("rnem.md", "3"), ("rnem.md", "6"), ("rnem.md", "9"), ("iodine.md", "11"),
    ]  # fmt: skip


def test_every_citation_is_a_section_of_the_notes() -> None:
    known = {page.name: set(sections(page)) for page in NOTES.glob("*.md")}
    found = [
        (path, *cited)
        for path in TEXTS
        if path != Path(__file__)
        for cited in citations(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 100
    lost = [
        f"{path.relative_to(ROOT)}: {page} {number}"
        for path, page, number in found
        if number not in known.get(page, ())
    ]
    assert lost == []


@pytest.mark.parametrize("page", sorted(NOTES.glob("*.md")), ids=lambda page: page.stem)
def test_sections_of_a_note_are_numbered_in_order(page: Path) -> None:
    keys = [[int(part) for part in number.split(".")] for number in sections(page)]
    assert all(one < two for one, two in pairwise(keys))


@pytest.mark.parametrize("page", [*PAGES, *CARDS], ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(prose(page)):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_pages_named_in_texts_exist() -> None:
    named = {
        (path, name) for path in TEXTS for name in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text(encoding="utf-8"))
    }
    assert [f"{path.relative_to(ROOT)}: {name}" for path, name in named if not (ROOT / name).is_file()] == []


def test_files_of_the_repository_that_pages_name_exist() -> None:
    """`tests/data/test_files.py` in a page is a file; capital letters stand for what a reader fills in."""
    path = re.compile(r"`((?:tests|src|scripts|docs|examples)/[\w./-]+)`")
    named = {(page.name, name) for page in PAGES for name in path.findall(prose_with_code(page))}
    assert len(named) > 10
    lost = [(page, name) for page, name in named if not re.search("[A-Z]{4}", name) and not (ROOT / name).exists()]
    assert lost == []


def test_every_note_is_listed_and_reached() -> None:
    index = (NOTES / "README.md").read_text(encoding="utf-8")
    assert [
        page.name for page in NOTES.glob("*.md") if page.name != "README.md" and f"]({page.name})" not in index
    ] == []
    assert any("notes/README.md" in page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
