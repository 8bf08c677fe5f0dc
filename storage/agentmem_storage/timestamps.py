"""Times: parsed from user input, and converted to the integers that rows store.

Rows store microseconds since 1970 in UTC, which sort and compare exactly.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta
from numbers import Real

import numpy as np

from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)
DAY_MICROS = 86_400 * 10**6
# A string of digits is never read as an ISO date without separators: "1770975600" would be a day
# in the year 1770, or none.
_DIGITS = re.compile(r"[+-]?[0-9]+(?:[.][0-9]+)?")
# As pandas, Go, and exports of networks, write it; RFC 3339 permits the small letter.
_NAMED_UTC = re.compile(r"(?<=[0-9])(?:(?: ?[+]00:?00)? ?(?:UTC|GMT)|z)\Z")
# Whole digits of the present time, since 1973 and until 2286, in units of a second.
_UNITS = {9: 1, 10: 1, 12: 10**3, 13: 10**3, 15: 10**6, 16: 10**6, 18: 10**9, 19: 10**9}
_MAX_SECONDS = 10**11
# Units of NumPy that are finer than a microsecond, which is the finest that is stored.
_FINER = ("ns", "ps", "fs", "as")
# A year, perhaps with month and day, and with the time, as one number, such as 20260213.
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[0-9]{6})?)?"
)


def read_timestamp(value: object) -> datetime:
    """Read a datetime, a date or an ISO 8601 string, UTC if without zone, or a time since 1970.

    A date is its beginning, like the string "2026-05-03"; NumPy's times are read like Python's.

    Numbers are seconds; from 100,000,000,000 on they are milliseconds, microseconds or nanoseconds,
    whichever gives a year before 5139; there is none beyond. Strings of digits are read as such
    numbers, but only with as many digits as the present time has: "2026" and "20260213" are
    ambiguous, and so are numbers that are written like a date.

    Returns:
        The time in its own zone.

    Raises:
        TypeError: It is none of these.
        ValueError: The string is not a time, or the number is NaN or may be a date.
        OverflowError: It is outside the years 1 to 9999, or beyond what nanoseconds can give.
    """
    if isinstance(value, np.datetime64):
        value = _plain(value)
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime.combine(value, time())
    elif isinstance(value, str):
        text = value.strip()
        if _DIGITS.fullmatch(text):
            moment = _from_digits(text)
        else:
            moment = datetime.fromisoformat(_NAMED_UTC.sub("+00:00", text))
    elif isinstance(value, Real) and not isinstance(value, bool):
        moment = _from_number(float(value))
    else:
        raise TypeError(f"{shown(value)} is not a time")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(value: np.datetime64) -> datetime:
    if np.isnat(value):
        raise ValueError("not a time")
    plain = value.astype("datetime64[us]")
    if plain.astype(value.dtype) != value and np.datetime_data(value.dtype)[0] not in _FINER:
        raise OverflowError("outside the years 1 to 9999")
    moment = plain.item()
    if not isinstance(moment, datetime):  # a number of microseconds, too large for a datetime
        raise OverflowError("outside the years 1 to 9999")
    return moment


def _from_digits(text: str) -> datetime:
    whole, _, fraction = text.lstrip("+-").partition(".")
    unit = _UNITS.get(len(whole))
    if unit is None or (fraction and unit > 1):
        raise ValueError(f"{text!r} may be a number or a date")
    sign = -1 if text.startswith("-") else 1
    micros = int(whole) * 10**6 // unit + int(fraction[:6].ljust(6, "0"))
    return _EPOCH + sign * micros * _STEP


def _from_number(value: float) -> datetime:
    if value.is_integer() and _DATE.fullmatch(str(int(value))):
        raise ValueError(f"{value:.0f} may be a number or a date")
    unit = 1
    while _MAX_SECONDS <= abs(value) / unit < float("inf") and unit < 10**9:
        unit *= 1000
    if not abs(value) / unit < _MAX_SECONDS and not math.isnan(value):
        raise OverflowError("beyond the largest number of nanoseconds")
    return _EPOCH + timedelta(seconds=value / unit)


def to_micros(moment: datetime, name: str) -> int:
    """Convert a time to microseconds since 1970.

    Raises:
        InputError: The time has no zone, so that it is ambiguous.
    """
    if moment.utcoffset() is None:
        raise InputError(f"{name} needs a time zone, got {moment.isoformat()!r}")
    return (moment - _EPOCH) // _STEP


def from_micros(micros: int) -> datetime:
    """The time in UTC.

    Raises:
        ValueError: It is no number, as in a damaged row, or outside the years 1 to 9999.
    """
    if not isinstance(micros, int):
        raise ValueError(f"{micros!r:.200} is not a time")
    try:
        return _EPOCH + micros * _STEP
    except OverflowError as error:
        raise ValueError(f"{micros!r:.200} is outside the years 1 to 9999") from error


def said_on(moment: datetime) -> date:
    """The day of a time, in its zone; a time that is only a date is that date in every zone.

    A date is stored as its beginning in UTC, so a time at midnight in UTC is taken for one.
    """
    micros = (moment - _EPOCH) // _STEP
    if micros % DAY_MICROS:
        return moment.date()
    return (_EPOCH + micros * _STEP).date()


def utc_now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def now_micros() -> int:
    """The current time."""
    return to_micros(utc_now(), "the current time")
