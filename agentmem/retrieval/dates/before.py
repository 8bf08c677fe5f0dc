"""What stands before a phrase."""

from __future__ import annotations

from agentmem.retrieval.dates import foreign
from agentmem.retrieval.dates.side import JOINS, ORDERS, RANGES, Side, is_foreign, is_quarter
from agentmem.retrieval.dates.vocabulary import (
    COUNTS,
    FEASTS,
    FUNCTION_WORDS,
    LISTED,
    MONTHS,
    NUMBER_WORDS,
    PARTS_OF_DAY,
    PREPOSITIONS,
    RANGED,
    UNITS,
    WEEKDAYS,
)

_NEGATED = frozenset(
    "not no nor neither never without except excluding outside unlike than but besides hardly "
    "least most only barely versus vs including".split()
)
_BY_CLOCK = frozenset({"at", "am", "pm", "o'clock", "oclock", "a.m", "p.m", "noon"})
_CLOCK_WORDS = frozenset({"noon", "midnight", "midday"})
# "which day last week", "every day in May", "how many days before": no amount of time.
_ASKING = frozenset(
    "which what every each many much any some same one per all most whole entire best worst first "
    "good bad busy long rainy sunny".split()
)
_COUNTING = frozenset("how which what every each many much per long".split())
_WITHIN = frozenset("within less more about around roughly nearly almost least most some".split())
_APPROXIMATE = frozenset("about around roughly approximately nearly almost under over some".split())
_VAGUE = frozenset({"around", "roughly", "approximately", "circa", "nearly", "almost"})
_THROUGH = frozenset({"ago", "compared", "through", "thru"})
_WHOLE = frozenset({"all", "halfway", "midway", "partway", "way"})
# "the eve of 3 May"
_RELATED = frozenset(
    "anniversary eve aftermath wake run-up runup lead-up leadup ahead advance shy short".split()
)
# "the week ending 5 May", "the day preceding 3 May"
_BOUNDING = frozenset(
    "starting beginning commencing ending preceding following succeeding effective latest "
    "earliest instead rather other".split()
)
# "different from last week", "three weeks out from 3 May"
_NOT_FROM = frozenset({"apart", "aside", "different", "away", "out"})
_SPECIAL_YEARS = frozenset("fiscal financial school academic tax model season light".split())
_COMPARED = frozenset(
    "compared up leading relative back down run-up runup lead-up leadup build-up buildup countdown "
    "road way close closer next path approach".split()
)
_VERSIONS = frozenset({"version", "build", "model", "revision"})
_ONE = frozenset({"a", "one", "some", "which", "what"})
# How far before "and" the "between" may stand that it belongs to.
_REACH = 6
# How far before a phrase "since" may stand that it belongs to: "since I first met her in May".
_MAX_CLAUSE = 12
_CLAUSES = {
    "since": "since",
    "after": "since",
    "before": "until",
    "until": "until",
    "till": "until",
}
_ENDS = frozenset(".?!;:,")


