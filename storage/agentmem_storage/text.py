"""The one check of which strings can be stored: all that UTF-8 can encode."""

from __future__ import annotations


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
