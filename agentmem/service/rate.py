"""How often each token may ask."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic


class Rate:
    """Token buckets, one for each name: ``rate`` requests per second, twice that at once.

    For one thread.
    """

    def __init__(self, rate: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._most = max(1.0, 2 * rate)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, name: str) -> int:
        """Take one request out of a bucket.

        Returns:
            0 if there was one; otherwise in how many seconds, 1 or more, there will be one.
        """
        now = self._clock()
        left, then = self._buckets.get(name, (self._most, now))
        left = min(self._most, left + (now - then) * self._rate)
        if left < 1:
            self._buckets[name] = left, now
            return math.ceil((1 - left) / self._rate)
        self._buckets[name] = left - 1, now
        return 0
