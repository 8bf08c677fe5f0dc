"""Times: parsed from user input, and converted to the integers that rows store.

Rows store microseconds since 1970 in UTC, which sort and compare exactly.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from numbers import Real

from agentmem_storage.errors import InputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)


def read_timestamp(value: object) -> datetime:
    """Read a datetime or an ISO 8601 string, both UTC if without zone, or seconds since 1970.

    Returns:
        The time in its own zone.

    Raises:
        TypeError: It is none of these.
        ValueError: The string is not a time, or the number is NaN.
        OverflowError: It is outside the years 1 to 9999.
    """
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str):
        moment = datetime.fromisoformat(value)
    elif isinstance(value, Real) and not isinstance(value, bool):
        moment = _EPOCH + timedelta(seconds=float(value))
    else:
        raise TypeError(f"{value!r} is not a time")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_micros(moment: datetime, name: str) -> int:
    """Convert a time to microseconds since 1970.

    Raises:
        InputError: The time has no zone, so that it is ambiguous.
    """
    if moment.utcoffset() is None:
        raise InputError(f"{name} needs a time zone, got {moment.isoformat()!r}")
    return (moment - _EPOCH) // _STEP


def from_micros(micros: int) -> datetime:
    """The time in UTC."""
    return _EPOCH + micros * _STEP


def now_micros() -> int:
    """The current time."""
    return (datetime.now(UTC) - _EPOCH) // _STEP
