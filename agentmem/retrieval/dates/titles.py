"""Tells whether a year may be the title of a book or film: "in 1984 Winston meets Julia".

What happens in a story is told in the present tense, and what happened in a year in the past tense.
"""

from __future__ import annotations

from agentmem.retrieval.dates.counting import NO_PLURALS
from agentmem.retrieval.dates.phrases import Found
from agentmem.retrieval.dates.text import Text
from agentmem.retrieval.dates.tokens import Token
from agentmem.retrieval.dates.vocabulary import FUNCTION_WORDS

_ARTICLES = frozenset({"the", "a", "an"})
# "who does Winston meet in the end in 1984?"
_REACH = 6
_MAX_NAME = 4


def is_title(text: Text, found: Found) -> bool:
    """Whether a phrase is a year of which something is told, or asked, in the present tense."""
    phrase = found.phrase
    year = phrase is not None and len(phrase.times) == 1 and phrase.whole_years
    if not year or not text.says(found.start, "in") or text.at(found.end - 1).kind != "number":
        return False
    return _is_told(text, found.end) or (
        text.ends_clause(found.end) and _is_asked(text, found.start)
    )


def _is_told(text: Text, k: int) -> bool:
    """Whether somebody does something behind the year: "Winston meets", "the world ends"."""
    k += text.at(k).text == ","
    if text.at(k).text in ("who", "what"):
        return _is_present(text.at(k + 1))
    if text.at(k).text in _ARTICLES:
        return _is_noun(text.at(k + 1)) and _is_present(text.at(k + 2))
    names = 0
    while names < _MAX_NAME and _is_name(text.at(k)):
        names += 1
        k += 1
        k += text.at(k).text in ("and", "&")
    k += text.at(k - 1).possessive  # "Winston and Julia's love ends"
    return names > 0 and _is_present(text.at(k))


def _is_asked(text: Text, k: int) -> bool:
    """Whether it is asked for what somebody does: "who does Winston meet", "what happens"."""
    return any(
        text.says(at, "happens") or (text.says(at, "does") and _is_name(text.at(at + 1)))
        for at in range(max(0, k - _REACH), k)
    )


def _is_name(token: Token) -> bool:
    written = token.kind == "word" and token.written[0].isupper()
    return written and token.text not in FUNCTION_WORDS


def _is_noun(token: Token) -> bool:
    return token.kind == "word" and not token.text.endswith("s") and not _says_nothing(token)


def _is_present(token: Token) -> bool:
    ends = token.text.endswith("s") and not token.text.endswith("ss")
    verb = token.kind == "word" and token.written[0].islower() and not token.possessive
    return ends and verb and not _says_nothing(token) and token.text not in NO_PLURALS


def _says_nothing(token: Token) -> bool:
    return token.text in FUNCTION_WORDS or token.possessive
