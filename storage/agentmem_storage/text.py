"""The one check of which strings can be stored: all that UTF-8 can encode."""

from __future__ import annotations

import reprlib


def lone_surrogate(text: str) -> int | None:
    """Index of the first lone surrogate of a string, which UTF-8 cannot encode; None without one.

    Python strings may contain half of a surrogate pair, typically where bytes were decoded with
    ``errors="surrogateescape"`` or a JSON escape was cut in two.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return error.start
    return None


def shown(value: object) -> str:
    """A short representation of any value, however large or nested, for error messages."""
    try:
        return reprlib.repr(value)
    except ValueError:
        return "a number of thousands of digits"
