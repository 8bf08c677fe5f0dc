"""Side-by-side diff of the text regenerated from vectors alone and the exact text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from rich.table import Table
from rich.text import Text

from agentmem_cli.output import safe

# Words, whitespace and single other characters; together they cover the complete text.
_PIECES = re.compile(r"\w+|\s+|[^\w\s]")
# Background colors, because a difference may be only whitespace.
_WRONG, _RIGHT = "white on red", "black on green"

Spans = list[tuple[str, bool]]


def differences(regenerated: str, exact: str) -> tuple[Spans, Spans]:
    """Both texts in pieces, each with whether it differs from the other text."""
    left, right = _PIECES.findall(regenerated), _PIECES.findall(exact)
    pieces: tuple[Spans, Spans] = ([], [])
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    for tag, first, last, other_first, other_last in matcher.get_opcodes():
        _append(pieces[0], left[first:last], tag != "equal")
        _append(pieces[1], right[other_first:other_last], tag != "equal")
    return pieces


def _append(spans: Spans, pieces: Sequence[str], changed: bool) -> None:
    if pieces:
        spans.append(("".join(pieces), changed))


def side_by_side(regenerated: str, exact: str, *, colors: bool) -> Table:
    """Two columns; differences are colored, or in brackets without color support."""
    left, right = differences(regenerated, exact)
    table = Table(expand=False, show_lines=False)
    table.add_column("from the vectors alone", ratio=1, overflow="fold")
    table.add_column("exact text", ratio=1, overflow="fold")
    table.add_row(
        _marked(left, _WRONG, ("[-", "-]"), colors=colors),
        _marked(right, _RIGHT, ("{+", "+}"), colors=colors),
    )
    return table


def _marked(spans: Spans, style: str, brackets: tuple[str, str], *, colors: bool) -> Text:
    shown = Text()
    for text, changed in spans:
        if changed and not colors:
            text = f"{brackets[0]}{text}{brackets[1]}"
        shown.append(safe(text), style=style if changed and colors else None)
    return shown
