"""Tells whether a year may be about something else than a month: "the folder of 2019 from May"."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

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
    covered = {at for one in found for at in range(one.start, one.end)}
    # How many words that join nothing stand before each position.
    words = [0, *accumulate(_is_word(text, k, covered) for k in range(len(text.tokens)))]
    months = [one for one in found if one.phrase is not None and one.phrase.yearless]
    for year in found:
        if year.phrase is None or not year.phrase.whole_years or _is_adverbial(text, year):
            continue
        for month in months:
            first, last = sorted([year, month], key=lambda one: one.start)
            # "the 4th of July party in 2022"
            beside = last.start - first.end == 1 and text.at(year.start).text in _WHEN
            if words[last.start] > words[first.end] and not beside:
                return True
    return False


def _is_word(text: Text, k: int, covered: set[int]) -> bool:
    return k not in covered and text.at(k).text not in JOINS


def _is_adverbial(text: Text, year: Found) -> bool:
    """Whether a year says when, and not of what: "in 2019, ...", "... last year"."""
    first, last = text.at(year.start), text.at(year.end - 1)
    if last.kind != "number":
        return not last.possessive and text.at(year.start - 1).text not in ("of", "from", "about")
    return first.text in _WHEN and year.start <= 1 and text.ends_clause(year.end)
