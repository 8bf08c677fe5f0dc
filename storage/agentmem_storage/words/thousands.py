"""Numbers with and without separators of thousands: "1299", "1,299.00", "1.299,00", "1 299".

The groups of such a number are indexed as words in a row, as those of any other text. So a query
for a number is also one for its other writings. An index with one form for all of them would need
every store to be indexed anew, and would have to decide whether "1.299" has a decimal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.words.splitting import Word

# A shorter number has no separator, a longer one is an id.
_PLAIN = unicode_pattern(r"[1-9][0-9]{3,14}")
# Groups of three digits, or of two before the last as in India, separated by spaces.
_GROUPED = unicode_pattern(
    r"[1-9][0-9]{0,2}(?: [0-9]{3}){1,4}|[1-9][0-9]?(?: [0-9]{2}){1,6} [0-9]{3}"
)
_FIRST = unicode_pattern(r"[1-9][0-9]{0,2}")
_SEPARATORS = frozenset(",.'\u2019\u066c\uff0c\uff0e_ \xa0\u2009\u202f")
# What has more numbers is a table, of which each would be searched several times.
_MOST = 64
_ZEROS = ("0", "00")
_DECIMAL_MARKS = frozenset(".,\u066b\uff0c\uff0e")


class Number(NamedTuple):
    """A number of a text, each writing as words separated by spaces.

    Attributes:
        groups: Its digits as they are written, without decimals.
        decimals: The decimals; empty without any.
        others: The other ways to write the groups.
        end: Which word of the text follows the groups.
    """

    groups: str
    decimals: str
    others: tuple[str, ...]
    end: int

    @property
    def grouped(self) -> bool:
        """Whether it is written in groups."""
        return " " in self.groups


def numbers(words: Sequence[Word], text: str) -> Iterator[Number]:
    """The numbers of a text that may be written in another way.

    Args:
        words: The words of a text.
        text: The text.
    """
    at = 0
    while at < len(words):
        end = _end(words, at, text)
        groups = _written(words, at, end)
        if _is_number(groups):
            plain = groups.replace(" ", "")
            every = dict.fromkeys((plain, _grouped(plain, 3), _grouped(plain, 2)))
            others = tuple(one for one in every if one != groups)
            yield Number(groups, _decimals(words, at, end, text), others, end)
        at = end


def without_zeros(words: Sequence[Word], text: str) -> list[Word]:
    """Words without decimals that are zeros: "1,299.00" is asked for as "1,299" is.

    Args:
        words: The words of a query.
        text: The query.
    """
    zeros = {one.end for one in numbers(words, text) if one.decimals in _ZEROS}
    return [word for at, word in enumerate(words) if at not in zeros]


def variants(found: Sequence[Number], phrases: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Phrases for the other writings of numbers, each with those of the query that it stands for.

    "1299" in a memory is all that the query "1,299" asks for: the compound and its two parts.

    Args:
        found: The numbers of a query.
        phrases: The phrases of the query.
    """
    made: dict[str, dict[str, None]] = {}
    for number in found if len(found) <= _MOST else ():
        parts = number.groups.split()
        # Behind a space, only the last group is a compound with the decimals.
        exact = [f"{groups} {number.decimals}" for groups in (number.groups, parts[-1])]
        for other in number.others:
            made.setdefault(other, {}).update(dict.fromkeys([number.groups, *parts]))
            if number.decimals:
                made.setdefault(f"{other} {number.decimals}", {}).update(dict.fromkeys(exact))
    known = frozenset(phrases)
    kept = {
        other: tuple(one for one in stands_for if one in known)
        for other, stands_for in made.items()
        if other not in known
    }
    return {other: stands_for for other, stands_for in kept.items() if stands_for}


def _written(words: Sequence[Word], start: int, end: int) -> str:
    return " ".join(word.form for word in words[start:end])


def _is_number(groups: str) -> bool:
    return bool(_PLAIN.fullmatch(groups) or _GROUPED.fullmatch(groups))


def _end(words: Sequence[Word], at: int, text: str) -> int:
    """Where the groups end that begin at a word; each has one separator to the one before."""
    if at + 1 == len(words) or not _FIRST.fullmatch(words[at].form):
        return at + 1
    separator = text[words[at].end : words[at + 1].start]
    if separator not in _SEPARATORS:
        return at + 1

    def goes_on(place: int) -> bool:
        gap = text[words[place - 1].end : words[place].start]
        return (
            gap == separator and words[place].form.isdecimal() and len(words[place].form) in (2, 3)
        )

    return at + 1 + sum(1 for _ in takewhile(goes_on, range(at + 1, len(words))))


def _decimals(words: Sequence[Word], at: int, end: int, text: str) -> str:
    """The decimals behind groups; the third part of "1.200.0" is none."""
    if end == len(words) or not words[end].form.isdecimal():
        return ""
    mark = text[words[end - 1].end : words[end].start]
    separator = text[words[at].end : words[at + 1].start] if at + 1 < end else ""
    return words[end].form if mark in _DECIMAL_MARKS and mark != separator else ""


def _grouped(digits: str, size: int) -> str:
    """Digits in groups: the last of three, those before of a size."""
    before, last = digits[:-3], digits[-3:]
    first = len(before) % size or size
    groups = [before[:first], *(before[n : n + size] for n in range(first, len(before), size))]
    return " ".join([*groups, last])
