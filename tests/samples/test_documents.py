"""The index names each document, and each link leads to a file and a heading that exist."""

import re
from pathlib import Path

import pytest

from tests.processes import SOURCE_TREE

DOCS = SOURCE_TREE / "docs"
INDEX = DOCS / "README.md"
PAGES = [*sorted(SOURCE_TREE.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
TOPICS = (
    "Getting started",
    "Administration",
    "Monitoring",
    "Migrating from registry:2",
    "Garbage collection",
    "Users and access",
    "TLS and proxies",
    "Backup",
    "Troubleshooting",
    "Endpoints",
)
"""Words that people search for: each is a heading of the index."""


def links(page: Path) -> list[tuple[str, str]]:
    """Return path and heading of each link of a page within the source; code has none."""
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "`", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", text)
    return [(path, heading) for path, heading in found if path or heading]


def headings(page: Path) -> set[str]:
    """Return the headings of a page, as links spell them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = [heading.strip().lower() for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in found}


def broken(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    wrong = []
    for path, heading in links(page):
        target = page.parent / path if path else page
        if not target.exists() or (heading and heading not in headings(target)):
            wrong.append(f"{path}#{heading}")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(SOURCE_TREE).as_posix())
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


@pytest.mark.parametrize("link", ["missing.md", "page.md#missing", "#missing", "missing.md#there", "../nowhere/"])
def test_a_broken_link_is_found(link: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# There\n\n[x](page.md#there) [x](#there) [x](page.md) [broken]({link})\n\n`[x](code.md)`\n")
    assert len(broken(page)) == 1


def test_the_index_leads_to_each_page() -> None:
    named = {path for path, _ in links(INDEX)}
    assert {page.name for page in DOCS.glob("*.md")} - named == {INDEX.name}
    assert "decisions/" in named or "decisions/README.md" in named


def test_the_readme_leads_to_the_index() -> None:
    assert ("docs/README.md", "") in links(SOURCE_TREE / "README.md")


@pytest.mark.parametrize("topic", TOPICS)
def test_the_index_has_a_heading_for_a_topic(topic: str) -> None:
    assert f"\n## {topic}\n" in INDEX.read_text()


def test_the_reference_of_settings_is_in_the_index_and_has_the_limits() -> None:
    assert "[Reference of all settings](settings.md)" in INDEX.read_text()
    assert "`pyregistry.limits.connections`" in (DOCS / "settings.md").read_text()
