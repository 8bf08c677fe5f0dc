"""Parses the time that a query names in English: "last May", "in 2023", "two days ago".

Supported expressions; days, months and years are in the zone of ``now``, weeks begin on Monday:

- days: "3 May 2023", "May 3rd", "the 3rd of May", "2023-05-03"; without a year, the latest such day
  that is not in the future;
- months: "May 2023", "in May" (the latest that has begun), "last May" (the latest that is over),
  "in 2023-05";
- years: "in 2023", "of 2023", "the year 2023";
- "yesterday", "last night", "the day before yesterday", "last Friday", "last weekend";
- "last week", "last month", "last year"; "two days ago", "a week ago", "3 months ago": that day,
  week, month or year;
- "the past week", "the last 3 days": up to now, with months of 30 and years of 365 days;
- any of these after "since" or "after", "before", "until" or "till": open at one end.

Several times are combined to the interval that contains them all: "between May 2022 and July 2022".

Ambiguous words alone are not dates: not "may" and "march", not a bare "2023" or "June". Neither are
"today" and "this week": such questions are as often about the future, which was mentioned earlier.
Other expressions are ignored.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

# A first day, and the day after the last.
Days = tuple[date, date]
Reader = Callable[[re.Match[str], date], Days | None]

_MONTHS = "january february march april may june july august september october november december"
_MONTH_NUMBERS = {name: number for number, name in enumerate(_MONTHS.split(), start=1)}
_MONTH_NUMBERS |= {name[:3]: number for name, number in _MONTH_NUMBERS.items()}
_MONTH_NUMBERS["sept"] = 9
# In lower case these are also verbs.
_AMBIGUOUS = ("may", "mar", "march")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "a couple of": 2, "three": 3, "four": 4, "five": 5}
_COUNTS |= {"six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12}
_UNIT_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_DAY = timedelta(days=1)
# A longer query is a text that mentions many times, and parsing all of it would take long.
_MAX_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A time interval; None means open-ended.

    Attributes:
        since: Start, inclusive.
        until: End, exclusive.
    """

    since: datetime | None
    until: datetime | None


def named_interval(query: str, now: datetime) -> Interval | None:
    """Find the time that a query names.

    Args:
        query: Any text; only its first 1,000 characters are parsed.
        now: The current time, with a zone.

    Returns:
        An interval from midnight to midnight in the zone of ``now``; None if no time is named, or
        if the named times contradict each other.
    """
    query = query[:_MAX_CHARS]
    found: list[tuple[str, Days]] = []
    for pattern, read in _READERS:
        left, end = [], 0
        for match in pattern.finditer(query):
            days = _read(read, match, now.date())
            if days is not None:
                found.append(((match["lead"] or "").lower(), days))
                left.append(query[end : match.start()])
                end = match.end()
        # Parsed expressions are removed, so that no later pattern matches a part of them.
        query = "\0".join([*left, query[end:]])
    return _together(found, now)


def _read(read: Reader, match: re.Match[str], today: date) -> Days | None:
    try:
        return read(match, today)
    except (ValueError, OverflowError):
        return None  # a day that does not exist, such as 31 June, or outside the years 1 to 9999


def _together(found: list[tuple[str, Days]], now: datetime) -> Interval | None:
    """The smallest interval that contains all named times, limited by the open-ended ones."""
    closed = [days for lead, days in found if not lead]
    starts = [min(days[0] for days in closed)] if closed else []
    ends = [max(days[1] for days in closed)] if closed else []
    for lead, (first, end) in found:
        if lead in ("since", "after"):
            starts.append(first if lead == "since" else end)
        elif lead:
            ends.append(first if lead == "before" else end)
    since, until = max(starts, default=None), min(ends, default=None)
    if (since is None and until is None) or (since and until and since >= until):
        return None
    return Interval(_midnight(since, now), _midnight(until, now))


def _midnight(day: date | None, now: datetime) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), now.tzinfo)


def _iso_day(match: re.Match[str], today: date) -> Days:
    return _one_day(date(int(match["year"]), int(match["number"]), int(match["day"])))


def _iso_month(match: re.Match[str], today: date) -> Days | None:
    if not match["word"] and not match["lead"]:
        return None
    return _month(int(match["year"]), int(match["number"]))


def _day_of_month(match: re.Match[str], today: date) -> Days | None:
    month, day = _MONTH_NUMBERS[match["month"].lower()], int(match["day"])
    if match["year"]:
        return _one_day(date(int(match["year"]), month, day))
    if match["month"] in _AMBIGUOUS and not (match["on"] or match["lead"] or match["th"]):
        # "I may 3 ...": it is a date only at the end of a clause.
        if not re.match(r"\s*(?:[?.!,;:)]|$)", match.string[match.end() :]):
            return None
    # There is a 29 February at least every eight years.
    for year in range(today.year, today.year - 9, -1):
        if day <= monthrange(year, month)[1] and date(year, month, day) <= today:
            return _one_day(date(year, month, day))
    return None


def _month_of_year(match: re.Match[str], today: date) -> Days:
    return _month(int(match["year"]), _MONTH_NUMBERS[match["month"].lower()])


def _month_alone(match: re.Match[str], today: date) -> Days | None:
    word = (match["word"] or "").lower()
    if not word and not match["lead"]:
        return None
    month = _MONTH_NUMBERS[match["month"].lower()]
    this_year = month < today.month if word == "last" else month <= today.month
    return _month(today.year if this_year else today.year - 1, month)


