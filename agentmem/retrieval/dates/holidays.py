"""Reads holidays that have the same date everywhere: "last Christmas", "New Year's Eve 2022".

Easter, Thanksgiving and others have different dates in different places: they are not read.
"""

from __future__ import annotations

from agentmem.retrieval.dates.calendar import Time
from agentmem.retrieval.dates.months import with_year
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.tokens import END

# The words, and the month, the first and the last day. Possessives are without their "'s".
_HOLIDAYS = {
    ("christmas", "eve"): (12, 24, 24),
    ("christmas", "day"): (12, 25, 25),
    ("boxing", "day"): (12, 26, 26),
    ("christmas",): (12, 24, 26),
    ("new", "year", "eve"): (12, 31, 31),
    ("new", "year", "day"): (1, 1, 1),
    ("halloween",): (10, 31, 31),
    ("valentine", "day"): (2, 14, 14),
}
STARTS = frozenset(words[0] for words in _HOLIDAYS)
_AT = frozenset({"at", "on", "since", "after", "before", "until", "by"})


def holiday(text: Text, i: int, *, bound: bool, past: bool = False) -> Read | None:
    """A holiday; without a year, only behind a word such as "last" or "at".

    Args:
        text: The query.
        i: A position.
        bound: Whether it follows "since" or the like.
        past: Whether it follows "last".
    """
    for words, (month, first, last) in _HOLIDAYS.items():
        if not text.says(i, *words):
            continue
        j = i + len(words)
        unit = "day" if first == last else "span"
        time, end = with_year(text, Time(unit, None, month, first, last, past, part="feast"), j)
        if time.days is None and not (past or bound or text.at(i - 1).text in _AT):
            return None
        # "at Christmas dinner", "Christmas Market 2022"
        if time.days is None and text.at(j) is not END and text.at(j).kind == "word":
            return None if not past and len(words) == 1 else (time, end)
        return time, end
    return None
