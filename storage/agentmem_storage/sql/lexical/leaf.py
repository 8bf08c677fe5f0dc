"""A leaf page of the lexical index, taken apart and put together again.

A leaf has words in order, each with its postings: ids of rows, ascending, and where in the row the
word stands. It may begin with what did not fit on the page before: the end of a posting, and
further postings of the same word. See "FTS5 Data Structures" in SQLite's documentation of FTS5;
numbers are SQLite's variable-length integers:

    2 bytes        offset of the first posting that continues the word of the page before, or 0
    2 bytes        offset of the table at the end
    tail           the end of a posting
    postings       id, or its distance to the one before; twice the size of the positions, plus 1
                   if the row was deleted; the positions
    words, each    how many bytes are those of the word before, except for the first word; how many
                   follow; these; its postings
    table          offset of the first word; the distance to it of each that follows
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from agentmem_storage.sql.lexical.lexicon import varints

_START = 4


class UnusualError(Exception):
    """The reason why an index is not changed here, but by FTS5 itself."""


class Posting(NamedTuple):
    """A row in which a word occurs.

    Attributes:
        rowid: Its id.
        body: The size of the positions, and those of them that are on the page.
        whole: Whether these are all.
    """

    rowid: int
    body: bytes
    whole: bool


@dataclass
class Leaf:
    """A leaf page.

    Attributes:
        tail: The end of a posting that begins on a page before.
        continued: Further postings of its word.
        words: The words that begin here, ascending, each with its postings.
    """

    tail: bytes
    continued: list[Posting]
    words: list[tuple[bytes, list[Posting]]]

    @classmethod
    def unpack(cls, block: bytes) -> Leaf:
        """Take a page apart.

        Raises:
            UnusualError: It is not the same when it is put together again.
        """
        try:
            found = cls._unpack(block)
            same = found.pack() == block
        except (IndexError, OverflowError):
            same = False
        if not same:
            raise UnusualError("a page is not as it is known here")
        return found

    @classmethod
    def _unpack(cls, block: bytes) -> Leaf:
        size, offsets = _table(block)
        begin = _begin(block, offsets[0])
        words: list[tuple[bytes, list[Posting]]] = []
        word = b""
        for start, end in zip(offsets[:-1], offsets[1:], strict=True):
            kept, at = number(block, start) if words else (0, start)
            length, at = number(block, at)
            word = word[:kept] + block[at : at + length]
            words.append((word, _postings(block, at + length, end, size)))
        return cls(block[_START:begin], _postings(block, begin, offsets[0], size), words)

    def pack(self) -> bytes:
        """Put it together.

        Raises:
            OverflowError: It is too large for a page.
        """
        out = bytearray(_START) + self.tail
        first = len(out) if self.continued else 0
        _append(out, self.continued)
        table = bytearray()
        before, earlier = 0, None
        for word, postings in self.words:
            table += packed(len(out) - before)
            before = len(out)
            kept = 0
            if earlier is not None:
                kept = _common(earlier, word)
                out += packed(kept)
            out += packed(len(word) - kept) + word[kept:]
            earlier = word
            _append(out, postings)
        out[:2] = first.to_bytes(2, "big")
        out[2:_START] = len(out).to_bytes(2, "big")
        return bytes(out + table)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on it."""
        return not (self.tail or self.continued or self.words)


def first_continued(block: bytes) -> int | None:
    """The id of the first posting of a page that continues the word before; None without one."""
    _, offsets = _table(block)
    begin = _begin(block, offsets[0])
    return number(block, begin)[0] if begin < offsets[0] else None


def number(block: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = block[at]
    if value < 0x80:
        return value, at + 1
    value = next(varints(block[at : at + 9]))
    end = at
    while end < at + 8 and block[end] >= 0x80:
        end += 1
    return value, end + 1


def packed(value: int) -> bytes:
    """A number as it stands on a page; below 2**56, which ids and sizes are.

    Raises:
        OverflowError: It is not.
    """
    if not 0 <= value < 1 << 56:
        raise OverflowError(value)
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))


def _table(block: bytes) -> tuple[int, list[int]]:
    """Where the words of a page end, and where each begins, with that end as the last."""
    size = int.from_bytes(block[2:_START], "big")
    offsets, at = [], 0
    for distance in varints(block[size:]):
        at += distance
        offsets.append(at)
    return size, [*offsets, size]


def _begin(block: bytes, end: int) -> int:
    """Where the postings begin that continue the word of the page before."""
    return int.from_bytes(block[:2], "big") or end


def _postings(block: bytes, at: int, end: int, size: int) -> list[Posting]:
    found = []
    rowid = 0
    while at < end:
        distance, at = number(block, at)
        rowid += distance
        length, after = number(block, at)
        stop = after + length // 2
        # Only the last one of a page goes on on the next.
        if stop > end != size:
            raise IndexError
        found.append(Posting(rowid, block[at : min(stop, end)], whole=stop <= end))
        at = stop
    return found


def _append(out: bytearray, postings: Iterable[Posting]) -> None:
    before = 0
    for one in postings:
        out += packed(one.rowid - before) + one.body
        before = one.rowid


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two words begin with alike."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)