class Before(Side):
    """What stands before a phrase."""

    step = -1

    def clause(self) -> str:
        """How a clause that ends with the phrase limits the time: "since we met in May"."""
        for k in range(self.found.start - 1, max(-1, self.found.start - 1 - _MAX_CLAUSE), -1):
            token, after = self.at(k), self.at(k + 1)
            if k in self.covered or token.text in _ENDS:
                return ""
            if token.text in _CLAUSES:
                by_clock = after.kind == "number" or after.text in _CLOCK_WORDS
                return "" if by_clock else _CLAUSES[token.text]
        return ""

    def adjacent(self, k: int) -> bool:
        """Whether the token right before the phrase belongs to it, whatever precedes that."""
        token, before = self.at(k), self.at(k - 1)
        word = token.text
        if word in foreign.SHORT and self.first.kind == "form":
            return True
        if is_foreign(token) or word in _THROUGH:
            return before.text not in _WHOLE
        if word == "from":
            # "the mail from last Friday" is of that day; "from last Friday" begins with it.
            noun = before.kind == "word" and before.text not in FUNCTION_WORDS
            return not noun or before.text in _NOT_FROM
        if word in ("with", "to"):
            return before.text in _COMPARED
        if word in ("-", "\u2013", "/"):
            return not self.first.spaced
        return self._is_vague(k) or self._is_bound(k) or word.endswith("n't")

    def _is_vague(self, k: int) -> bool:
        """Whether it makes the phrase approximate: "roughly 3 May", "half last week"."""
        word, before, first = self.at(k).text, self.at(k - 1).text, self.first.text
        counts = first in COUNTS or first == "couple"
        if word in ("half", "few", "several", "quarter"):
            return first in UNITS or first in COUNTS
        if word in _APPROXIMATE and counts:
            return not self.text.says(k - 1, "how", "about")
        if word in _VAGUE and (first not in PREPOSITIONS or word != "around"):
            return not self.phrase.around
        return word == "about" and before in PREPOSITIONS | RANGES | ORDERS

    def _is_bound(self, k: int) -> bool:
        """Whether the phrase only limits another time: "the week ending 5 May"."""
        word, first = self.at(k).text, self.first.text
        return (
            word in _BOUNDING
            or (word == "ended" and first not in PREPOSITIONS)
            or (word == "as" and first != "of")
            or (word in _RELATED and first in ("of", "to"))
            or (word in _SPECIAL_YEARS and first in ("year", "years"))
            or (word in NUMBER_WORDS and bool(self.phrase.lead))  # "a day or two before 3 May"
            or (word in _VERSIONS and self.first.kind == "form")
            or (word == "c" and self.at(k - 1).text == "/")  # "w/c 1 May": the week from then on
            or self._is_numbered(k)
        )

    def _is_numbered(self, k: int) -> bool:
        """Whether the phrase begins with the number of something: "week 1 of May"."""
        token = self.at(k)
        counted = self.first.kind == "number" and self.at(self.found.start + 1).text == "of"
        return counted and token.kind == "word" and token.text not in JOINS | FUNCTION_WORDS

    def dangling(self, gap: list[str]) -> bool:
        """Whether they change the meaning: "in or after May", "between the wedding and May"."""
        if not _NEGATED.isdisjoint(gap):
            return True
        if gap and gap[0] != "," and gap[0] in LISTED | RANGED:
            # "between the wedding and May 2023"
            start = self.found.start - 1
            if {self.at(n).text for n in range(start - _REACH, start)} & {"between", "from"}:
                return True
        if not {"and", "or", "&"}.isdisjoint(gap):
            if not ORDERS.isdisjoint(gap):
                return True
            if self.phrase.lead and not PREPOSITIONS.isdisjoint(gap):
                return True  # "in or after May"
        return gap[:1] == ["between"] or (gap[:1] == ["by"] and not self.phrase.lead)

    def is_time(self, k: int, gap: list[str]) -> bool:
        """Whether an unread token is one of a time that belongs to the phrase."""
        token, word, before = self.at(k), self.at(k).text, self.at(k - 1).text
        if word in _NEGATED - JOINS:
            return before == "at" if word in ("most", "least") else word != "no" or not gap
        spread = not (LISTED | RANGES).isdisjoint(gap)
        ordered = self.phrase.lead in ("before", "after", "until") or not ORDERS.isdisjoint(gap)
        joined = spread or ordered
        if self.is_named(k, joined):
            return self._is_other(k, gap, joined)
        if word in ("yesterday", "today", "tomorrow", "ago") or word in foreign.RELATIONS:
            return True
        if word in ("later", "earlier"):
            return self.is_unit(k - 1)
        if token.kind == "ordinal":
            return token.text[0].isdigit() or before == "the" or joined
        if token.kind == "number":
            return self._is_part(k, gap, joined)
        if word in NUMBER_WORDS or word == "one":
            # "two, three years ago"
            counted = self.first.kind == "number" or self.first.text in COUNTS
            listed = not LISTED.isdisjoint(gap)
            return (listed and counted) or (not gap and self._is_counted())
        named = word in FEASTS or self.is_season(k) or is_quarter(token)
        if named or word.removesuffix("s") in PARTS_OF_DAY | WEEKDAYS.keys():
            return spread or (ordered and not gap)
        return self.is_unit(k) and self._is_amount(k, gap, joined)

    def _is_other(self, k: int, gap: list[str], joined: bool) -> bool:
        """Whether a named time is another one, and not within the phrase."""
        word, before = self.at(k).text, self.at(k - 1).text
        inside = not joined and (self.first.text in PREPOSITIONS or "of" in gap)
        if word in foreign.TIMES and inside:
            return False  # "in Rio de Janeiro on 3 May"
        # "a Friday in May", but not "on Friday a week ago"
        return word not in WEEKDAYS or joined or self.days or before not in _ONE

    def _is_amount(self, k: int, gap: list[str], joined: bool) -> bool:
        """Whether a unit before the phrase is an amount of time that is counted from it."""
        before, lead = self.at(k - 1), self.phrase.lead
        listed = not LISTED.isdisjoint(gap)
        counted = before.kind == "number" or before.text in COUNTS or before.text in NUMBER_WORDS
        earlier = {self.at(n).text for n in range(max(0, k - 4), k)}
        if self.phrase.around:
            return self.at(k).text not in ("day", "days")
        if lead:
            if self.first.text == "starting":
                return True
            if before.text in _COUNTING:
                return listed
            return counted or lead != "since" or listed or not RANGES.isdisjoint(gap)
        if not RANGES.isdisjoint(gap) or (listed and before.text not in _COUNTING):
            return True
        if "of" in gap or self.first.text == "of":
            return not earlier.isdisjoint(_WITHIN) or self.days
        if not joined and self.first.text in PREPOSITIONS:
            return not earlier.isdisjoint(_WITHIN) and self.days
        return counted and before.text not in _ASKING

    def _is_part(self, k: int, gap: list[str], joined: bool) -> bool:
        """Whether a number is a year or a day, not a time of day or the number of a page."""
        token = self.at(k)
        if self.at(k - 1).text in _BY_CLOCK or self.at(k + 1).text in _BY_CLOCK:
            return False
        if 1900 <= token.value <= 2099 and len(token.text) == 4:
            return True
        if not gap and self.first.text == "of":
            return True  # "week 53 of 2022"
        if gap or self.first.text in PREPOSITIONS:
            return joined and self.first.text in MONTHS or (bool(gap) and gap[-1] == ".")
        return self._is_counted()

    def _is_counted(self) -> bool:
        """Whether a number before the phrase is of it: "30 February", "two days of 3 May"."""
        return self.first.text in MONTHS or (self.days and self.first.text in UNITS)
