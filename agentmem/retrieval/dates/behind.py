"""What stands behind a phrase."""

from __future__ import annotations

from agentmem.retrieval.dates import foreign
from agentmem.retrieval.dates.side import RANGES, Side, is_dated, is_foreign, is_quarter
from agentmem.retrieval.dates.tokens import END
from agentmem.retrieval.dates.vocabulary import (
    COUNTS,
    ELSEWHERE,
    FEASTS,
    LAST,
    LISTED,
    NUMBER_WORDS,
    PARTS_OF_DAY,
    SEASONS,
    UNITS,
)

_AGO = frozenset({"ago", "hence", "bc", "bce", "ish"})
# "on 3 May until the party"
_OPEN = frozenset({"until", "till", "thru", "through", "onward", "onwards", "later"})
# "in May or later", "2022 and onwards"
_OPENING = frozenset(
    "later earlier onward onwards beyond thereafter afterwards before after since so thereabouts "
    "ish previously prior more less fewer maybe perhaps even".split()
)
_BELONGING = (("before", "last"), ("to", "date"), ("and", "a", "half"))
_BOUNDING = (("at", "the", "latest"), ("at", "the", "earliest"), ("at", "latest"))
_OTHERS = (LAST | ELSEWHERE | {"same", "other", "that", "those"}) - {"every", "each"}
_COUNTED_ON = frozenset({"later", "earlier", "before", "after", "ago", "hence"})
_DAYS = frozenset({"yesterday", "today", "tomorrow", "tonight"})
_STREETS = frozenset("street avenue road square plaza boulevard lane".split())
_LASTING = frozenset({"for", "lasting"})
# Before a number that is none of a date: "at 3", "in 3 cities".
_AMOUNTS = frozenset({"at", "by", "in", "on", "for", "with", "a"})


class Behind(Side):
    """What stands behind a phrase."""

    step = 1

    def adjacent(self, k: int) -> bool:
        """Whether the token right behind the phrase belongs to it, whatever follows."""
        token = self.at(k)
        if is_foreign(token) or self.is_any(k, _AGO | _OPEN) or self._is_street(k):
            return True
        if any(self.text.says(k, *words) for words in _BELONGING):
            return True
        if any(self.text.says(k, *words) for words in _BOUNDING):
            return not self.phrase.lead
        if token.kind == "mark":
            return self._is_glued(k)
        if token.text in ("before", "after", "of"):
            return self.rolling
        return token.text in _LASTING and self._lasts(k + 1)

    def _is_street(self, k: int) -> bool:
        """Whether it is an address: "5th of May Street"."""
        return self.is_any(k, _STREETS) and self.at(k).written[0].isupper()

    def _is_glued(self, k: int) -> bool:
        """Whether a mark joins the phrase to what follows: "3 May/4 May"."""
        token = self.at(k)
        if token.text == "." and self.at(k + 1).text == "." and not token.spaced:
            return self.at(k + 2).kind not in ("word", "end")  # "2022-05-01..2022-05-03"
        joint = token.text in ("-", "\u2013", "/", ":") and not token.spaced
        return joint and self.at(k + 1) is not END

    def _lasts(self, k: int) -> bool:
        """Whether it lasts longer than the phrase: "from 3 May for two weeks"."""
        counted = self.text.counts(k)
        if counted is None or self.at(counted[2]).text not in UNITS.keys() | {"nights"}:
            return False
        begins = bool(self.phrase.lead) or self.at(self.found.start - 1).text == "from"
        return self.days or begins

    def is_time(self, k: int, gap: list[str]) -> bool:
        """Whether an unread token is one of a time that belongs to the phrase."""
        token, word = self.at(k), self.at(k).text
        joined = not (LISTED | RANGES).isdisjoint(gap) or "of" in gap
        if self.is_named(k, joined) or token.kind == "ordinal" or is_dated(token):
            return True
        if word in _DAYS | foreign.RELATIONS or self._continues(word, gap):
            return True
        if token.kind == "number":
            return self._is_part(token.value, gap)
        if word in NUMBER_WORDS and self.is_unit(k + 1):
            return "for" not in gap
        if word in FEASTS or self.is_season(k) or is_quarter(token):
            return joined or not gap
        if word in _OTHERS:
            return self._begins(k + 1)
        if word in PARTS_OF_DAY or not self.is_unit(k) or word == "second":
            return False
        return not gap or joined or "the" in gap or self.is_any(k + 1, _COUNTED_ON)

    def _continues(self, word: str, gap: list[str]) -> bool:
        """Whether the phrase goes on behind "and" or "or"."""
        if gap and gap[0] in ("and", "or") and (word in NUMBER_WORDS or word == "one"):
            return True  # "the last year or two", "last week or the one before"
        return word in _OPENING and gap[:1] in (["and"], ["or"])

    def _begins(self, k: int) -> bool:
        """Whether a time stands behind "next", "the same" or the like."""
        token = self.at(k)
        if token.kind == "number" or token.text in COUNTS or token.text in NUMBER_WORDS:
            return self.is_unit(k + 1) or token.text == "one"
        known = self.is_unit(k) or token.text in FEASTS or token.text in SEASONS
        return known or self.is_named(k, joined=False)

    def _is_part(self, number: int, gap: list[str]) -> bool:
        """Whether a number is a year or a day, not a time of day or an amount."""
        if not gap:
            return True
        if gap[0] in ("from", "between") and number <= 24:
            return False  # "yesterday from 9 to 5"
        if 1900 <= number <= 2099:
            return gap[-1] not in ("at", "for")
        return gap[-1] not in _AMOUNTS and "at" not in gap
