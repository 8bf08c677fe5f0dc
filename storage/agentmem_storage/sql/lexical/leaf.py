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

from dataclasses import dataclass

from agentmem_storage.sql.lexical.lexicon import varints

_START = 4


class UnusualError(Exception):
    """The reason why an index is not changed here, but by FTS5 itself."""


@dataclass
class Leaf:
    """A leaf page.

    Attributes:
        tail: The end of a posting that begins on a page before.
        continued: Further postings of its word, as they stand on the page.
        words: The words that begin here, ascending, each with its postings, likewise.
    """

    tail: bytes
    continued: bytes
    words: list[tuple[bytes, bytes]]

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
        offsets = _offsets(block)
        begin = _begin(block, offsets[0])
        words: list[tuple[bytes, bytes]] = []
        word = b""
        for start, end in zip(offsets[:-1], offsets[1:], strict=True):
            kept, at = number(block, start) if words else (0, start)
            length, at = number(block, at)
            word = word[:kept] + block[at : at + length]
            words.append((word, block[at + length : end]))
        return cls(block[_START:begin], block[begin : offsets[0]], words)

    def pack(self) -> bytes:
        """Put it together.

        Raises:
            OverflowError: It is too large for a page.
        """
        out = bytearray(_START) + self.tail
        first = len(out) if self.continued else 0
        out += self.continued
        table = bytearray()
        before, earlier = 0, None
        for word, postings in self.words:
            table += packed(len(out) - before)
            before = len(out)
            kept = 0
            if earlier is not None:
                kept = _common(earlier, word)
                out += packed(kept)
            out += packed(len(word) - kept) + word[kept:] + postings
            earlier = word
        out[:2] = first.to_bytes(2, "big")
        out[2:_START] = len(out).to_bytes(2, "big")
        return bytes(out + table)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on it."""
        return not (self.tail or self.continued or self.words)


def without(postings: bytes, rowid: int) -> bytes | None:
    """Postings without that of a row; None if it has none among them.

    Raises:
        UnusualError: Its positions are not all on the page.
    """
    at = found = 0
    size = len(postings)
    while at < size:
        distance, after = number(postings, at)
        found += distance
        length, after = number(postings, after)
        end = after + (length >> 1)
        if found >= rowid:
            break
        at = end
    if found != rowid or at >= size:
        return None
    if end > size:
        raise UnusualError("a posting is on two pages")
    if end == size:
        return postings[:at]
    # The next one is as far from the one before as both were from their own.
    further, rest = number(postings, end)
    return postings[:at] + packed(distance + further) + postings[rest:]


def first_continued(block: bytes) -> int | None:
    """The id of the first posting of a page that continues the word before; None without one."""
    end = _offsets(block)[0]
    begin = _begin(block, end)
    return number(block, begin)[0] if begin < end else None


def number(block: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = block[at]
    if value < 0x80:
        return value, at + 1
    following = block[at + 1]
    if following < 0x80:
        return (value & 0x7F) << 7 | following, at + 2
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


def _offsets(block: bytes) -> list[int]:
    """Where the words of a page begin, and where the last one ends."""
    size = int.from_bytes(block[2:_START], "big")
    offsets, at = [], 0
    for distance in varints(block[size:]):
        at += distance
        offsets.append(at)
    return [*offsets, size]


def _begin(block: bytes, end: int) -> int:
    """Where the postings begin that continue the word of the page before."""
    return int.from_bytes(block[:2], "big") or end


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two words begin with alike."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)
