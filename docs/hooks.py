"""MkDocs hooks: files outside of docs/ that the site shows too, and links to them.

Markdown links are written for the repository, where people and tests follow them as they stand:
``../CHANGELOG.md`` from a page, ``docs/recall.md`` from the changelog. The site has all of these
in one folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
PLOTS = "benchmarks/results"

# What Sphinx calls a literal block; in docstrings it reads well, in Markdown the colons stay.
_LITERAL = re.compile(r"<p>::</p>\s*")
_UP = re.compile(r"(?<=\]\()\.\./(?=(?:benchmarks/results/|[A-Z]+\.md))")
_DOWN = re.compile(r"(?<=\]\()docs/")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages and the plots that lie outside of docs/."""
    for name in PAGES:
        page = File.generated(config, name, abs_src_path=str(ROOT / name))
        # Where letters of both cases are the same in file names, it would be docs/security.md too.
        page.dest_uri = page.dest_uri.replace("SECURITY", "security-policy")
        files.append(page)
    for plot in sorted((ROOT / PLOTS).glob("*.png")):
        name = f"{PLOTS}/{plot.name}"
        files.append(File.generated(config, name, abs_src_path=str(plot)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Make links between docs/ and the rest of the repository point to the site's pages."""
    if page.file.src_uri in PAGES:
        return _DOWN.sub("", markdown)
    return _UP.sub("", markdown)


def on_page_content(html: str, *, page: Any, config: Any, files: Files) -> str:
    """Drop the ``::`` before the examples in docstrings."""
    return _LITERAL.sub("", html)
