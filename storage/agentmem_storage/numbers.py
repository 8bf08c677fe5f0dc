"""Numbers from callers: integers of any kind are accepted, truth values are not."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# More than any store has; sums of two of them are numbers that databases and slices can count to.
MOST_ROWS = 2**62
# SQLite counts milliseconds in 32 bits.
MAX_TIMEOUT_S = 2_000_000.0


def as_int(value: Any, name: str) -> int:
    """An integer as an int; NumPy's are integers too.

    Raises:
        TypeError: It is something else, such as a bool.
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {shown(value)}") from None


def as_count(value: Any, name: str) -> int:
    """How many of something are wanted at most; more than `MOST_ROWS` are as many.

    Raises:
        TypeError: It is not an integer.
        InputError: It is negative.
    """
    count = as_int(value, name)
    if count < 0:
        raise InputError(f"{name} must be 0 or more, got {shown(count)}")
    return min(count, MOST_ROWS)


def plain_scalar(value: Any) -> Any:
    """NumPy's numbers and truth values as Python's; anything else as it is."""
    return value.item() if isinstance(value, np.number | np.bool_) else value


def as_timeout(value: Any) -> float:
    """A time to wait, in seconds.

    Raises:
        TypeError: It is not a number.
        InputError: It is negative, not a number, or longer than `MAX_TIMEOUT_S`.
    """
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise TypeError(f"timeout_s must be a number of seconds, not {shown(value)}")
    try:
        seconds = float(value)
    except OverflowError:  # an integer of hundreds of digits
        seconds = math.inf
    if math.isnan(seconds) or not 0 <= seconds <= MAX_TIMEOUT_S:
        raise InputError(f"timeout_s={shown(value)} must be from 0 to {MAX_TIMEOUT_S:,.0f} seconds")
    return seconds
