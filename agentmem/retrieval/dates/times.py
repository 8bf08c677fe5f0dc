"""Reads single times at any position of a query, with the words that belong to them."""

from __future__ import annotations

from functools import cached_property

from agentmem.retrieval.dates.ago import ago
from agentmem.retrieval.dates.ahead import asks_back
from agentmem.retrieval.dates.calendar import Time, one_day, years
from agentmem.retrieval.dates.holidays import holiday
from agentmem.retrieval.dates.lately import lately
from agentmem.retrieval.dates.months import days_of_month
from agentmem.retrieval.dates.months import month as read_month
from agentmem.retrieval.dates.numeric import bare_year, in_digits, numbered_week, quarter
from agentmem.retrieval.dates.offsets import offset
from agentmem.retrieval.dates.parts import part, with_part
from agentmem.retrieval.dates.past import last, this, yesterday
from agentmem.retrieval.dates.shares import Share, narrowed, numbered_share
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.unnamed import is_led, unnamed_days
from agentmem.retrieval.dates.vocabulary import AMBIGUOUS, DECADES, MONTHS, PREPOSITIONS, WEEKDAYS
from agentmem.retrieval.dates.weekdays import in_week, weekday

# Behind these, a month is a time; "the mother of June" is none. Behind these and "of", a year is.
_IN = frozenset({"in", "during", "throughout"})
# "the day before the day before ..."
_MAX_DEPTH = 3
# "at the end of the first half of"
_MAX_BEFORE = 6


class Times:
    """Reads single times at any position of a query."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self._depth = 0
        # Every position is read as part of several phrases.
        self._known: dict[tuple[int, bool, bool, int], Read | None] = {}

    @cached_property
    def asks_back(self) -> bool:
        """Whether the query is in the past tense, and about nothing that was to come."""
        return asks_back(self.text)

    def read(self, i: int, *, bound: bool = False, bare_month: bool = True) -> Read | None:
        """The time at a position, with the words that belong to it; None if there is none.

        Args:
            i: A position.
            bound: Whether it follows "since", "between" or the like, so that a bare month or year
                and "today" are times.
            bare_month: Whether a bare month is one, then.
        """
        key = i, bound, bare_month, self._depth
        if key not in self._known:
            self._known[key] = self._read(i, bound, bare_month)
        return self._known[key]

    def _read(self, i: int, bound: bool, bare_month: bool) -> Read | None:
        text, start = self.text, i
        with_month, with_year, prefix, name = bound and bare_month, bound, "", ""
        share: Share | None = None
        for _ in range(_MAX_BEFORE):
            word = text.at(i).text
            if word in ("at", "over") and (found := ago(text, i)) is not None:
                return found  # "over a year ago"
            if word in PREPOSITIONS:
                with_month = with_month or word in _IN
                with_year = with_year or word in _IN or word == "of"
                prefix, i = word, i + 1
            elif self._is_article(i):
                i += 1
            elif self._introduces_year(i):
                with_year, i = True, i + 1
            elif share is None and (counted := numbered_share(text, i)) is not None:
                share, i = counted
                with_month = with_year = True
            elif (shared := part(text, i)) is not None:
                name, i = name or shared[0], shared[1]
                with_month = with_year = True
            else:
                break
        try:
            found = self._core(i, prefix, month=with_month, year=with_year, bound=bound)
            if found is None or found[0] is None:
                return found
            time, name = narrowed(found[0], share, name)
        except (ValueError, OverflowError):
            return None  # a day that does not exist, or outside the years 1 to 9999
        if time is not None and name:
            if time.days is None and text.at(start).text in AMBIGUOUS:
                return None
            time = with_part(time, name, text.today)
        return time, found[1]

    def _introduces_year(self, i: int) -> bool:
        """Whether "year" stands before its number; "New Year 2025" is where that year begins."""
        text = self.text
        introduced = text.at(i).text in ("year", "years") and len(text.at(i + 1).text) in (4, 9)
        return introduced and not text.says(i - 1, "new")

    def _is_article(self, i: int) -> bool:
        word = self.text.at(i).text
        return word == "the" or (word in ("this", "these") and self.text.is_last(i + 1))

    def _core(self, i: int, prefix: str, *, month: bool, year: bool, bound: bool) -> Read | None:
        text, token = self.text, self.text.at(i)
        word = token.text
        if token.kind == "form":
            return in_digits(text, i, named=year)
        if token.kind in ("number", "ordinal"):
            found = days_of_month(text, i, plain=bound or prefix == "on") or ago(text, i)
            found = found or offset(text, i, prefix, self._anchor)
            led = is_led(text, i, prefix, bound=bound)
            found = found or unnamed_days(text, i, led=led, asks_back=led and self.asks_back)
            return found or (bare_year(text, i) if year else None)
        if word in WEEKDAYS:
            found = weekday(text, i) or offset(text, i, prefix, self._anchor)
            return found or (lately(text, i) if self.asks_back and not bound else None)
        if word in MONTHS:
            return read_month(text, i, alone=month, plain=bound or prefix == "on")
        if text.is_last(i):
            return last(text, i, prefix)
        if word == "yesterday":
            return yesterday(text, i)
        if word in ("today", "now") and bound:
            return Time("day", one_day(text.today)), i + 1
        if word in ("today", "tonight", "this") and self.asks_back:
            found = lately(text, i)
            if found is not None:
                return found
        if word in DECADES and text.at(i - 1).text in ("the", "early", "mid", "late"):
            first = 1900 + 10 * DECADES[word]
            return Time("span", years(first, first + 9)), i + 1
        found = quarter(text, i) or numbered_week(text, i) or holiday(text, i, bound=bound)
        found = found or this(text, i) or self._ago(i)
        return found or offset(text, i, prefix, self._anchor)

    def _ago(self, i: int) -> Read | None:
        found = ago(self.text, i)
        if found is None or found[0] is None or found[0].unit != "week":
            return found
        return in_week(self.text, found[0], found[1])  # "two weeks ago on Friday"

    def _anchor(self, i: int) -> Read | None:
        if self._depth == _MAX_DEPTH:
            return None, i
        self._depth += 1
        found = self.read(i, bound=True)
        self._depth -= 1
        return found
