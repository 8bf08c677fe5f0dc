"""Tells whether a query names a time of day in another time zone: "3 May at 23:00 EST"."""

from __future__ import annotations

from agentmem.retrieval.dates.text import Text
from agentmem_storage.patterns import unicode_pattern

_ABBREVIATIONS = frozenset(
    "EST EDT CST CDT MST MDT PST PDT ET CT PT AKST HST CET CEST EET EEST WET WEST BST IST MSK JST "
    "KST SGT AEST AEDT ACST AWST NZST NZDT BRT ART UTC GMT Z".split()
)
_ZERO = frozenset({"UTC", "GMT", "Z"})
_OFFSET = unicode_pattern(r"\d{1,2}(?::?\d\d)?")
_CLOCK = unicode_pattern(r"\d{1,2}(?:[:.]\d\d)*(?:am|pm)?|am|pm|noon|midnight")


def names_zone(text: Text) -> bool:
    """Whether a time of day has a zone other than that of now, whose days may be others."""
    for k in range(1, len(text.tokens)):
        token, after = text.at(k), text.at(k + 1)
        abbreviated = token.written in _ABBREVIATIONS
        if not (abbreviated or token.text in ("+", "-")):
            continue
        clock = text.at(k - 1).text
        if _CLOCK.fullmatch(clock) is None:
            continue
        if abbreviated:
            if token.written not in _ZERO or text.now.utcoffset() or after.text in ("+", "-"):
                return True
        elif ":" in clock and not after.spaced and _OFFSET.fullmatch(after.text) is not None:
            return True
    return False
