"""Cells of a table as lines, so that each chunk of a long one says which column it is of."""

from __future__ import annotations

from collections.abc import Iterator

import regex

# What a line may weigh: so much that a chunk, which ends at the end of a line if it can, has at
# least one line from its beginning. A letter beyond ASCII may be several tokens.
_MOST = 480
_WEIGHT = 6
_WORD = regex.compile(r"\S+\s*+|\s++")
_VISIBLE = regex.compile(r"\X")
_SENTENCE = regex.compile(r"[.!?…。！？]['\"”’)\]]*+\s*+\Z")


def labelled(name: str, cell: str) -> Iterator[str]:
    """The lines of a cell, each with the name of its column; one line if the cell is short.

    Lines of a long cell are divided after sentences if they can be, otherwise between words. Blank
    ones are left out.
    """
    if _weight(cell) <= _MOST:
        yield f"{name}: {cell}"
        return
    for written in cell.splitlines():
        for line in _lines(written):
            if text := line.strip():
                yield f"{name}: {text}"


def _lines(cell: str) -> Iterator[str]:
    taken: list[str] = []
    size = end = 0
    for word in _words(cell):
        weight = _weight(word)
        if size + weight > _MOST and taken:
            # Up to the last sentence, if that is not little.
            at = end if 2 * sum(map(_weight, taken[:end])) >= _MOST else len(taken)
            yield "".join(taken[:at])
            taken = taken[at:]
            size, end = sum(map(_weight, taken)), 0
        taken.append(word)
        size += weight
        if _SENTENCE.search(word):
            end = len(taken)
    yield "".join(taken)


def _words(cell: str) -> Iterator[str]:
    """Words with the space behind them; of one that is too long for a line, its characters."""
    for match in _WORD.finditer(cell):
        if _weight(match[0]) <= _MOST:
            yield match[0]
        else:
            yield from _VISIBLE.findall(match[0])


def _weight(text: str) -> int:
    return len(text) if text.isascii() else sum(1 if one.isascii() else _WEIGHT for one in text)
