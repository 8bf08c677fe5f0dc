"""Refuses phrases beside which something stands that belongs to them and was not read.

A time of which only a part was understood is wrong: "in May" in "in May or at Easter", "before 3 May"
in "the evening before 3 May". So from each end of a phrase, its surroundings are looked at across
the words that join times. Where they lead to the word of a time, or change what the phrase means,
the query names no time that is understood.

What only narrows a phrase does no harm, for its interval then still contains what is meant: "a
Friday in May", "last week at noon", "in May before the wedding".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import regex

from agentmem.retrieval.dates import foreign
from agentmem.retrieval.dates.phrases import Found, NotUnderstood, Phrase
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.tokens import END, Token
from agentmem.retrieval.dates.vocabulary import (
    AMBIGUOUS,
    COUNTS,
    DECADES,
    ELSEWHERE,
    FEASTS,
    FUNCTION_WORDS,
    LAST,
    LEADS,
    LISTED,
    MONTHS,
    NUMBER_WORDS,
    OTHER_UNITS,
    PARTS_OF_DAY,
    PREPOSITIONS,
    RANGED,
    SEASONS,
    UNITS,
    WEEKDAYS,
)

_NEGATED = frozenset(
    "not no nor neither never without except excluding outside unlike than but besides hardly least "
    "most only barely versus vs including".split()
)
_ORDERS = frozenset("before after since until till by prior during following".split())
# Across these, a phrase reaches to what stands behind them.
_JOINS = (
    LISTED
    | RANGED
    | PREPOSITIONS
    | _ORDERS
    | foreign.ARTICLES
    | frozenset("from between the a an both either as ( ) [ ] / ' \u2019 also again".split())
    | frozenset("not nor but except neither including + plus then with against ~ \u2192".split())
    | frozenset("versus vs compared right just immediately shortly soon directly".split())
)
# Between two phrases, these join them to one time that contains both.
_ADDITIVE = LISTED | PREPOSITIONS | frozenset({"the", "both", "also", "again", ";"})
_RANGES = RANGED | frozenset({"from", "between", "/"})
_BY_CLOCK = frozenset({"at", "am", "pm", "o'clock", "oclock", "a.m", "p.m", "noon"})
# "which day last week", "every day in May", "how many days before": no amount of time.
_ASKING = frozenset(
    "which what every each many much any some same one per all most whole entire best worst first "
    "good bad busy long rainy sunny".split()
)
_COUNTING = frozenset("how which what every each many much per long".split())
_WITHIN = frozenset("within less more about around roughly nearly almost least most some".split())
_APPROXIMATE = frozenset("about around roughly approximately nearly almost under over some".split())
_LEADING = frozenset(words[0] for words in LEADS)
# "in May or later", "2022 and onwards"
_OPENING = frozenset(
    "later earlier onward onwards beyond thereafter afterwards before after since so thereabouts ish "
    "previously prior more less fewer maybe perhaps even".split()
)
_VAGUE = frozenset({"around", "roughly", "approximately", "circa", "nearly", "almost"})
_OF_SEASONS = LAST | frozenset("the in this next early mid late and or of".split())
# "the eve of 3 May"
_RELATED = frozenset(
    "anniversary eve aftermath wake run-up runup lead-up leadup ahead advance shy short".split()
)
# "the week ending 5 May", "the day preceding 3 May"
_BOUNDING = frozenset(
    "starting beginning commencing ending ended preceding following succeeding effective latest "
    "earliest".split()
)
_PLACES = frozenset("street avenue road square plaza boulevard lane".split())
_CLOCK_WORDS = frozenset({"noon", "midnight", "midday"})
_SPECIAL_YEARS = frozenset("fiscal financial school academic tax model season light".split())
_LASTING = frozenset({"for", "lasting"})
_MAX_GAP = 5
# How far before "and" the "between" may stand that it belongs to.
_REACH = 6
_MAX_CLAUSE = 12
_CLAUSES = {
    "since": "since",
    "after": "since",
    "before": "until",
    "until": "until",
    "till": "until",
}
_ENDS = frozenset(".?!;:,")


def understood(text: Text, found: Sequence[Found]) -> list[Phrase]:
    """The phrases of a query, if they are all that it says about time.

    "After the party in May" and "since we met in 2020" are open at one end, as what happened in
    them may lie at any time behind or before.

    Raises:
        NotUnderstood: Beside one of them stands what may belong to it.
    """
    places = {at: one for one in found for at in range(one.start, one.end)}
    phrases: list[Phrase] = []
    for one in found:
        if one.phrase is None:
            continue
        behind = _Side(text, one, one.phrase, places)
        before = _Before(text, one, one.phrase, places)
        lead = before.clause()
        if behind.belongs() or before.belongs() or (lead and one.phrase.lead):
            raise NotUnderstood
        phrases.append(replace(one.phrase, lead=lead) if lead else one.phrase)
    return phrases


class _Side:
    """What stands behind a phrase."""

    step = 1

    def __init__(self, text: Text, found: Found, phrase: Phrase, places: dict[int, Found]) -> None:
        self.text, self.found, self.phrase, self.places = text, found, phrase, places
        self.first = text.at(found.start)
        self.at = text.at
        units = {time.unit for time in phrase.times}
        self.rolling = "rolling" in units
        self.days = units <= {"day"}

    def belongs(self) -> bool:
        """Whether something on this side belongs to the phrase."""
        k = self.found.end if self.step > 0 else self.found.start - 1
        if k not in self.places and self.adjacent(k):
            return True
        gap: list[str] = []
        for _ in range(_MAX_GAP):
            token = self.at(k)
            if token is END:
                return self.dangling(gap)
            if (other := self.places.get(k)) is not None:
                return self.joined(other, gap)
            if self.is_time(k, gap):
                return True
            if token.text not in _JOINS and not self._abbreviates(k):
                return self.dangling(gap)
            gap.append(token.text)
            k += self.step
        return False

    def _abbreviates(self, k: int) -> bool:
        """Whether a full stop belongs to a number: "3. April"."""
        before = self.at(k - 1)
        return self.at(k).text == "." and not self.at(k).spaced and before.kind == "number"

    def joined(self, other: Found, gap: list[str]) -> bool:
        """Whether another phrase makes this one mean something else."""
        if other.phrase is None:
            every = self.at(other.start).text in ("every", "each")
            return not (every and _ADDITIVE.issuperset(gap) and LISTED.isdisjoint(gap))
        if not gap:  # "a year ago last May", but "two years ago in May"
            later = self.at(max(self.found.start, other.start)).text
            return later not in PREPOSITIONS and later not in _LEADING
        return not _ADDITIVE.issuperset(gap)

    def adjacent(self, k: int) -> bool:
        """Whether the token right beside the phrase belongs to it, whatever follows."""
        token = self.at(k)
        if _foreign(token) or token.text in ("ago", "hence", "bc", "bce", "ish"):
            return True
        if token.text in _PLACES and token.written[0].isupper():
            return True  # "5th of May Street"
        if self.text.says(k, "before", "last"):
            return True
        if token.text in ("-", "\u2013", "/", ":") and not token.spaced:
            return self.at(k + 1) is not END
        if token.text == "." and self.at(k + 1).text == "." and not token.spaced:
            return self.at(k + 2).kind not in ("word", "end")  # "2022-05-01..2022-05-03"
        if token.text in ("before", "after", "of") and self.rolling:
            return True
        if token.text in ("until", "till", "thru", "through", "onward", "onwards", "later"):
            return True
        if token.text in _LASTING and self._lasts(k + 1):
            return (
                self.days or bool(self.phrase.lead) or self.at(self.found.start - 1).text == "from"
            )
        return self.text.says(k, "to", "date") or self.text.says(k, "and", "a", "half")

    def _lasts(self, k: int) -> bool:
        counted = self.text.counts(k)
        return counted is not None and self.at(counted[2]).text in UNITS.keys() | {"nights"}

    def _season(self, k: int) -> bool:
        """Whether a season is named; "fall" and "spring" are also verbs."""
        token = self.at(k)
        noun = token.text not in ("fall", "spring") or self.at(k - 1).text in _OF_SEASONS
        return token.text in SEASONS and (noun or token.written[0].isupper())

    def _unit(self, k: int) -> bool:
        return self.at(k).text in UNITS or self.at(k).text in OTHER_UNITS

    def dangling(self, gap: list[str]) -> bool:
        """Whether the words up to something else change the meaning: "in or after May"."""
        return False

    def is_time(self, k: int, gap: list[str]) -> bool:
        """Whether an unread token is one of a time that belongs to the phrase."""
        token, word = self.at(k), self.at(k).text
        joined = not LISTED.isdisjoint(gap) or not _RANGES.isdisjoint(gap) or "of" in gap
        if self.named(k, joined) or token.kind == "ordinal" or _dated(token):
            return True
        if word in ("yesterday", "today", "tomorrow", "tonight") or word in foreign.RELATIONS:
            return True
        if token.kind == "number":
            return self._number(k, gap)
        if gap and gap[0] in ("and", "or") and (word in NUMBER_WORDS or word == "one"):
            return True  # "the last year or two", "last week or the one before"
        if word in NUMBER_WORDS and self._unit(k + 1):
            return "for" not in gap
        if word in _OPENING and gap and gap[-1] in ("and", "or"):
            return True
        if word in FEASTS or self._season(k) or _quarter(token):
            return joined or not gap
        if word in LAST or word in ELSEWHERE or word in ("same", "other"):
            return word not in ("every", "each") and self._begins(k + 1)
        if word in PARTS_OF_DAY or word == "second":
            return False
        if not self._unit(k):
            return False
        later = self.at(k + 1).text in ("later", "earlier", "before", "after", "ago", "hence")
        return not gap or joined or "the" in gap or later

    def named(self, k: int, joined: bool) -> bool:
        """Whether a month, a weekday or a decade is named, in any language."""
        token = self.at(k)
        if token.text not in MONTHS:
            return token.text in WEEKDAYS or token.text in foreign.TIMES or token.text in DECADES
        counted = {self.at(k - 1).kind, self.at(k + 1).kind} & {"number", "ordinal"}
        return token.written not in AMBIGUOUS or joined or bool(counted)

    def _begins(self, k: int) -> bool:
        token = self.at(k)
        if token.kind == "number" or token.text in COUNTS or token.text in NUMBER_WORDS:
            return self._unit(k + 1)
        known = self._unit(k) or token.text in FEASTS or token.text in SEASONS
        return known or token.text == "one" or self.named(k, joined=False)

    def _number(self, k: int, gap: list[str]) -> bool:
        token = self.at(k)
        if gap and gap[0] in ("from", "between") and token.value <= 24:
            return False  # "yesterday from 9 to 5"
        if not gap or 1900 <= token.value <= 2099:
            return not gap or gap[-1] not in ("at", "for")
        if gap[-1] in ("at", "by", "in", "on", "for", "with", "a"):
            return False
        return "at" not in gap


class _Before(_Side):
    """What stands before a phrase."""

    step = -1

    def clause(self) -> str:
        """How a clause that ends with the phrase limits the time: "since we met in May"."""
        for k in range(self.found.start - 1, max(-1, self.found.start - 1 - _MAX_CLAUSE), -1):
            token, after = self.at(k), self.at(k + 1)
            if k in self.places or token.text in _ENDS:
                return ""
            if token.text in _CLAUSES:
                by_clock = after.kind == "number" or after.text in _CLOCK_WORDS
                return "" if by_clock else _CLAUSES[token.text]
        return ""

    def adjacent(self, k: int) -> bool:
        token, before = self.at(k), self.at(k - 1)
        word = token.text
        if word in foreign.SHORT and self.first.kind == "form":
            return True
        if _foreign(token) or word in ("ago", "compared", "through", "thru"):
            return before.text not in ("all", "halfway", "midway", "partway", "way")
        if word in ("half", "few", "several", "quarter"):
            return self.first.text in UNITS or self.first.text in COUNTS
        if word in _APPROXIMATE and self.first.text in COUNTS | {"couple": 2}:
            return not self.text.says(k - 1, "how", "about")
        if word in _VAGUE and (self.first.text not in PREPOSITIONS or word != "around"):
            return not self.phrase.around
        if word == "about" and before.text in PREPOSITIONS | _RANGES | _ORDERS:
            return True
        if word in _RELATED and self.first.text in ("of", "to"):
            return True
        if word == "from":
            # "the mail from last Friday" is of that day; "from last Friday" begins with it.
            noun = before.kind == "word" and before.text not in FUNCTION_WORDS
            return not noun or before.text in ("apart", "aside", "different", "away", "out")
        if word in _BOUNDING:
            return word != "ended" or self.first.text not in PREPOSITIONS
        if self.phrase.lead and word in NUMBER_WORDS:
            return True  # "a day or two before 3 May"
        if word in _SPECIAL_YEARS and self.first.text in ("year", "years"):
            return True
        if word in ("instead", "rather", "other"):
            return True
        if word == "as" and self.first.text != "of":
            return True
        if word in ("with", "to") and before.text in ("compared", "up", "leading", "relative"):
            return True
        if word in ("-", "\u2013", "/") and not self.first.spaced:
            return True
        return word.endswith("n't")

    def dangling(self, gap: list[str]) -> bool:
        """ "In or after May", "the days between ... and May"."""
        if not _NEGATED.isdisjoint(gap):
            return True
        if gap and gap[0] != "," and gap[0] in LISTED | RANGED:
            # "between the wedding and May 2023"
            start = self.found.start - 1
            if {self.at(n).text for n in range(start - _REACH, start)} & {"between", "from"}:
                return True
        if not {"and", "or", "&"}.isdisjoint(gap):
            if not _ORDERS.isdisjoint(gap):
                return True
            if self.phrase.lead and not PREPOSITIONS.isdisjoint(gap):
                return True  # "in or after May"
        return gap[:1] == ["between"] or (gap[:1] == ["by"] and not self.phrase.lead)

    def is_time(self, k: int, gap: list[str]) -> bool:
        token, word, before = self.at(k), self.at(k).text, self.at(k - 1).text
        if word in _NEGATED and word not in _JOINS:
            return before == "at" if word in ("most", "least") else word != "no" or not gap
        listed, ranged = not LISTED.isdisjoint(gap), not _RANGES.isdisjoint(gap)
        ordered = self.phrase.lead in ("before", "after", "until") or not _ORDERS.isdisjoint(gap)
        joined = listed or ranged or ordered
        inside = not joined and (self.first.text in PREPOSITIONS or "of" in gap)
        if self.named(k, joined):
            if word in foreign.TIMES and inside:
                return False  # "in Rio de Janeiro on 3 May"
            # "a Friday in May", but not "on Friday a week ago"
            wide = not self.days and before in ("a", "one", "some", "which", "what")
            return word not in WEEKDAYS or joined or not wide
        if word in ("yesterday", "today", "tomorrow", "ago") or word in foreign.RELATIONS:
            return True
        if word in ("later", "earlier") and self._unit(k - 1):
            return True
        if token.kind == "ordinal":
            return token.text[0].isdigit() or before == "the" or joined
        if token.kind == "number":
            return self._number_before(k, gap, joined)
        if word in NUMBER_WORDS or word == "one":
            # "two, three years ago"
            counted = self.first.kind == "number" or self.first.text in COUNTS
            return (listed and counted) or (not gap and self.first.text in MONTHS)
        if word in FEASTS or self._season(k) or word in PARTS_OF_DAY or _quarter(token):
            return listed or ranged or (ordered and not gap)
        if not self._unit(k):
            return False
        return self._amount(k, gap, listed=listed, ranged=ranged, inside=inside)

    def _amount(self, k: int, gap: list[str], *, listed: bool, ranged: bool, inside: bool) -> bool:
        """Whether a unit before the phrase is an amount of time that is counted from it."""
        before, lead = self.at(k - 1), self.phrase.lead
        counted = before.kind == "number" or before.text in COUNTS or before.text in NUMBER_WORDS
        earlier = {self.at(n).text for n in range(max(0, k - 4), k)}
        if self.phrase.around:
            return self.at(k).text not in ("day", "days")
        if lead:
            if self.first.text == "starting":
                return True
            if before.text in _COUNTING:
                return listed
            return counted or lead != "since"
        if ranged or (listed and counted):
            return True
        if "of" in gap or self.first.text == "of":
            return not earlier.isdisjoint(_WITHIN) or self.days
        if inside:
            return not earlier.isdisjoint(_WITHIN) and self.days
        return counted and before.text not in _ASKING

    def _number_before(self, k: int, gap: list[str], joined: bool) -> bool:
        token = self.at(k)
        if self.at(k - 1).text in _BY_CLOCK or self.at(k + 1).text in _BY_CLOCK:
            return False
        if 1900 <= token.value <= 2099 and len(token.text) == 4:
            return True
        if not gap and self.first.text == "of":
            return True  # "week 53 of 2022"
        if gap or self.first.text in PREPOSITIONS:
            return joined and self.first.text in MONTHS or (bool(gap) and gap[-1] == ".")
        return self.first.text in MONTHS  # "30 February 2023"


def _foreign(token: Token) -> bool:
    """Whether a word of another language may say how a time is meant."""
    letter = token.kind == "word" and regex.match(r"\p{Latin}", token.written) is None
    return letter or token.text in foreign.RELATIONS


def _dated(token: Token) -> bool:
    """Whether a token in digits is a date or decade, and not "10:30" or "3.5"."""
    return token.kind == "form" and regex.search(r"\d[-/\u2013]|\.\d+\.|s$", token.text) is not None


def _quarter(token: Token) -> bool:
    return len(token.text) == 2 and token.text[0] in "qh" and token.text[1] in "1234"
