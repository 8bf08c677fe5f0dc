"""Moments as integers: microseconds since 1970 in UTC, which sort and compare exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agentmem_storage.errors import InputError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = timedelta(microseconds=1)


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
