"""Reads what several times make together: "from March to May 2024", "since last May"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from agentmem.retrieval.dates.calendar import (
    AMBIGUOUS,
    COUNTS,
    MONTHS,
    UNITS,
    WEEKDAYS,
    Days,
    Time,
    hull,
)
from agentmem.retrieval.dates.times import LISTED, PREPOSITIONS, RANGED, Times
from agentmem.retrieval.dates.tokens import END, Token

_LEADS = {
    ("since",): "since",
    ("starting",): "since",
    ("no", "earlier", "than"): "since",
    ("after",): "after",
    ("later", "than"): "after",
    ("before",): "before",
    ("prior", "to"): "before",
    ("earlier", "than"): "before",
    ("until",): "until",
    ("till",): "until",
    ("by",): "until",
    ("up", "to"): "until",
    ("no", "later", "than"): "until",
}
# What follows these is not the past, or not one time.
_ELSEWHERE = frozenset(
    "next coming upcoming following every each any another this these tomorrow tonight".split()
)
_REJECTED = frozenset({"not", "except", "excluding", "than"})
_HALVES = frozenset({"half", "few", "several", "quarter"})
_STARTERS = (
    PREPOSITIONS
    | MONTHS.keys()
    | WEEKDAYS.keys()
    | UNITS.keys()
    | COUNTS.keys()
    | _ELSEWHERE
    | {words[0] for words in _LEADS}
    | frozenset(
        "the last past previous yesterday from between earlier so less under no at up more longer "
        "about around roughly approximately nearly almost half couple early mid late beginning "
        "start end summer spring autumn fall winter year night weekend".split()
    )
)
_NUMBERS = frozenset({"number", "ordinal", "form"})
# Every time has one of these words, or a number.
_CORES = MONTHS.keys() | WEEKDAYS.keys() | UNITS.keys()
_CORES |= frozenset("yesterday today tomorrow tonight now night weekend ago hours".split())
# How far before it, in tokens, a time may begin: "in the second half of the last two weeks".
_MAX_LEAD = 10
# A text that names more times does not ask about one, and reading them all would take long.
_MAX_CORES = 500
_MAX_TIMES = 8
# How far before "and" the "between" may stand that it belongs to.
_REACH = 6


@dataclass(frozen=True, slots=True)
class Phrase:
    """Times that belong together.

    Attributes:
        times: The times, in the order of the query.
        lead: ``since``, ``after``, ``before`` or ``until``; "" if it is closed at both ends.
        around: Whether the time is approximate.
    """

    times: tuple[Time, ...]
    lead: str = ""
    around: bool = False

    @property
    def yearless(self) -> bool:
        """Whether none of its times has a year of its own."""
        return all(time.days is None for time in self.times)

    def days(self, today: date, year: int | None = None) -> Days | None:
        """From the first to the last of its times.

        Args:
            today: The current day.
            year: The year of its times, if none has one of its own; None: the latest possible.
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
                    earlier = self.times[at].in_year(after[0].year - 1)
                spans[at] = earlier
        for at in range(1, len(spans)):
            before = spans[at - 1]
            if spans[at] is None and before is not None:
                later = self.times[at].in_year(before[0].year)
                if later[0] < before[0]:
                    later = self.times[at].in_year(before[0].year + 1)
                spans[at] = later
        return hull([span for span in spans if span is not None])


class NotUnderstood(Exception):
    """The query names a time, but not one that is understood as a whole."""


