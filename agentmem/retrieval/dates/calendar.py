"""Days, weeks, months and years."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, timedelta

# A first day, and the day after the last.
Days = tuple[date, date]
# A first moment, and the one after the last; None is an open end.
Clock = tuple[datetime | None, datetime | None]
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Time:
    """A time that a query names.

    Attributes:
        unit: What it is: ``day``, ``week``, ``month``, ``year``, ``rolling`` if it ends now,
            ``clock`` if it was so many hours ago, or ``span`` for anything else.
        days: Its days; None while its year is unknown.
        month: Its month, if it has no year of its own.
        first: Its first day of that month, if it has no year of its own; None: the whole month.
        last: Its last day of that month.
        past: Whether it must be over: "last May".
        weak: Whether it counts only together with another: "this year" with "in May".
        part: The part of it that is meant: ``start``, ``end``, or another name; "" for all of it.
        nth: Which weekday of the month it is, if that is how it is named: the number, -1 for the
            last, and the weekday.
        unnamed: Whether its month was not named, and is the latest that has such days.
        clock: What of its days is meant, if it is counted in hours or minutes.
    """

    unit: str
    days: Days | None = None
    month: int = 0
    first: int | None = None
    last: int | None = None
    past: bool = False
    weak: bool = False
    part: str = ""
    nth: tuple[int, int] | None = None
    unnamed: bool = False
    clock: Clock | None = None

    def in_year(self, year: int) -> Days:
        """Its days in a year.

        Raises:
            ValueError: There is no such day.
        """
        if self.days is not None:
            return self.days
        if self.nth is not None:
            return one_day(nth_weekday(year, self.month, *self.nth))
        if self.first is None or self.last is None:
            return month_of(year, self.month)
        return date(year, self.month, self.first), date(year, self.month, self.last) + DAY

    def latest(self, today: date) -> Days | None:
        """Its days in the latest year in which they have begun, or are over if they must be."""
        # There is a 29 February at least every eight years.
        for year in range(today.year, max(0, today.year - 9), -1):
            try:
                days = self.in_year(year)
            except (ValueError, OverflowError):
                continue
            if (days[1] <= today) if self.past else (days[0] <= today):
                return days
        return None


def one_day(day: date) -> Days:
    """A single day."""
    return day, day + DAY


def week_of(day: date) -> Days:
    """The week of a day, from Monday."""
    monday = day - day.weekday() * DAY
    return monday, monday + 7 * DAY


def month_of(year: int, month: int) -> Days:
    """A month of a year."""
    first = date(year, month, 1)
    return first, first + monthrange(year, month)[1] * DAY


def nth_weekday(year: int, month: int, number: int, weekday: int) -> date:
    """The first, second, ... or, with -1, the last Monday or other weekday of a month.

    Raises:
        ValueError: The month has no fifth one.
    """
    first, after = month_of(year, month)
    day = first + ((weekday - first.weekday()) % 7 + 7 * (number - 1)) * DAY
    if number < 0:
        last = after - DAY
        day = last - (last.weekday() - weekday) % 7 * DAY
    if day >= after:
        raise ValueError(f"the month has no weekday number {number}")
    return day


def years(first: int, last: int) -> Days:
    """From one year to another, inclusive."""
    return date(first, 1, 1), date(last + 1, 1, 1)


def calendar_unit(unit: str, day: date) -> Days:
    """The day, week, month or year that contains a day."""
    if unit == "day":
        return one_day(day)
    if unit == "week":
        return week_of(day)
    return month_of(day.year, day.month) if unit == "month" else years(day.year, day.year)


def shifted(day: date, unit: str, count: float) -> date:
    """The day so many units later; the last of its month where that is shorter.

    Raises:
        ValueError: It is outside the years 1 to 9999, or half a day or the like.
    """
    if unit in ("day", "week"):
        return day + DAY * _whole(count * (7 if unit == "week" else 1))
    months = 12 * day.year + day.month - 1 + _whole(count * (12 if unit == "year" else 1))
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def _whole(count: float) -> int:
    if count != int(count):
        raise ValueError(f"{count} is not a whole number of days or months")
    return int(count)


def hull(spans: list[Days]) -> Days:
    """The smallest span that contains all of these."""
    return min(days[0] for days in spans), max(days[1] for days in spans)
