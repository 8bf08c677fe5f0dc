"""Reads what several times make together: "from March to May 2024", "since last May"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from agentmem.retrieval.dates.ago import ago
from agentmem.retrieval.dates.calendar import Days, Time, hull
from agentmem.retrieval.dates.holidays import STARTS
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.times import Times
from agentmem.retrieval.dates.tokens import Token
from agentmem.retrieval.dates.vocabulary import (
    AMBIGUOUS,
    CLOCK_UNITS,
    COUNTS,
    DECADES,
    ELSEWHERE,
    LEADS,
    LISTED,
    MONTHS,
    PARTS_OF_DAY,
    PREPOSITIONS,
    RANGED,
    SEASONS,
    UNITS,
    WEEKDAYS,
)
from agentmem.retrieval.dates.weekdays import last_weekday

_STARTERS = (
    PREPOSITIONS
    | MONTHS.keys()
    | WEEKDAYS.keys()
    | UNITS.keys()
    | COUNTS.keys()
    | ELSEWHERE
    | SEASONS
    | PARTS_OF_DAY
    | DECADES.keys()
    | STARTS
    | {words[0] for words in LEADS}
    | {f"{letter}{number}" for letter in "qh" for number in range(1, 5)}
    | frozenset(
        "the last past previous yesterday today from between earlier so less under no at up more "
        "longer about around roughly approximately nearly almost half couple early mid late "
        "beginning start end weekend final".split()
    )
)
_NUMBERS = frozenset({"number", "ordinal", "form"})
# Every time has one of these words, or a number.
_CORES = MONTHS.keys() | WEEKDAYS.keys() | UNITS.keys() | DECADES.keys() | STARTS
_CORES |= PARTS_OF_DAY | CLOCK_UNITS.keys()
_CORES |= frozenset("yesterday today tomorrow tonight now weekend ago".split())
# How far before it, in tokens, a time may begin: "in the second half of the last two weeks".
_MAX_LEAD = 10
# A text that names more times does not ask about one, and reading them all would take long.
_MAX_CORES = 500
_MAX_TIMES = 8
# December and January, but not June and May, are of two years.
_MAX_WRAP = 3
_DASHES = frozenset({"-", "\u2013", "\u2014"})


class NotUnderstood(Exception):
    """The query names a time, but not one that is understood as a whole."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Times that belong together.

    Attributes:
        times: The times, in the order of the query.
        lead: ``since``, ``after``, ``before`` or ``until``; "" if it is closed at both ends.
        around: Whether the time is approximate.
        ranged: Whether it is from the first to the last, not a list of times.
    """

    times: tuple[Time, ...]
    lead: str = ""
    around: bool = False
    ranged: bool = False

    @property
    def yearless(self) -> bool:
        """Whether none of its times has a year of its own."""
        return all(time.days is None for time in self.times)

    @property
    def whole_years(self) -> bool:
        """Whether it is nothing but years, closed at both ends."""
        return not self.lead and all(time.unit == "year" for time in self.times)

    def days(self, today: date, year: int | None = None) -> Days | None:
        """From the first to the last of its times.

        Args:
            today: The current day.
            year: The year of its times, if none has one of its own; None: the latest possible.

        Raises:
            NotUnderstood: It is not clear of which year one of them is.
        """
        spans: list[Days | None] = [time.days for time in self.times]
        if all(span is None for span in spans):
            last = self.times[-1]
            spans[-1] = last.latest(today) if year is None else last.in_year(year)
            if spans[-1] is None:
                return None
        # A year belongs to all times before it, as in "May and June 2025".
        for at in range(len(spans) - 2, -1, -1):
            after = spans[at + 1]
            if spans[at] is None and after is not None:
                earlier = self.times[at].in_year(after[0].year)
                if earlier[0] > after[0]:
                    self._check_turn(earlier, after)
                    earlier = self.times[at].in_year(after[0].year - 1)
                spans[at] = earlier
        for at in range(1, len(spans)):
            before = spans[at - 1]
            if spans[at] is None and before is not None:
                later = self.times[at].in_year(before[0].year)
                if later[0] < before[0]:
                    self._check_turn(before, later)
                    later = self.times[at].in_year(before[0].year + 1)
                spans[at] = later
        found = [span for span in spans if span is not None]
        if self.ranged and len(found) == 2 and found[0][0] < found[1][1]:
            return found[0][0], found[1][1]
        return hull(found)

    def _check_turn(self, late: Days, early: Days) -> None:
        """Refuse a list that is not in order, unless a year ends within it."""
        if not self.ranged and (early[0].month - late[0].month) % 12 > _MAX_WRAP:
            raise NotUnderstood


class Found(NamedTuple):
    """A phrase, or a time that is not of the past, and its place in the query.

    Attributes:
        phrase: The phrase; None if it is elsewhere.
        start: The position of its first token.
        end: The position behind its last token.
    """

    phrase: Phrase | None
    start: int
    end: int


class Phrases:
    """Reads the phrases of a query, from its beginning to its end."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._times = Times(text)
        self._other_year = False

    def read_all(self) -> list[Found]:
        """All phrases.

        Raises:
            NotUnderstood: Something belongs to a time and is not understood.
        """
        found: list[Found] = []
        tokens = self._text.tokens
        cores = [at for at, token in enumerate(tokens) if _is_core(token)]
        if len(cores) > _MAX_CORES:
            raise NotUnderstood
        starts = {i for at in cores for i in range(max(0, at - _MAX_LEAD), at + 1)}
        i = 0
        while i < len(tokens):
            token = tokens[i]
            read = None
            if i in starts and (token.kind in _NUMBERS or token.text in _STARTERS):
                read = self._phrase(i)
            if read is None:
                i += 1
                continue
            phrase, j = read
            found.append(Found(phrase, i, j))
            i = max(j, i + 1)
        if self._other_year and any(one.phrase and one.phrase.yearless for one in found):
            raise NotUnderstood  # "next year in May"
        return found

    def _phrase(self, i: int) -> tuple[Phrase | None, int] | None:
        word = self._text.at(i).text
        if word in ELSEWHERE and (found := self._elsewhere(i)) is not None:
            return None, found
        if word == "between":
            return self._range(i, must=True)
        if word == "from" and (range := self._range(i, must=False)) is not None:
            return range
        lead, j = self._lead(i)
        if lead:
            return self._led(lead, j, word)
        if (
            word == "around"
            and ago(self._text, i) is None
            and (found_time := self._times.read(i + 1, bound=True)) is not None
        ):
            time, j = found_time
            if time is not None and time.unit in ("day", "month", "year"):
                return Phrase((time,), around=True), j
        read = self._months_together(i) or self._list(i, bound=False)
        if read is None:
            return None
        times, j, ranged = read
        return (Phrase(times, ranged=ranged) if times else None), j

    def _months_together(self, i: int) -> tuple[tuple[Time, ...], int, bool] | None:
        """Read "March-May 2022": a bare month, if another time with a year belongs to it."""
        token = self._text.at(i)
        if token.text not in MONTHS or token.written in AMBIGUOUS:
            return None
        if self._text.at(i + 1).text not in LISTED | RANGED:
            return None
        read = self._list(i, bound=True)
        return read if read is not None and any(time.days for time in read[0]) else None

    def _elsewhere(self, i: int) -> int | None:
        """Read "next May 3", "every Friday", "the coming two weeks": the position behind it."""
        text = self._text
        word = text.at(i).text
        if word == "tomorrow":
            return i + 1
        if word in ("this", "these", "tonight") and self._times.read(i) is not None:
            return None
        if word == "tonight":
            return i + 1
        j = i + 1
        if text.at(j).text in COUNTS or text.at(j).kind == "number":
            j += 1
        unit = text.at(j).text
        if unit in UNITS or unit in WEEKDAYS or unit in ("weekend", "hours", "few"):
            self._other_year = self._other_year or unit in ("year", "years")
            return j + 1
        read = self._times.read(i + 1, bound=True)
        return None if read is None else read[1]

    def _lead(self, i: int) -> tuple[str, int]:
        for words, lead in LEADS.items():
            if self._text.says(i, *words):
                return lead, i + len(words)
        return "", i

    def _led(self, lead: str, j: int, word: str) -> tuple[Phrase | None, int] | None:
        """Read "since May", "before the end of 2023", "since March until May"."""
        read = self._list(j, bound=True, bare_month=word != "by")
        if read is None:
            if lead == "since" and self._text.at(j).text in WEEKDAYS:
                return Phrase((last_weekday(self._text, j),), lead), j + 1
            return None
        times, j, ranged = read
        if not times or any(time.unit == "rolling" for time in times):
            return None, j
        if ranged and lead in ("since", "after"):
            return Phrase(times, ranged=True), j
        if times[0].unnamed and times[0].unit == "span":
            raise NotUnderstood  # "since the 5th and until the 7th"
        if times[0].unnamed and lead != "since" and not self._times.asks_back:
            return None, j  # "by the 3rd": of the next month as well
        if len(times) > 1 and not ranged and lead in ("before", "after"):
            raise NotUnderstood  # "before 2020 or 2021"
        part = times[0].part
        if part == "start":
            lead = {"until": "before", "after": "since"}.get(lead, lead)
        elif part == "end":
            lead = "until" if lead == "before" else lead
        elif part in ("part", *SEASONS):
            # What is after the middle of May may be in May.
            lead = {"before": "until", "after": "since"}.get(lead, lead)
        return Phrase(times, lead, ranged=ranged), j

    def _range(self, i: int, *, must: bool) -> tuple[Phrase | None, int] | None:
        """Read "between 3 and 5 May", "from March to May 2024", "from 2020 on"."""
        text = self._text
        first = self._times.read(i + 1, bound=True)
        if first is None:
            return None
        time, j = first
        if time is None:
            raise NotUnderstood
        if not must and (text.says(j, "on") or text.at(j).text.startswith("onward")):
            if text.says(j, "on") and self._begins(j + 1):
                raise NotUnderstood
            return Phrase((time,), "since"), j + 1
        joins = RANGED | {"and", "&"} if must else RANGED
        whole = time.unit == "span" and text.at(j).text not in joins
        whole = whole and (must or text.at(i + 1).text in WEEKDAYS)
        if time.first != time.last or whole:  # "between 3 and 5 May"
            return Phrase((time,)), j
        if text.at(j).text not in joins:
            if must:
                raise NotUnderstood
            return None
        second = self._times.read(j + 1, bound=True)
        if second is None or second[0] is None:
            raise NotUnderstood
        if "rolling" in (time.unit, second[0].unit):
            raise NotUnderstood
        _check_unnamed((time, second[0]))
        return Phrase((time, second[0]), ranged=True), second[1]

    def _list(
        self, i: int, *, bound: bool, bare_month: bool = True
    ) -> tuple[tuple[Time, ...], int, bool] | None:
        """One time, or several: the times, the position behind them, whether "to" joins two."""
        first = self._times.read(i, bound=bound, bare_month=bare_month)
        if first is None:
            return None
        if first[0] is None:
            return (), first[1], False
        times, j, ranged = [first[0]], first[1], False
        past = self._text.at(i).text in ("last", "past")
        while len(times) < _MAX_TIMES:
            joint = self._text.at(j).text
            read = self._next(times[-1], j, past)
            if read is None:
                break
            times.append(read[0])
            j, ranged = read[1], ranged or joint in RANGED
        _check_unnamed(times)
        return tuple(times), j, ranged

    def _next(self, last: Time, j: int, past: bool) -> tuple[Time, int] | None:
        """The next time of a list, and the position behind it.

        Raises:
            NotUnderstood: There is one that is not understood, or not in the past.
        """
        text = self._text
        joint, k = text.at(j).text, j + 1
        if joint not in LISTED | RANGED:
            return None
        serial = joint == "," and text.at(k).text in ("and", "or")
        k += serial
        if past and text.at(k).text in WEEKDAYS:
            raise NotUnderstood  # "last Friday and Saturday"
        read = self._times.read(k, bound=True)
        if joint == "," and not serial and not _continues(last, read, text.at(k)):
            return None
        if read is None and not self._begins(k):
            return None
        time, end = read or (None, j)
        if time is None:
            raise NotUnderstood
        if joint in _DASHES and (time.unit == "year") != (last.unit == "year"):
            raise NotUnderstood  # "in 2022 - May to be precise"
        if text.at(k).kind == "number" and (joint in LISTED or last.days is None):
            if (time.unit == "year") != (last.unit == "year"):
                raise NotUnderstood  # "in May 2022 and 2023"
        if text.at(k).written in AMBIGUOUS and time.days is None and not text.ends_clause(end):
            raise NotUnderstood  # "last year and may I"
        return replace(time, past=past or time.past), end

    def _begins(self, i: int) -> bool:
        """Whether something that looks like a time begins here."""
        for _ in range(3):
            i += self._text.at(i).text in ("the", "in", "on", "of")
        token = self._text.at(i)
        if token.text in MONTHS:
            return token.written not in AMBIGUOUS
        known = token.text in WEEKDAYS or token.text in UNITS or token.text in ELSEWHERE
        known = known or token.text in ("last", "past", "yesterday", "today", "now")
        dated = token.kind in ("ordinal", "form") or (
            token.kind == "number" and (1 <= token.value <= 31 or 1900 <= token.value <= 2099)
        )
        return known or dated


def _continues(last: Time, read: tuple[Time | None, int] | None, first: Token) -> bool:
    """Whether a time behind a comma belongs to the list: "in May, June and July"."""
    if read is None or read[0] is None or first.written in AMBIGUOUS:
        return False
    if first.text not in MONTHS and first.kind not in _NUMBERS:
        return False
    days = {"day", "span"}
    return read[0].unit == last.unit or {read[0].unit, last.unit} <= days


def _check_unnamed(times: Sequence[Time]) -> None:
    """Refuse "in May and on the 3rd", "from last Friday to the 3rd": the 3rd of which month?"""
    unnamed = {time.unnamed for time in times}
    if len(unnamed) > 1 and not (len(times) == 2 and _follows(*times)):
        raise NotUnderstood


def _follows(first: Time, second: Time) -> bool:
    """Whether the second is known, and lies behind the first: "from the 3rd to yesterday"."""
    if not first.unnamed or first.days is None or second.days is None:
        return False
    return first.days[0] <= second.days[0]


def _is_core(token: Token) -> bool:
    return token.kind in _NUMBERS or token.text in _CORES
