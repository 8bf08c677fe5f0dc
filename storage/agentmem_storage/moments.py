"""Moments as they are given, and as integers that sort and compare exactly.

A row holds microseconds since 1970 in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from numbers import Real

from agentmem_storage.errors import InputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)


def read_moment(value: object) -> datetime:
    """Read a datetime or an ISO 8601 string, both UTC if without zone, or seconds since 1970.

    Returns:
        The moment in its own zone.

    Raises:
        TypeError: It is none of these.
        ValueError: The string is no moment, or the number is NaN.
        OverflowError: It lies outside the years 1 to 9999.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value)
    elif isinstance(value, Real) and not isinstance(value, bool):
        moment = _EPOCH + timedelta(seconds=float(value))
    else:
        raise TypeError(f"{value!r} is no moment")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_micros(moment: datetime, name: str) -> int:
    """Turn a moment into microseconds since 1970.

    Raises:
        InputError: If the moment has no time zone, so that it names no point in time.
    """
    if moment.utcoffset() is None:
        raise InputError(f"{name} needs a time zone, got {moment.isoformat()!r}")
    return (moment - _EPOCH) // _STEP


def from_micros(micros: int) -> datetime:
    """The moment in UTC."""
    return _EPOCH + micros * _STEP


def now_micros() -> int:
    """The present moment."""
    return (datetime.now(UTC) - _EPOCH) // _STEP
