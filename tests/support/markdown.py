"""Parses Markdown pages for tests: code blocks with their directives, links, headings."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Pages that people read, in the repository and on the site.
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- ((?:(?!-->).)*) -->\s*\Z", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *(?:\{ *#([\w-]+) *\})?$", re.MULTILINE)
_INLINE_CODE = re.compile(r"`[^`\n]+`")
_NOT_EXECUTED = "not executed:"
_NEEDS = "needs:"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block.

    Attributes:
        language: The word after the fence.
        code: What stands in it.
        line: Where the fence stands in the page.
        not_executed: Why it is not run, by the comment before it.
        needs: The optional module that it imports, likewise; without that, it is not run.
        is_output: Whether it is marked as what the block before it prints.
    """

    language: str
    code: str
    line: int
    not_executed: str | None
    needs: str | None
    is_output: bool


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for fence in _FENCE.finditer(text):
        before = _COMMENT.search(text, 0, fence.start())
        comment = before[1] if before else ""
        yield Block(
            language=fence[2],
            code=textwrap.dedent(fence[3]),
            line=text.count("\n", 0, fence.start()) + 1,
            not_executed=_after(_NOT_EXECUTED, comment),
            needs=_after(_NEEDS, comment),
            is_output=comment == "output",
        )


def _after(directive: str, comment: str) -> str | None:
    return comment.removeprefix(directive).strip() if comment.startswith(directive) else None


def links(page: Path) -> list[str]:
    """Targets of the links and images outside of code."""
    return _LINK.findall(_without_code(page))


def anchors(page: Path) -> set[str]:
    """Fragments that headings of a page answer to, as GitHub and MkDocs make them."""
    return {
        given or re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower())).strip("-")
        for title, given in _HEADING.findall(_FENCE.sub("", page.read_text(encoding="utf-8")))
    }


def _without_code(page: Path) -> str:
    return _INLINE_CODE.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
