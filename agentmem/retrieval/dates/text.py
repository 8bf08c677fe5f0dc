"""The tokens of a query, and the counts in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime

from agentmem.retrieval.dates.calendar import Time
from agentmem.retrieval.dates.tokens import END, Token
from agentmem.retrieval.dates.vocabulary import (
    CLOCK_UNITS,
    COUNTS,
    END_OF_CLAUSE,
    LAST,
    MONTHS,
    NUMBER_WORDS,
    UNITS,
)

_COUNTED = UNITS.keys() | CLOCK_UNITS.keys()
# A time and the position behind it; without a time: understood, but no time of the past.
Read = tuple[Time | None, int]


class Text:
    """A query, and the day on which it is asked.

    Attributes:
        tokens: Its tokens.
        now: The current time, with a zone.
        today: The current day.
    """

    def __init__(self, tokens: Sequence[Token], now: datetime) -> None:
        self.tokens = tokens
        self.now = now
        self.today: date = now.date()

    def at(self, i: int) -> Token:
        """The token at a position; beyond the query, its end."""
        return self.tokens[i] if 0 <= i < len(self.tokens) else END

    def says(self, i: int, *words: str) -> bool:
        """Whether these words stand at a position."""
        return all(self.at(i + n).text == word for n, word in enumerate(words))

    def is_last(self, i: int) -> bool:
        """Whether "last" or the like stands at a position."""
        return self.at(i).text in LAST

    def ends_clause(self, i: int) -> bool:
        """Whether a clause ends before a position."""
        return self.at(i) is END or self.at(i).text in END_OF_CLAUSE

    def count(self, i: int) -> tuple[float, int] | None:
        """A count, and the position behind it: "3", "a couple of", "two and a half"."""
        token = self.at(i)
        if self._goes_on(i):
            return None
        if token.text == "half" and self.at(i + 1).text in ("a", "an"):
            return 0.5, i + 2
        if self.says(i, "a", "half"):
            return 0.5, i + 2
        if token.text == "couple" or self.says(i, "a", "couple"):
            j = i + (1 if token.text == "couple" else 2)
            return 2, j + (self.at(j).text == "of")
        if re.fullmatch(r"\d{1,3}\.5", token.text):
            return float(token.text), i + 1
        count = COUNTS.get(token.text, token.value if token.kind == "number" else None)
        if count is None:
            return None
        if self.says(i + 1, "and", "a", "half") and self.at(i + 4).text in _COUNTED:
            return count + 0.5, i + 4
        return count, i + 1

    def _goes_on(self, i: int) -> bool:
        """Whether a number before a position makes it a part of a larger one: "10 000".

        But a day and a count are two: "on May 3 2 years ago".
        """
        token, before = self.at(i), self.at(i - 1)
        if token.kind != "number" and token.text not in NUMBER_WORDS | {"one"}:
            return False
        if before.text == "and":
            return self.at(i - 2).text in ("hundred", "thousand")
        dated = self.at(i - 2).text in MONTHS or self.at(i - 3).text in MONTHS
        year = len(before.text) == 4 and before.value >= 1000
        digits = before.kind == "number" and token.kind == "number" and not dated and not year
        return digits or before.text in NUMBER_WORDS

    def counts(self, i: int) -> tuple[float, float, int] | None:
        """One count, or two, and the position behind them: "1 or 2", "2-3"."""
        if match := re.fullmatch(r"(\d{1,3})[-\u2013](\d{1,3})", self.at(i).text):
            low, high = sorted((int(match[1]), int(match[2])))
            return low, high, i + 1
        first = self.count(i)
        if first is None:
            return None
        j = first[1]
        if self.at(j).text in ("or", "to", "and", "-", "\u2013"):
            second = self.count(j + 1)
            if second is not None and not self.says(second[1], "half"):
                return min(first[0], second[0]), max(first[0], second[0]), second[1]
        return first[0], first[0], j
