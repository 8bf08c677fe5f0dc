"""Numbers written in groups: of telephones, accounts and the like.

People write "+1 (555) 123-4567", "555 123 4567" and "5551234567". A number of several groups is
also known as a whole, and without its first or last groups: those may be a country, an area, or
another number that happens to stand beside it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import combinations, pairwise

from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.words.splitting import Word

# Digits of all groups: fewer are dates and times, an account has the most. More groups are tables.
_MIN_DIGITS, _MAX_DIGITS = 7, 22
_MAX_GROUPS = 8
_GAP = unicode_pattern(r"[ \xa0./()\-\u2010\u2013]{1,3}")

# Digits of a telephone's number within a country, with the 0 in front.
_NATIONAL = range(9, 13)
# Calling codes of two digits.
_CODES = (
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 "
    "65 66 81 82 84 86 90 91 92 93 94 95 98"
).split()


def grouped_numbers(words: Sequence[Word], text: str) -> Iterator[str]:
    """The digits of numbers that are written in groups, and of some of their groups, without gaps.

    Args:
        words: The words of a text.
        text: The text.
    """
    groups: list[str] = []
    for before, word in pairwise([None, *words, None]):
        if groups and not (word and before and _follows(before, word, text)):
            yield from _whole(groups)
            groups = []
        if word is not None and word.form.isdecimal():
            groups.append(word.form)


def _follows(before: Word, word: Word, text: str) -> bool:
    """Whether a group follows another one; a single digit does not behind a space."""
    gap = text[before.end : word.start]
    near = len(word.form) > 1 or not any(character.isspace() for character in gap)
    return word.form.isdecimal() and near and _GAP.fullmatch(gap) is not None


def _whole(groups: Sequence[str]) -> Iterator[str]:
    if not 2 <= len(groups) <= _MAX_GROUPS or sum(map(len, groups)) > _MAX_DIGITS:
        return
    for first, last in combinations(range(len(groups)), 2):
        whole = "".join(groups[first : last + 1])
        if len(whole) >= _MIN_DIGITS:
            yield whole


def telephones(phrases: Collection[str], text: str) -> dict[str, tuple[str, ...]]:
    """Other writings of telephones' numbers, each with the phrases of a query that it stands for.

    "0170 5551234" is "+49 170 5551234" abroad, and the other way round.

    Args:
        phrases: The phrases of the query.
        text: The query.
    """
    made: dict[str, tuple[str, ...]] = {}
    for one in phrases:
        if not one.isdecimal():
            continue
        others: list[str] = []
        if len(one) in _NATIONAL and one[0] == "0" != one[1]:
            others = [one[1:], *(code + one[1:] for code in _CODES)]
        elif "+" in text and one[0] != "0":
            within = [one, one[2:]] if one[:2] in _CODES else [one]
            others = [f"0{rest}" for rest in within if len(rest) + 1 in _NATIONAL]
        parts = tuple(part for part in phrases if part.isdecimal() and part in one)
        made |= {other: parts for other in others if other not in phrases}
    return made
