"""Reads days of a month that is not named: "on the 1st and the 3rd", "Thursday the 12th".

They are the latest such days that are not in the future. What an ordinal counts is none: "on the
3rd floor", "based on the 2nd". "The third" may be of anything: it is a day at the end of a clause
in the past tense ("what did I do on the third?").
"""

from __future__ import annotations

from datetime import date

from agentmem.retrieval.dates.calendar import DAY, Days, Time, month_of, shifted
from agentmem.retrieval.dates.months import day_list
from agentmem.retrieval.dates.text import Read, Text
from agentmem.retrieval.dates.vocabulary import FUNCTION_WORDS, PARTS_OF_DAY, PREPOSITIONS

# The first three of anything are counted as often as days are.
_COUNTED_TO = 3
# "depends on the 3rd", "lives on the 4th": no day.
_GOVERNING = frozenset(
    "depend depends depended depending based focus focused focusing bet rely relied sit sits sat "
    "stand stood live lives lived living insist insisted elaborate click clicked".split()
)
# Nor is "put on the third", nor "was it on the third", of a word.
_PLACING = _GOVERNING | frozenset(
    "put placed spend spent work worked land landed knock knocked agree agreed decide decided vote "
    "voted comment commented is are was were been be".split()
)
# Behind these, what an ordinal counts may follow: "on the 3rd and final day", "the 3rd in a row".
_GOES_ON = frozenset({"of", "and", "or", "in", "than", "that", "which", "also"})
# Every month has its 28th.
_MAX_MONTHS_BACK = 4


def unnamed_days(text: Text, i: int, *, led: bool, asks_back: bool = False) -> Read | None:
    """Read "(the) 3rd", "(the) 1st and the 3rd", "(the) 3rd of this month".

    Args:
        text: The query.
        i: The position of the first ordinal.
        led: Whether what stands before it makes it a day: "on", "since", a weekday.
        asks_back: Whether the query is in the past tense.
    """
    found = _ordinals(text, i)
    if found is None:
        return None
    first, last, j = found
    unit = "day" if first == last else "span"
    k = j + text.says(j, "of")
    if text.says(k, "this", "month"):
        month = text.today.replace(day=1)
        return Time(unit, (month.replace(day=first), month.replace(day=last) + DAY)), k + 2
    word = not text.at(i).text[0].isdigit()
    if not led or (word and text.at(i).written[0].isupper()):
        return None
    if word and last <= _COUNTED_TO and not (asks_back and _is_day(text, i, j)):
        return None
    if text.at(i - 3).text in _GOVERNING or not _ends(text, j):
        return None
    days = _latest(first, last, text.today)
    return None if days is None else (Time(unit, days, first=first, last=last, unnamed=True), j)


def _is_day(text: Text, i: int, j: int) -> bool:
    """Whether "on the third" says when something was done, and not on which of several."""
    before, earlier = text.at(i - 3).text, text.at(i - 4).text
    placed = before in _PLACING or (before in ("it", "that") and earlier in _PLACING)
    return text.says(i - 2, "on", "the") and text.ends_clause(j) and not placed


def is_led(text: Text, i: int, prefix: str, *, bound: bool) -> bool:
    """Whether an ordinal is a day because of what stands before it.

    Args:
        text: The query.
        i: The position of the ordinal.
        prefix: The preposition before it; "" if there is none.
        bound: Whether it follows "since" or the like.
    """
    if not text.says(i - 1, "the"):
        return False
    part = text.says(i - 2, "of") and text.at(i - 3).text in PARTS_OF_DAY
    return bound or part or (prefix == "on" and text.says(i - 2, "on"))


def _ordinals(text: Text, i: int) -> tuple[int, int, int] | None:
    """Ordinals in their order: the first, the last, and the position behind them."""
    days = day_list(text, i)
    if days is None:
        return None
    *_, j = days
    named = [text.at(k) for k in range(i, j) if text.at(k).value]
    numbers = [token.value for token in named]
    if any(token.kind != "ordinal" for token in named) or numbers != sorted(set(numbers)):
        return None
    return numbers[0], numbers[-1], j


def _ends(text: Text, j: int) -> bool:
    """Whether no noun that an ordinal counts stands at a position."""
    after = text.at(j)
    if text.ends_clause(j) or after.kind == "mark" or after.text in PARTS_OF_DAY:
        return True
    if after.text == "in":
        place = text.at(j + 1)
        return place.written[:1].isupper() or text.at(j + 2).text in PARTS_OF_DAY
    return after.text not in _GOES_ON and after.text in FUNCTION_WORDS | PREPOSITIONS


def _latest(first: int, last: int, today: date) -> Days | None:
    """The latest month that has these days, if none of them is in the future."""
    for back in range(_MAX_MONTHS_BACK):
        month = shifted(today.replace(day=1), "month", -back)
        length = (month_of(month.year, month.month)[1] - month).days
        if last <= length and month + (last - 1) * DAY <= today:
            return month + (first - 1) * DAY, month + last * DAY
    return None
