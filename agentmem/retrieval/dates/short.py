"""Reads dates in digits with a year of two: "14.05.26", "5/14/26".

"5/3/22" may be of May or of March: none. Some write the year first: where that gives a day that is
nearer to today, as of "22.05.03", it is none either. "3.5.22" alone is as often a version; "on
3.5.22" is a day, unless something runs on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date

from agentmem.retrieval.dates.calendar import Time, one_day
from agentmem.retrieval.dates.text import Text
from agentmem_storage.patterns import pattern

_POINTS = pattern(r"(\d\d)\.(\d\d)\.(\d\d)")
_LOOSE_POINTS = pattern(r"\d\d?\.\d\d?\.\d\d")
_SLASHES = pattern(r"(\d\d?)/(\d\d?)/(\d\d)")
# "version 14.05.26", "at 14.05.26": a time of day.
_OTHER = frozenset(
    "at version versions release releases build update patch firmware driver drivers model section "
    "chapter paragraph clause part item v v. no number".split()
)
# "Are we on 3.5.22?"
_RUNNING = frozenset(
    "is are am was were be been being run runs running ran build builds building built base based "
    "depend depends depended still stuck stay stays stayed test tests tested testing install "
    "installed work works worked working it that we i they you".split()
)
# Years up to now and so many more are of this century.
_AHEAD = 10


def is_short(text: Text, i: int) -> bool:
    """Whether a token is written like such a date, and not a version behind a name."""
    form, before = text.at(i).text, text.at(i - 1)
    if _LOOSE_POINTS.fullmatch(form) and before.text == "on":
        return text.at(i - 2).text not in _RUNNING
    if _POINTS.fullmatch(form) is None and _SLASHES.fullmatch(form) is None:
        return False
    name = i > 1 and before.kind == "word" and before.written[0].isupper()
    return before.text not in _OTHER and not name


def short_date(form: str, today: date) -> Time | None:
    """The day that it most likely is; None if that is not clear."""
    a, b, c = map(int, re.split(r"[./]", form))
    last = set(_existing([(c, b, a), (c, a, b)] if "/" in form else [(c, b, a)], today))
    if len(last) != 1:
        return None
    day = last.pop()
    others = [other for other in _existing([(a, b, c)], today) if other != day]
    if any(abs(other - today) <= abs(day - today) for other in others):
        return None
    return Time("day", one_day(day))


def _existing(written: Sequence[tuple[int, int, int]], today: date) -> Iterator[date]:
    """The days of years of two digits, of months and of days, if there are such."""
    for short, month, day in written:
        century = 2000 if short <= today.year % 100 + _AHEAD else 1900
        try:
            yield date(century + short, month, day)
        except ValueError:
            continue
