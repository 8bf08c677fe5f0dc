"""Tells whether a year may be about something else than a month: "the folder of 2019 from May"."""

from __future__ import annotations

from collections.abc import Sequence

from agentmem.retrieval.dates.phrases import Found
from agentmem.retrieval.dates.side import JOINS
from agentmem.retrieval.dates.text import Text

# "in 2019"
_WHEN = frozenset({"in", "during", "throughout"})


def has_year_apart(text: Text, found: Sequence[Found]) -> bool:
    """Whether a year that may be about something else stands apart from a month without one.

    "The folder of 2019 that I made in May" was not made in 2019. But "in 2019, what did we do in
    May" and "in May, I think in 2019" are of one time.
    """
    places = {at for one in found for at in range(one.start, one.end)}
    for year in found:
        if year.phrase is None or not year.phrase.whole_years:
            continue
        for other in found:
            if other.phrase is None or not other.phrase.yearless:
                continue
            gap = range(min(year.end, other.end), max(year.start, other.start))
            apart = [k for k in gap if text.at(k).text not in JOINS and k not in places]
            # "the 4th of July party in 2022"
            beside = len(gap) == 1 and text.at(year.start).text in _WHEN
            if apart and not beside and not _is_adverbial(text, year):
                return True
    return False


def _is_adverbial(text: Text, year: Found) -> bool:
    """Whether a year says when, and not of what: "in 2019, ...", "... last year"."""
    first, last = text.at(year.start), text.at(year.end - 1)
    if last.kind != "number":
        return not last.possessive and text.at(year.start - 1).text not in ("of", "from", "about")
    return first.text in _WHEN and year.start <= 1 and text.ends_clause(year.end)
