"""The pages of docs/: each is linked, and its prose is wrapped."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

DOCS = Path("docs")
INDEX = DOCS / "index.md"
PAGES = sorted(DOCS.rglob("*.md"))
WIDTH = 120
# Written by a tool: one paragraph is one line there.
GENERATED = {DOCS / "reference/params.md", DOCS / "reference/commands.md"}
GENERATED |= set((DOCS / "example-cards").glob("*.md"))


def test_the_index_links_every_page() -> None:
    links = re.findall(r"\]\(([^)#]+\.md)", INDEX.read_text(encoding="utf-8"))
    assert {INDEX, *(DOCS / link for link in links)} == set(PAGES)


def test_the_navigation_has_every_page() -> None:
    def pages(node: Any) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        else:
            for child in node.values() if isinstance(node, dict) else node:
                yield from pages(child)

    nav = YAML(typ="safe").load(Path("mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(DOCS / page for page in pages(nav)) == PAGES


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines outside code blocks, tables and generated parts."""
    code = generated = False
    for number, line in enumerate(text.splitlines(), start=1):
        code ^= line.lstrip().startswith("```")
        generated = (generated or "<!-- run:start -->" in line) and "<!-- run:end -->" not in line
        if not (code or generated or line.lstrip().startswith("|")):
            yield number, line


@pytest.mark.parametrize("page", [Path("README.md"), *PAGES], ids=str)
def test_prose_is_wrapped(page: Path) -> None:
    if page in GENERATED:
        return
    lines = prose(page.read_text(encoding="utf-8"))
    assert [number for number, line in lines if len(line) > WIDTH] == []