class Phrases:
    """Reads the phrases of a query, from its beginning to its end."""

    def __init__(self, tokens: Sequence[Token], times: Times) -> None:
        self._tokens = tokens
        self._times = times
        self._other_year = False

    def read_all(self) -> list[Phrase]:
        """All phrases.

        Raises:
            NotUnderstood: Something belongs to a time and is not understood.
        """
        found: list[Phrase] = []
        cores = [at for at, token in enumerate(self._tokens) if _is_core(token)]
        if len(cores) > _MAX_CORES:
            raise NotUnderstood
        starts = {i for at in cores for i in range(max(0, at - _MAX_LEAD), at + 1)}
        i = 0
        while i < len(self._tokens):
            token = self._tokens[i]
            read = None
            if i in starts and (token.kind in _NUMBERS or token.text in _STARTERS):
                read = self._phrase(i)
            if read is None:
                i += 1
                continue
            phrase, j = read
            if phrase is not None:
                self._check_surroundings(i, j, phrase)
                found.append(phrase)
            i = max(j, i + 1)
        if self._other_year and any(phrase.yearless for phrase in found):
            raise NotUnderstood  # "next year in May"
        return found

    def _phrase(self, i: int) -> tuple[Phrase | None, int] | None:
        text = self._times.at(i).text
        if text in _ELSEWHERE and (found := self._elsewhere(i)) is not None:
            return None, found
        if text == "between":
            return self._range(i, must=True)
        if text == "from" and (range := self._range(i, must=False)) is not None:
            return range
        lead, j = self._lead(i)
        if lead:
            return self._led(lead, j, text)
        ago = self._times.ago(i)
        if (
            text == "around"
            and ago is None
            and (found_time := self._times.read(i + 1, bound=True)) is not None
        ):
            time, j = found_time
            if time is not None and time.unit in ("day", "month", "year"):
                return Phrase((time,), around=True), j
        read = self._months_together(i) or self._list(i, bound=False)
        if read is None:
            return None
        times, j, _ = read
        return (Phrase(times) if times else None), j

    def _months_together(self, i: int) -> tuple[tuple[Time, ...], int, bool] | None:
        """Read "March-May 2022": a bare month, if another time with a year belongs to it."""
        token = self._times.at(i)
        if token.text not in MONTHS or token.written in AMBIGUOUS:
            return None
        if self._times.at(i + 1).text not in LISTED | RANGED:
            return None
        read = self._list(i, bound=True)
        return read if read is not None and any(time.days for time in read[0]) else None

    def _elsewhere(self, i: int) -> int | None:
        """Read "next May 3", "every Friday", "the coming two weeks": the position behind it."""
        text = self._times.at(i).text
        if text in ("tomorrow", "tonight"):
            return i + 1
        if text in ("this", "these") and self._times.read(i) is not None:
            return None
        j = i + 1
        if self._times.at(j).text in COUNTS or self._times.at(j).kind == "number":
            j += 1
        unit = self._times.at(j).text
        if unit in UNITS or unit in WEEKDAYS or unit in ("weekend", "hours", "few"):
            self._other_year = self._other_year or unit in ("year", "years")
            return j + 1
        read = self._times.read(i + 1, bound=True)
        return None if read is None else read[1]

    def _lead(self, i: int) -> tuple[str, int]:
        for words, lead in _LEADS.items():
            if self._times.says(i, *words):
                return lead, i + len(words)
        return "", i

    def _led(self, lead: str, j: int, text: str) -> tuple[Phrase | None, int] | None:
        """Read "since May", "before the end of 2023", "since March until May"."""
        j += self._times.at(j).text == "about"
        read = self._list(j, bound=True, bare_month=text != "by")
        if read is None:
            return None
        times, j, ranged = read
        if not times or any(time.unit == "rolling" for time in times):
            return None, j
        if ranged and lead in ("since", "after"):
            return Phrase(times), j
        part = times[0].part
        if part == "start":
            lead = {"until": "before", "after": "since"}.get(lead, lead)
        elif part == "end":
            lead = "until" if lead == "before" else lead
        elif part in ("part", "summer", "spring", "autumn", "fall"):
            # What is after the middle of May may be in May.
            lead = {"before": "until", "after": "since"}.get(lead, lead)
        return Phrase(times, lead), j

    def _range(self, i: int, *, must: bool) -> tuple[Phrase | None, int] | None:
        """Read "between 3 and 5 May", "from March to May 2024", "from 2020 on"."""
        first = self._times.read(i + 1, bound=True)
        if first is None:
            return None
        time, j = first
        if time is None:
            raise NotUnderstood
        if not must and (self._times.says(j, "on") or self._times.at(j).text.startswith("onward")):
            if self._times.says(j, "on") and self._begins(j + 1):
                raise NotUnderstood
            return Phrase((time,), "since"), j + 1
        if time.first != time.last:  # "between 3 and 5 May"
            return Phrase((time,)), j
        joins = RANGED | {"and", "&"} if must else RANGED
        if self._times.at(j).text not in joins:
            if must:
                raise NotUnderstood
            return None
        second = self._times.read(j + 1, bound=True)
        if second is None or second[0] is None:
            raise NotUnderstood
        if "rolling" in (time.unit, second[0].unit):
            raise NotUnderstood
        return Phrase((time, second[0])), second[1]

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
        past = self._times.at(i).text in ("last", "past")
        while len(times) < _MAX_TIMES:
            joint = self._times.at(j).text
            read = self._next(times[-1], j, past)
            if read is None:
                break
            times.append(read[0])
            j, ranged = read[1], ranged or joint in RANGED
        return tuple(times), j, ranged

    def _next(self, last: Time, j: int, past: bool) -> tuple[Time, int] | None:
        """The next time of a list, and the position behind it.

        Raises:
            NotUnderstood: There is one that is not understood, or not in the past.
        """
        joint, k = self._times.at(j).text, j + 1
        if joint not in LISTED | RANGED:
            return None
        k += joint == "," and self._times.at(k).text in ("and", "or")
        if past and self._times.at(k).text in WEEKDAYS:
            raise NotUnderstood  # "last Friday and Saturday"
        read = self._times.read(k, bound=True)
        if joint == "," and (read is None or not self._continues(last, k)):
            return None
        if read is None and not self._begins(k):
            return None
        time, end = read or (None, j)
        if time is None:
            raise NotUnderstood
        return replace(time, past=past or time.past), end

    def _continues(self, last: Time, k: int) -> bool:
        """Whether the time after a comma belongs to the list: "in May, June and July"."""
        token = self._times.at(k)
        return token.text in MONTHS and token.written not in AMBIGUOUS and last.unit == "month"

    def _begins(self, i: int) -> bool:
        """Whether something that looks like a time begins here."""
        for _ in range(3):
            i += self._times.at(i).text in ("the", "in", "on", "of")
        token = self._times.at(i)
        if token.text in MONTHS:
            return token.written not in AMBIGUOUS
        known = token.text in WEEKDAYS or token.text in UNITS or token.text in _ELSEWHERE
        known = known or token.text in ("last", "past", "yesterday", "today", "now")
        dated = token.kind in ("ordinal", "form") or (
            token.kind == "number" and (1 <= token.value <= 31 or 1900 <= token.value <= 2099)
        )
        return known or dated

    def _check_surroundings(self, i: int, j: int, phrase: Phrase) -> None:
        """Refuse a phrase beside which stands what may belong to it.

        Raises:
            NotUnderstood: Something does.
        """
        at = self._times.at
        if self._belongs_before(i, phrase) or self._belongs_behind(j, phrase):
            raise NotUnderstood
        if at(i - 1).text in LISTED | RANGED and at(i - 1).text != ",":
            # "between the wedding and May 2023", "30 February or May 2023"
            earlier = {at(n).text for n in range(max(0, i - _REACH), i - 1)}
            if earlier & {"between", "from"} or at(i - 2).text in MONTHS:
                raise NotUnderstood

    def _belongs_before(self, i: int, phrase: Phrase) -> bool:
        before, first = self._times.at(i - 1), self._times.at(i)
        counted = self._times.at(i - 2)
        if first.text in MONTHS and self._is_day(i - 1):
            return True  # "30 February 2023"
        if before.text in _HALVES:
            return first.text in UNITS or first.text in COUNTS
        if before.text in WEEKDAYS:
            return not phrase.lead and first.text not in PREPOSITIONS  # "Friday a week ago"
        if before.text in UNITS and (counted.text in COUNTS or counted.kind == "number"):
            return not phrase.lead and first.text not in PREPOSITIONS  # "a week last Friday"
        return before.text in _REJECTED

    def _belongs_behind(self, j: int, phrase: Phrase) -> bool:
        after, last = self._times.at(j), phrase.times[-1]
        if after.text in ("-", "\u2013", "/", ":"):
            return not after.spaced and self._times.at(j + 1) is not END
        if after.text in ("before", "after", "of"):
            rolling = last.unit == "rolling"
            return rolling or (after.text != "of" and self._begins(j + 1))
        if after.text in WEEKDAYS:
            return last.unit != "day"
        if after.text in ("last", "past", "yesterday"):
            return self._times.read(j) is not None  # "a year ago last May"
        if self._times.at(j + (after.text == "the")).kind == "ordinal":
            return True  # "last Friday the 13th"
        return after.text in ("ago", "hence") or self._times.says(j, "and", "a", "half")

    def _is_day(self, i: int) -> bool:
        token = self._times.at(i)
        if token.text == "." and not token.spaced:
            token = self._times.at(i - 1)
        return token.kind in ("number", "ordinal") and token.value <= 31


def _is_core(token: Token) -> bool:
    return token.kind in _NUMBERS or token.text in _CORES
