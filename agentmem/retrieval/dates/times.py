"""Reads single times: "3 May 2023", "last week", "two days ago", "the week before last"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from agentmem.retrieval.dates.calendar import (
    AMBIGUOUS,
    COUNTS,
    DAY,
    MONTHS,
    UNITS,
    WEEKDAYS,
    Days,
    Time,
    calendar_unit,
    hull,
    month_of,
    one_day,
    shifted,
    week_of,
    years,
)
from agentmem.retrieval.dates.tokens import END, Token

# A time and the position behind it; without a time: understood, but no time of the past.
Read = tuple[Time | None, int]

# Before a month, "in" and the like make it a date; before a year, too.
PREPOSITIONS = frozenset({"in", "during", "of", "throughout", "on", "at", "over", "within", "for"})
_MONTH_AFTER = frozenset({"in", "during", "of", "throughout"})
_ROLLING_AFTER = frozenset({"in", "during", "over", "within", "for", "throughout"})
_PARTS = frozenset({"early", "mid", "late"})
_STARTS = frozenset({"beginning", "start"})
_SHARES = frozenset(
    "end middle rest half quarter third part month year weekend weekends morning afternoon evening "
    "night all most whole days weeks months summer spring autumn fall winter".split()
)
_SEASONS = frozenset({"summer", "spring", "autumn", "fall", "winter"})
_POSITIONS = frozenset({"first", "second", "third", "fourth", "last", "final"})
LISTED = frozenset({"and", "or", "&", ","})
RANGED = frozenset({"to", "until", "till", "through", "thru", "-", "\u2013", "\u2014"})
_SMALL_UNITS = frozenset({"hour", "minute", "second"})
_LESS = (("less", "than"), ("under",), ("no", "more", "than"), ("at", "most"), ("up", "to"))
_MORE = (("more", "than"), ("over",), ("at", "least"), ("longer", "than"))
_ABOUT = tuple((word,) for word in "about around roughly approximately nearly almost".split())
_END_OF_CLAUSE = frozenset("?.!,;:)")
_FUNCTION_WORDS = frozenset(
    "a an the in on at with of for from about is was were did do does we i she he they you it and "
    "or to when where what who that".split()
)
_MAX_LISTED = 8
# "the day before the day before ..."
_MAX_DEPTH = 3


class Times:
    """Reads single times at any position of a query."""

    def __init__(self, tokens: Sequence[Token], now: datetime) -> None:
        self.tokens = tokens
        self.now = now
        self.today = now.date()
        self._depth = 0
        # Every position is read as part of several phrases.
        self._known: dict[tuple[int, bool, bool, int], Read | None] = {}

    def at(self, i: int) -> Token:
        """The token at a position; beyond the query, its end."""
        return self.tokens[i] if 0 <= i < len(self.tokens) else END

    def says(self, i: int, *words: str) -> bool:
        """Whether these words stand at a position."""
        return all(self.at(i + n).text == word for n, word in enumerate(words))

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
        month, year, prefix, part = bound and bare_month, bound, "", ""
        start = i
        for _ in range(6):
            text = self.at(i).text
            if text in ("at", "over") and (found := self.ago(i)) is not None:
                return found  # "over a year ago"
            if text in PREPOSITIONS:
                month, year = month or text in _MONTH_AFTER, year or text in _MONTH_AFTER
                prefix, i = text, i + 1
            elif text == "the" or (text in ("this", "these") and self._is_past(i + 1)):
                i += 1
            elif text == "year" and len(self.at(i + 1).text) == 4:
                year, i = True, i + 1
            elif (shared := self._part(i)) is not None:
                name, i = shared
                part = part or name
                month, year = True, True
            else:
                break
        try:
            found_time = self._core(i, prefix=prefix, month=month, year=year, bound=bound)
        except (ValueError, OverflowError):
            return None  # a day that does not exist, or outside the years 1 to 9999
        if found_time is None:
            return None
        time, j = found_time
        if time is None:
            return None, j
        if part and time.days is None and self.at(start).text in AMBIGUOUS:
            return None
        return self._with_part(time, part), j

    def _with_part(self, time: Time, part: str) -> Time | None:
        """A time of which a part is meant; None if that is no time of its own."""
        if part not in ("", "part") and time.unit == "rolling":
            return None  # "the end of the last two weeks"
        if part in ("week", "month", "year") and time.unit == "day":
            days = time.days or time.latest(self.today)
            return None if days is None else Time(part, calendar_unit(part, days[0]))
        if part == "winter" and time.days is not None:
            time = replace(time, days=(time.days[0], shifted(time.days[1], "month", 3)))
        return replace(time, part=part)

    def _is_past(self, i: int) -> bool:
        return self.at(i).text in ("last", "past", "previous")

    def _part(self, i: int) -> tuple[str, int] | None:
        """Read "the end of", "mid-", "the last week of", "summer": the name of the part."""
        text = self.at(i).text
        if text in _PARTS:
            return ("part", i + 1)
        if text in _SEASONS and not self.says(i + 1, "of"):
            return (text, i + 1) if self.at(i + 1).kind == "number" else None
        if text in _POSITIONS or self.at(i).kind == "ordinal":
            # "the first two weeks of"
            j = i + 1
            counted = self._count(j)
            j = counted[1] if counted else j
            of = self.at(j).text in _SHARES | UNITS.keys() | WEEKDAYS.keys()
            return ("part", j + 2) if of and self.says(j + 1, "of") else None
        if not self.says(i + 1, "of"):
            return None
        if text in _STARTS:
            return "start", i + 2
        if text in ("end", "winter"):
            return text, i + 2
        if text in ("week", "month", "year"):
            return text, i + 2
        return ("part", i + 2) if text in _SHARES else None

    def _core(self, i: int, *, prefix: str, month: bool, year: bool, bound: bool) -> Read | None:
        token = self.at(i)
        if token.kind == "form":
            return self._form(i, named=year)
        if token.kind in ("number", "ordinal"):
            dated = bound or prefix == "on"
            found = self._days_of_month(i, plain=dated) or self.ago(i) or self._offset(i)
            if found is None and year and token.kind == "number" and len(token.text) == 4:
                if 1900 <= token.value <= 2099:
                    return Time("year", years(token.value, token.value)), i + 1
            return found
        text = token.text
        if text in WEEKDAYS:
            return self._weekday_of(i)
        if text in MONTHS:
            return self._month(i, alone=month, plain=bound or prefix == "on")
        if self._is_past(i):
            return self._past(i, prefix)
        if text == "yesterday":
            return self._after_yesterday(i)
        if text in ("today", "now") and bound:
            return Time("day", one_day(self.today)), i + 1
        return self._this(i) or self.ago(i) or self._offset(i)

    # dates

    def _form(self, i: int, *, named: bool) -> Read | None:
        """A date in digits."""
        text = self.at(i).text
        if match := re.fullmatch(r"(\d{4})([-/])(\d\d?)\2(\d\d?)(?:t.*)?", text.lower()):
            return Time("day", one_day(date(int(match[1]), int(match[3]), int(match[4])))), i + 1
        if match := re.fullmatch(r"(\d\d?)([-/.])(\d\d?)\2(\d{4})", text):
            first, second, year = int(match[1]), int(match[3]), int(match[4])
            if first <= 12 and second <= 12 and first != second and match[2] != ".":
                return None, i + 1  # 3 May or 5 March
            if match[2] == "." or first > 12:
                first, second = second, first
            return Time("day", one_day(date(year, first, second))), i + 1
        if match := re.fullmatch(r"(\d\d?)-([a-z]+)-(\d{4})", text.lower()):
            if match[2] in MONTHS:
                day = date(int(match[3]), MONTHS[match[2]], int(match[1]))
                return Time("day", one_day(day)), i + 1
        if match := re.fullmatch(r"(\d\d?)/(\d{4})", text):
            return (Time("month", month_of(int(match[2]), int(match[1]))), i + 1) if named else None
        if match := re.fullmatch(r"((?:19|20)\d0)s", text):
            return Time("span", years(int(match[1]), int(match[1]) + 9)), i + 1
        if not named:
            return self._days_of_month(i, plain=False) or self.ago(i)
        if match := re.fullmatch(r"((?:19|20)\d\d)[-\u2013]((?:19|20)\d\d)", text):
            span = years(int(match[1]), int(match[2]))
            return (Time("span", span), i + 1) if match[1] < match[2] else None
        if match := re.fullmatch(r"((?:19|20)\d\d)-(\d\d)", text):
            return Time("month", month_of(int(match[1]), int(match[2]))), i + 1
        return self._days_of_month(i, plain=True) or self.ago(i)

    def _month(self, i: int, *, alone: bool, plain: bool, past: bool = False) -> Read | None:
        """Read "May 3rd, 2023", "May 3-5", "May 2023"; "May" if it may stand alone."""
        token = self.at(i)
        number, j = MONTHS[token.text], i + 1
        if self.at(j).text == "." and not self.at(j).spaced and len(token.text) <= 4:
            j += 1
        year = self._year(j)
        if year is not None:
            return Time("month", month_of(year[0], number)), year[1]
        days = self._day_list(j)
        if days is not None:
            first, last, nth, end = days
            time = Time("day" if first == last else "span", None, number, first, last, past)
            dated = self._with_year(time, end)
            verb = token.written in AMBIGUOUS and not (plain or nth or past)
            # "I may 3 ...": it is a date only at the end of a clause.
            if not verb or dated[0].days is not None or self._ends_clause(end):
                return dated
        if alone or past:
            return self._with_year(Time("month", None, number, past=past), j)
        suffixed, end = self._with_year(Time("month", None, number), j)
        return (suffixed, end) if suffixed.days is not None else None

    def _days_of_month(self, i: int, *, plain: bool, past: bool = False) -> Read | None:
        """Read "3 May", "the 3rd of May 2023", "3, 4 and 5 May"."""
        days = self._day_list(i)
        if days is None:
            return None
        first, last, nth, j = days
        for _ in range(2):  # "3rd of May", "3 in May"
            if self.at(j).text == "of" or (nth and self.at(j).text == "in"):
                j += 1
        month = self.at(j)
        if month.text not in MONTHS:
            return None
        unit = "day" if first == last else "span"
        time = Time(unit, None, MONTHS[month.text], first, last, past)
        j += 1
        if self.at(j).text == "." and not self.at(j).spaced and len(month.text) <= 4:
            j += 1
        dated = self._with_year(time, j)
        verb = month.written in AMBIGUOUS and not (plain or nth or past)
        if verb and dated[0].days is None and not self._ends_clause(j):
            return None
        return dated

    def _day_list(self, i: int) -> tuple[int, int, bool, int] | None:
        """Days of a month: the first, the last, whether one is ordinal, and the position behind."""
        days: list[tuple[int, int]] = []
        nth, j = False, i
        while len(days) < _MAX_LISTED:
            k = j + (self.at(j).text == "the")
            token = self.at(k)
            if token.kind in ("number", "ordinal") and 1 <= token.value <= 31:
                days.append((token.value, k + 1))
                nth = nth or token.kind == "ordinal"
            elif match := re.fullmatch(r"(\d\d?)[-\u2013](\d\d?)", token.text):
                days += [(int(match[1]), k + 1), (int(match[2]), k + 1)]
            else:
                break
            j = k + 1
            while self.at(j).text in LISTED | RANGED and j - k < 3:
                j += 1
            if j == k + 1:
                break
        while len(days) > 1 and self._in_month_before(i):
            # "May 3 to 5 June", "May 3 and 5 people": the last number belongs to what follows.
            after = self.at(days[-1][1])
            if after.text not in MONTHS and (
                after.kind != "word" or after.text in _FUNCTION_WORDS | PREPOSITIONS
            ):
                break
            days.pop()
        if not days:
            return None
        numbers = [day for day, _ in days]
        return min(numbers), max(numbers), nth, days[-1][1]

    def _in_month_before(self, i: int) -> bool:
        """Whether days at a position follow their month: "May 3", "Jan. 3"."""
        return self.at(i - 1).text in MONTHS or self.at(i - 2).text in MONTHS

    def _ends_clause(self, i: int) -> bool:
        return self.at(i) is END or self.at(i).text in _END_OF_CLAUSE

    def _year(self, i: int) -> tuple[int, int] | None:
        """The year of a month: "May 2023", "May, 2023", "May of 2023", "May '23"."""
        j = i + (self.at(i).text in (",", "of", "in"))
        token = self.at(j)
        if token.kind == "number" and len(token.text) == 4 and 1000 <= token.value < 3000:
            return token.value, j + 1
        short = self.at(j + 1)
        if token.text in ("'", "\u2019") and short.kind == "number" and len(short.text) == 2:
            century = 2000 if short.value <= self.today.year % 100 + 10 else 1900
            return century + short.value, j + 2
        return None

    def _with_year(self, time: Time, i: int) -> tuple[Time, int]:
        """A time without a year, with the year that follows: "last year", "two years ago"."""
        found = self._year(i)
        if found is None:
            j = i
            while self.at(j).text in (",", "of", "in", "the") and j < i + 2:
                j += 1
            relative: Read | None = None
            if self._is_past(j) and self.says(j + 1, "year") and not self.says(j + 2, "of"):
                relative = Time("year", years(self.today.year - 1, self.today.year - 1)), j + 2
            elif self.says(j, "this", "year"):
                relative = Time("year", years(self.today.year, self.today.year)), j + 2
            else:
                relative = self.ago(j) or self._offset(j)
            if relative is None or relative[0] is None or relative[0].unit != "year":
                return time, i
            assert relative[0].days is not None
            found = relative[0].days[0].year, relative[1]
        days = time.in_year(found[0])
        return replace(time, days=days), found[1]

    # counted from now

    def _after_yesterday(self, i: int) -> Read:
        day = self.today - DAY
        joined = self.at(i + 1).text in ("and", "or")
        if joined and self.says(i + 2, "the", "day", "before"):
            if self.at(i + 5).text not in {"yesterday", *MONTHS}:
                return Time("span", (day - DAY, day + DAY)), i + 5
        return Time("day", one_day(day)), i + 1

    def _past(self, i: int, prefix: str) -> Read | None:
        """Read "last week", "the past 3 days", "last Friday", "last May"."""
        word, next = self.at(i).text, self.at(i + 1).text
        specific = self.at(i - 1).text in ("the", "this", "these")
        counted = self._count(i + 1)
        if next in MONTHS and word != "previous":
            return self._month(i + 1, alone=True, plain=True, past=True)
        if counted is not None:
            return None if word == "previous" else self._past_counted(i + 1, *counted)
        if self.says(i + 2, "of"):
            return None
        if next == "night":
            return Time("day", one_day(self.today - DAY)), i + 2
        if next == "weekend":
            monday = self.today - self.today.weekday() * DAY
            return Time("span", (monday - 2 * DAY, monday)), i + 2
        if next in WEEKDAYS:
            back = (self.today.weekday() - WEEKDAYS[next]) % 7 or 7
            return Time("day", one_day(self.today - back * DAY)), i + 2
        if next not in UNITS or next.endswith("s"):
            return None
        if (word == "past" or specific) and word != "previous":
            if not specific and prefix not in _ROLLING_AFTER:
                return None
            return Time("rolling", self._rolling(next, 1)), i + 2
        if next not in ("week", "month", "year") or self.at(i - 1).text in ("over", "within"):
            return None  # "over last year": that year, or the twelve months to now
        time = Time(next, calendar_unit(next, shifted(self.today, next, -1)))
        return self._weekday_in(time, i + 2) if next == "week" else (time, i + 2)

    def _past_counted(self, i: int, count: float, j: int) -> Read | None:
        """Read "(the last) 3 days", "(last) 3 May"."""
        unit = self.at(j).text
        if self.says(j + 1, "of"):
            return None
        if unit in ("hour", "hours"):
            since = (self.now - timedelta(hours=count)).date()
            return Time("rolling", (since, self.today + DAY)), j + 1
        if unit in UNITS:
            return Time("rolling", self._rolling(unit, count)), j + 1
        return self._days_of_month(i, plain=True, past=True)

    def _rolling(self, unit: str, count: float) -> Days:
        name, size = UNITS[unit]
        return shifted(self.today, *_smaller(name, -count * size)), self.today + DAY

    def _weekday_in(self, week: Time, i: int) -> Read:
        """Read "last week on Friday"."""
        j = i + (self.at(i).text == "on")
        if week.days is None or self.at(j).text not in WEEKDAYS:
            return week, i
        return Time("day", one_day(week.days[0] + WEEKDAYS[self.at(j).text] * DAY)), j + 1

    def _weekday_of(self, i: int) -> Read | None:
        """Read "Friday of last week", "Friday, 3 May"."""
        weekday = WEEKDAYS[self.at(i).text]
        j = i + 1
        while self.at(j).text in (",", "of", "the") and j < i + 3:
            j += 1
        if self._is_past(j) and self.says(j + 1, "week"):
            last = week_of(self.today - 7 * DAY)
            return Time("day", one_day(last[0] + weekday * DAY)), j + 2
        if self.says(i + 1, "before", "last"):
            back = (self.today.weekday() - weekday) % 7 or 7
            return Time("day", one_day(self.today - (back + 7) * DAY)), i + 3
        token = self.at(j)
        found: Read | None = None
        if token.text in MONTHS:
            found = self._month(j, alone=False, plain=True)
        elif token.kind in ("number", "ordinal"):
            found = self._days_of_month(j, plain=True)
        elif token.kind == "form":
            found = self._form(j, named=False)
        if found is None or found[0] is None or found[0].unit != "day":
            return None
        time = found[0]
        if time.days is not None:
            return found if time.days[0].weekday() == weekday else (None, found[1])
        for year in range(self.today.year, max(0, self.today.year - 29), -1):
            try:
                days = time.in_year(year)
            except ValueError:
                continue
            if days[0] <= self.today and days[0].weekday() == weekday:
                return replace(time, days=days), found[1]
        return None, found[1]

    def _this(self, i: int) -> Read | None:
        """Read "earlier this week", "this year so far"; "this year" counts only with a month."""
        if self.says(i, "earlier", "today"):
            return Time("day", one_day(self.today)), i + 2
        j = i + (1 if self.says(i, "earlier") else 2 if self.says(i, "so", "far") else 0)
        unit = self.at(j + 1).text
        if not self.says(j, "this") or unit not in ("week", "month", "year"):
            return None
        end = j + 2
        started = j > i
        if self.says(end, "so", "far"):
            started, end = True, end + 2
        days = calendar_unit(unit, self.today)
        if started:
            return Time("span", (days[0], self.today + DAY)), end
        return (Time("year", days, weak=True), end) if unit == "year" else (None, end)

    def ago(self, i: int) -> Read | None:
        """Read "two days ago", "1 or 2 weeks ago", "half a year ago", "less than a week ago"."""
        kind, j = self._qualifier(i)
        counted = self._counts(j)
        if counted is None:
            return None
        low, high, j = counted
        unit = self.at(j).text
        if unit not in UNITS and unit.removesuffix("s") not in _SMALL_UNITS:
            return None
        j += 1
        steps = [(unit, low, high)]
        if self.says(j, "and", "a", "half"):
            steps, j = [(unit, low + 0.5, high + 0.5)], j + 3
        elif self.says(j, "or", "two"):
            steps, j = [(unit, low, max(2, high))], j + 2
        elif self.says(j, "or", "so"):
            kind, j = "about", j + 2
        else:
            k = j + (self.at(j).text in ("and", ","))
            more = self._counts(k)
            if more is not None and self.at(more[2]).text in UNITS:
                steps.append((self.at(more[2]).text, more[0], more[1]))
                j = more[2] + 1
        if self.says(j, "or", "so"):
            kind, j = "about", j + 2
        if not self.says(j, "ago"):
            return None
        j += 1
        if any(name not in UNITS for name, *_ in steps) or self.at(j).text in WEEKDAYS:
            return None, j  # hours; "a week ago Friday", which is a day of either week
        try:
            days = self._days_ago(steps, kind)
        except (ValueError, OverflowError):
            return None, j
        if self.says(j, "today") and len(steps) == 1 and low == high and not kind:
            return Time("day", one_day(self._back(steps, 0))), j + 1
        name = _smaller(*_sized(steps[-1][0], steps[-1][1]))[0]
        return Time(name if not kind and low == high else "span", days), j

    def _days_ago(self, steps: list[tuple[str, float, float]], kind: str) -> Days:
        tomorrow = self.today + DAY
        near, far = self._back(steps, 0), self._back(steps, 1)
        if kind == "less":
            return far, tomorrow
        if kind == "more":
            return date.min, near + DAY
        unit = _smaller(*_sized(steps[-1][0], steps[-1][1]))[0]
        days = hull([calendar_unit(unit, far), calendar_unit(unit, near)])
        if kind == "about":
            wide = shifted(far, unit, -1), min(shifted(near, unit, 1) + DAY, tomorrow)
            days = hull([days, wide])
        return days[0], (min(days[1], tomorrow) if kind else days[1])

    def _back(self, steps: list[tuple[str, float, float]], which: int) -> date:
        day = self.today
        for unit, *counts in steps:
            name, size = _sized(unit, counts[which])
            day = shifted(day, *_smaller(name, -size))
        return day

    def _qualifier(self, i: int) -> tuple[str, int]:
        for kind, spellings in (("less", _LESS), ("more", _MORE), ("about", _ABOUT)):
            for words in spellings:
                if self.says(i, *words):
                    return kind, i + len(words)
        return "", i

    def _counts(self, i: int) -> tuple[float, float, int] | None:
        """One count, or two: "1 or 2", "2-3"."""
        if match := re.fullmatch(r"(\d{1,3})[-\u2013](\d{1,3})", self.at(i).text):
            low, high = sorted((int(match[1]), int(match[2])))
            return low, high, i + 1
        first = self._count(i)
        if first is None:
            return None
        j = first[1]
        if self.at(j).text in ("or", "to", "and", "-", "\u2013"):
            second = self._count(j + 1)
            if second is not None and not self.says(second[1], "half"):
                return min(first[0], second[0]), max(first[0], second[0]), second[1]
        return first[0], first[0], j

    def _count(self, i: int) -> tuple[float, int] | None:
        token = self.at(i)
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
        if self.says(i + 1, "and", "a", "half") and self.at(i + 4).text in UNITS:
            return count + 0.5, i + 4
        return count, i + 1

    def _offset(self, i: int) -> Read | None:
        """Read "the week before last", "the day after 3 May", "two days before yesterday"."""
        counted = self._count(i)
        j = counted[1] if counted else i
        named, relation = self.at(j).text, self.at(j + 1).text
        j += 2
        if relation == "prior" and self.says(j, "to"):
            relation, j = "before", j + 1
        if relation not in ("before", "after"):
            return None
        if counted is None and relation == "before" and self.says(j, "last"):
            if self.at(j + 1).text in UNITS | MONTHS | WEEKDAYS | {"night": 0, "weekend": 0}:
                return self._beside(named, 1, relation, j, counted=False)
            return self._before_last(named, j + 1)
        if named not in UNITS or (counted is None and named.endswith("s")):
            return None
        count = 1.0 if counted is None else counted[0]
        return self._beside(named, count, relation, j, counted=counted is not None)

    def _before_last(self, named: str, j: int) -> Read | None:
        if named == "night":
            return Time("day", one_day(self.today - 2 * DAY)), j
        if named == "weekend":
            monday = self.today - self.today.weekday() * DAY
            return Time("span", (monday - 9 * DAY, monday - 7 * DAY)), j
        if named not in ("week", "month", "year"):
            return None
        return Time(named, calendar_unit(named, shifted(self.today, named, -2))), j

    def _beside(
        self, named: str, count: float, relation: str, j: int, *, counted: bool
    ) -> Read | None:
        if named not in UNITS:
            return None
        if self._depth == _MAX_DEPTH:
            return None, j
        self._depth += 1
        found = self.read(j, bound=True)
        self._depth -= 1
        if found is None or found[0] is None:
            return found
        days = found[0].days or found[0].latest(self.today)
        if days is None or days[0] == date.min:
            return None, found[1]
        unit, size = _smaller(*_sized(named, count))
        if unit == "day" or not counted:
            first = shifted(days[0], unit, -size)
            if relation == "before":
                beside = first, shifted(first, unit, 1) if unit == "day" else days[0]
            else:
                last = shifted(days[1], unit, size)
                beside = (last - DAY if unit == "day" else days[1]), last
            return Time(unit, beside), found[1]
        if relation == "before":
            at = shifted(days[0], unit, -size)
        else:
            at = shifted(days[1] - DAY, unit, size)
        return Time(unit, calendar_unit(unit, at)), found[1]


def _sized(unit: str, count: float) -> tuple[str, float]:
    """A count of units as a count of those that the calendar knows."""
    name, size = UNITS[unit]
    return name, count * size


def _smaller(unit: str, count: float) -> tuple[str, float]:
    """Half a year as six months; others as they are."""
    if unit == "year" and count != int(count):
        return "month", count * 12
    return unit, count