def _year(match: re.Match[str], today: date) -> Days | None:
    if not match["word"] and not match["lead"]:
        return None
    return date(int(match["year"]), 1, 1), date(int(match["year"]) + 1, 1, 1)


def _yesterday(match: re.Match[str], today: date) -> Days:
    return _one_day(today - (2 if match["before"] else 1) * _DAY)


def _last_weekend(match: re.Match[str], today: date) -> Days:
    monday = today - today.weekday() * _DAY
    return monday - 2 * _DAY, monday


def _last_weekday(match: re.Match[str], today: date) -> Days:
    back = (today.weekday() - _WEEKDAYS.index(match["weekday"].lower())) % 7
    return _one_day(today - (back or 7) * _DAY)


def _last_unit(match: re.Match[str], today: date) -> Days:
    return _unit(match["unit"].lower(), 1, today)


def _ago(match: re.Match[str], today: date) -> Days:
    return _unit(match["unit"].lower(), _count(match), today)


def _past(match: re.Match[str], today: date) -> Days:
    days = (_count(match) if match["count"] else 1) * _UNIT_DAYS[match["unit"].lower()]
    return today - days * _DAY, today + _DAY


def _count(match: re.Match[str]) -> int:
    count = " ".join(match["count"].lower().split())
    return _COUNTS[count] if count in _COUNTS else int(count)


def _unit(unit: str, back: int, today: date) -> Days:
    """The day, week, month or year that is ``back`` units before the current one."""
    if unit == "day":
        return _one_day(today - back * _DAY)
    if unit == "week":
        monday = today - (today.weekday() + 7 * back) * _DAY
        return monday, monday + 7 * _DAY
    if unit == "month":
        year, month = divmod(12 * today.year + today.month - 1 - back, 12)
        return _month(year, month + 1)
    return date(today.year - back, 1, 1), date(today.year - back + 1, 1, 1)


def _month(year: int, month: int) -> Days:
    first = date(year, month, 1)
    return first, first + monthrange(year, month)[1] * _DAY


def _one_day(day: date) -> Days:
    return day, day + _DAY


def _pattern(body: str) -> re.Pattern[str]:
    """Complete words, case-insensitive; a space in the body matches any whitespace."""
    lead = "(?:(?P<lead>since|after|before|until|till) (?:the )?)?"
    pattern = rf"(?<![\w-])(?<!\d[.,])(?<!next\s){lead}{body}(?![\w-])"
    return re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE)


def _any(words: Iterable[str]) -> str:
    """One of these words; the longest that matches."""
    return "|".join(sorted(words, key=len, reverse=True))


_YEAR = r"(?P<year>(?:19|20)\d\d)"
_MONTH = rf"(?P<month>{_any(_MONTH_NUMBERS)})\.?"
_NTH = r"(?P<day>\d{1,2})(?P<th>st|nd|rd|th)?"
_ON = "(?P<on>on (?:the )?)?"
# A year; otherwise nothing that makes the number a time, price, percentage or decimal.
_MAYBE_YEAR = rf"(?:(?:,\s*| ){_YEAR}|(?![.:,/]?\d|\s*%))"
_PART = "(?:(?:early|mid|late)(?: |-))?"
_COUNT = rf"(?P<count>{_any(_COUNTS)}|\d{{1,4}})"
_UNIT = f"(?P<unit>{_any(_UNIT_DAYS)})"
# "The last week of May" is not the week before this one; May has already been removed.
_NOT_OF = "(?! (?:of |\0))"

_READERS: tuple[tuple[re.Pattern[str], Reader], ...] = tuple(
    (_pattern(body), read)
    for body, read in (
        (rf"{_ON}{_YEAR}[-/](?P<number>\d\d?)[-/](?P<day>\d\d?)(?:T[\d:.]+Z?)?", _iso_day),
        (rf"(?:(?P<word>in|during|of) )?{_YEAR}-(?P<number>\d\d)", _iso_month),
        (f"{_ON}{_NTH} (?:of )?{_MONTH}{_MAYBE_YEAR}", _day_of_month),
        (f"{_ON}{_MONTH} (?:the )?{_NTH}{_MAYBE_YEAR}", _day_of_month),
        (f"(?:in |during |of )?{_PART}{_MONTH}(?:, | of | ){_YEAR}", _month_of_year),
        (f"(?:(?P<word>in|during|of|last) {_PART})?{_MONTH}", _month_alone),
        (f"(?:(?P<word>in|during|of|year) (?:the year )?{_PART})?{_YEAR}(?![.,]?\\d)", _year),
        ("(?:the )?(?:(?P<before>day before )?yesterday|last night)", _yesterday),
        (f"last weekend{_NOT_OF}", _last_weekend),
        (f"last (?P<weekday>{_any(_WEEKDAYS)}){_NOT_OF}", _last_weekday),
        (f"(?:past|last) {_COUNT} {_UNIT}s?{_NOT_OF}", _past),
        (f"(?:the|this|over|in|during) past (?P<count>){_UNIT}{_NOT_OF}", _past),
        (f"last (?P<unit>week|month|year){_NOT_OF}", _last_unit),
        (f"{_COUNT} {_UNIT}s? ago", _ago),
    )
)
