"""Tells whether a number counts what stands behind it: "Jan 3 times", "2000 meters"."""

from __future__ import annotations

from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.vocabulary import FUNCTION_WORDS, PREPOSITIONS

# What is counted, where a plural does not show it.
COUNTED = frozenset(
    "people persons men women children feet km m cm mm kg g mg lb lbs oz ml rpm mph kmh percent "
    "euro usd eur gbp dollar hz mhz mb gb kb ft yd different or more".split()
)
# Words in "s" that are no plurals.
NO_PLURALS = frozenset(
    "was is does has as us this his its yes always sometimes perhaps besides towards overseas "
    "afterwards across versus vs plus thus less unless already whereas regards".split()
)
_COUNTED_WITH_NAMES = (COUNTED - {"or"}) | frozenset(
    "time pound pounds quid bucks buck cent pence kids mice teeth fish sheep geese wives lives "
    "fewer extra hundred thousand million dozen %".split()
)
# How far behind the number the noun may stand: "2 very hard questions".
_REACH = 3


def counts(text: Text, i: int) -> bool:
    """Whether a number before this position counts what stands here: "20 people"."""
    after = text.at(i)
    return after.kind == "word" and after.text not in FUNCTION_WORDS | PREPOSITIONS


def is_amount(text: Text, i: int) -> bool:
    """Whether a number before this position counts a plural: "3 times", "2 hard questions".

    "3 of us" is an amount as well; behind a month, no date goes on so without naming a year.
    """
    if text.at(i).text in ("of", "%"):
        return True
    for k in range(i, i + _REACH):
        token = text.at(k)
        if token.text in _COUNTED_WITH_NAMES:
            return True
        if not counts(text, k) or not token.written[0].islower() or token.text in NO_PLURALS:
            return False
        if token.possessive:
            return False  # "the May 3 party's guests"
        if token.text.endswith("s") and not token.text.endswith("ss"):
            return True
    return False
