"""When what is added expires: given as a time, or as how long it lives from now on."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from numbers import Real
from typing import TYPE_CHECKING

from agentmem.ingest.checks import check_time
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

if TYPE_CHECKING:
    from agentmem.ingest.normalize import Normalized


def expiry_time(expires_at: object, ttl: object, now: datetime) -> datetime | None:
    """When something expires, in UTC; None for never.

    Args:
        expires_at: The time; None if it is not given.
        ttl: How long it lives: seconds, or a timedelta; None if it is not given.
        now: The current time.

    Raises:
        TypeError: ``ttl`` is neither a number nor a timedelta.
        InputError: Both are given; the time is no time, or past; or the ttl is not above 0.
    """
    if ttl is None:
        moment = check_time(expires_at, "expires_at")
        if moment is not None and moment <= now:
            raise InputError(
                f"expires_at={shown(expires_at)} is past: to remove something now, forget it"
            )
        return moment
    if expires_at is not None:
        raise InputError("give expires_at= or ttl=, not both")
    if not isinstance(ttl, timedelta):
        if isinstance(ttl, bool) or not isinstance(ttl, Real):
            raise TypeError(
                f"ttl must be seconds or a timedelta, such as timedelta(days=7), not {shown(ttl)}"
            )
    try:
        if not isinstance(ttl, timedelta) and not math.isfinite(ttl):
            raise InputError(f"ttl={ttl!r} is not finite: leave it out for what never expires")
        life = ttl if isinstance(ttl, timedelta) else timedelta(seconds=float(ttl))
        moment = (now + life).astimezone(UTC)
    except OverflowError:
        raise InputError(
            f"ttl={shown(ttl)} ends after the year 9999: leave it out for what never expires"
        ) from None
    if moment <= now:
        raise InputError(f"ttl={shown(ttl)} must be above 0")
    return moment


def without_expired(normalized: Normalized, now: datetime) -> Normalized:
    """What is left of content whose messages say when they expire; the others are counted.

    A transcript may be added again with messages whose time has come.
    """
    pairs = zip(normalized.parts, normalized.indices, strict=True)
    left = [(part, at) for part, at in pairs if part.expires_at is None or part.expires_at > now]
    if not (gone := len(normalized.parts) - len(left)):
        return normalized
    skipped = Counter(normalized.skipped)
    skipped["expired"] += gone
    return replace(
        normalized,
        parts=tuple(part for part, _ in left),
        skipped=dict(skipped),
        indices=tuple(at for _, at in left),
    )
