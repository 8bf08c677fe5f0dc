"""Looks at what stands beside a phrase, across the words that join times."""

from __future__ import annotations

from abc import ABC, abstractmethod

import regex

from agentmem.retrieval.dates import foreign
from agentmem.retrieval.dates.phrases import Found, Phrase
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.tokens import END, Token
from agentmem.retrieval.dates.vocabulary import (
    AMBIGUOUS,
    DECADES,
    LAST,
    LEADS,
    LISTED,
    MONTHS,
    OTHER_UNITS,
    PREPOSITIONS,
    RANGED,
    SEASONS,
    UNITS,
    WEEKDAYS,
)

# "before the war" may be about May as well: these order times.
ORDERS = frozenset("before after since until till by prior during following".split())
RANGES = RANGED | frozenset({"from", "between", "/"})
# Across these, a phrase reaches to what stands behind them.
JOINS = (
    LISTED
    | RANGED
    | PREPOSITIONS
    | ORDERS
    | foreign.ARTICLES
    | frozenset("from between the a an both either as ( ) [ ] / ' \u2019 also again".split())
    | frozenset("not nor but except neither including + plus then with against ~ \u2192".split())
    | frozenset("versus vs compared right just immediately shortly soon directly".split())
    | frozenset("maybe perhaps possibly probably likely sometime".split())
)
# Between two phrases, these join them to one time that contains both.
_ADDITIVE = LISTED | PREPOSITIONS | frozenset({"the", "both", "also", "again", ";"})
_LEADING = frozenset(words[0] for words in LEADS)
_OF_SEASONS = LAST | frozenset("the in this next early mid late and or of".split())
_MAX_GAP = 5


class Side(ABC):
    """What stands on one side of a phrase.

    Attributes:
        at: The token at a position.
        first: The first token of the phrase.
        rolling: Whether the phrase ends now: "the last two weeks".
        days: Whether it consists of single days.
    """

    step: int

    def __init__(self, text: Text, found: Found, phrase: Phrase, covered: dict[int, Found]) -> None:
        self.text, self.found, self.phrase, self.covered = text, found, phrase, covered
        self.first = text.at(found.start)
        self.at = text.at
        units = {time.unit for time in phrase.times}
        self.rolling = "rolling" in units
        self.days = units <= {"day"}

    def belongs(self) -> bool:
        """Whether something on this side belongs to the phrase."""
        k = self.found.end if self.step > 0 else self.found.start - 1
        if k not in self.covered and self.adjacent(k):
            return True
        gap: list[str] = []
        for _ in range(_MAX_GAP):
            token = self.at(k)
            if token is END:
                return self.dangling(gap)
            if (other := self.covered.get(k)) is not None:
                return self.joined(other, gap)
            if self.is_time(k, gap):
                return True
            if token.text not in JOINS and not self._abbreviates(k):
                return self.dangling(gap)
            gap.append(token.text)
            k += self.step
        return False

    def _abbreviates(self, k: int) -> bool:
        """Whether a full stop belongs to a number: "3. April"."""
        before = self.at(k - 1)
        return self.at(k).text == "." and not self.at(k).spaced and before.kind == "number"

    def joined(self, other: Found, gap: list[str]) -> bool:
        """Whether another phrase makes this one mean something else."""
        if other.phrase is None:
            every = self.at(other.start).text in ("every", "each")
            return not (every and _ADDITIVE.issuperset(gap) and LISTED.isdisjoint(gap))
        if not gap:  # "a year ago last May", but "two years ago in May"
            later = self.at(max(self.found.start, other.start)).text
            return later not in PREPOSITIONS and later not in _LEADING
        return not _ADDITIVE.issuperset(gap)

    @abstractmethod
    def adjacent(self, k: int) -> bool:
        """Whether the token right beside the phrase belongs to it, whatever follows."""

    @abstractmethod
    def is_time(self, k: int, gap: list[str]) -> bool:
        """Whether an unread token is one of a time that belongs to the phrase.

        Args:
            k: Its position.
            gap: The words between it and the phrase, from the phrase on.
        """

    def dangling(self, gap: list[str]) -> bool:
        """Whether the words up to something else change the meaning: "in or after May"."""
        return False

    def is_named(self, k: int, joined: bool) -> bool:
        """Whether a month, a weekday or a decade is named, in any language."""
        token = self.at(k)
        if token.text not in MONTHS:
            return token.text in WEEKDAYS or token.text in foreign.TIMES or token.text in DECADES
        counted = {self.at(k - 1).kind, self.at(k + 1).kind} & {"number", "ordinal"}
        return token.written not in AMBIGUOUS or joined or bool(counted)

    def is_season(self, k: int) -> bool:
        """Whether a season is named; "fall" and "spring" are also verbs."""
        token = self.at(k)
        noun = token.text not in ("fall", "spring") or self.at(k - 1).text in _OF_SEASONS
        return token.text in SEASONS and (noun or token.written[0].isupper())

    def is_unit(self, k: int) -> bool:
        """Whether a unit of time stands at a position."""
        return self.at(k).text in UNITS or self.at(k).text in OTHER_UNITS

    def is_any(self, k: int, words: frozenset[str]) -> bool:
        """Whether one of these words stands at a position."""
        return self.at(k).text in words


def is_foreign(token: Token) -> bool:
    """Whether a word of another language may say how a time is meant."""
    letter = token.kind == "word" and regex.match(r"\p{Latin}", token.written) is None
    return letter or token.text in foreign.RELATIONS


def is_dated(token: Token) -> bool:
    """Whether a token in digits is a date or decade, and not "10:30" or "3.5"."""
    return token.kind == "form" and regex.search(r"\d[-/\u2013]|\.\d+\.|s$", token.text) is not None


def is_quarter(token: Token) -> bool:
    """Whether a token is "Q3", "H1" or the like."""
    return len(token.text) == 2 and token.text[0] in "qh" and token.text[1] in "1234"
