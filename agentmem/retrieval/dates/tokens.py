"""Splits a query into the tokens that dates are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import regex

from agentmem.retrieval.dates.vocabulary import MONTHS, ORDINALS
from agentmem_storage.patterns import unicode_pattern

# A number with all that is glued to it, so that no part of "9:40", "3,000" or "20kg" is a number;
# a word with its apostrophes and hyphens; a line break or any other character.
_TOKEN = unicode_pattern(
    r"(?P<number>[0-9](?:[0-9]|[-/.,:\u2013](?=[0-9]))*+)"
    r"(?P<suffix>T[0-9:.]*+(?:Z|[+-][0-9:]++)?|[%\w]++|-(?=\w)[\w-]++)?"
    r"|(?P<word>[^\W\d_][^\W_]*+(?:['\u2019-][^\W_]++)*+)|(?P<mark>\S)"
)
_GLUE = frozenset("-/.,:$#_+\u20ac")
_SPLIT_OFF = frozenset({"mid", "early", "late"})


class Token(NamedTuple):
    """A token.

    Attributes:
        text: The token in lower case, without a final "'s".
        kind: ``number``, ``ordinal``, ``form`` (a date in digits), ``word`` or ``mark``; ``other``
            is a number that is none.
        written: The token as it is written.
        value: Of a number or an ordinal.
        spaced: Whether white space precedes it.
        possessive: Whether it ended in "'s".
    """

    text: str
    kind: str
    written: str = ""
    value: int = 0
    spaced: bool = True
    possessive: bool = False

    @property
    def shown(self) -> str:
        """The token as it stands in the query, with a space before it if it had one."""
        written = self.text if self.kind in ("number", "ordinal", "form", "other") else self.written
        return f" {written}" if self.spaced else written


END = Token("", "end")


def tokens(query: str) -> list[Token]:
    """The tokens of a query, in order."""
    found: list[Token] = []
    end = 0
    for match in _TOKEN.finditer(query):
        spaced = match.start() > end or not end
        end = match.end()
        found.extend(_read(match, spaced, found[-1] if found else END))
        if len(found) > 1 and found[-2].text in ("twenty", "thirty"):
            found[-2:] = _joined(*found[-2:])
    return found


def _joined(tens: Token, ones: Token) -> list[Token]:
    """An ordinal of two words is one: "twenty third"."""
    text = f"{tens.text}-{ones.text}"
    if ones.kind != "ordinal" or text not in ORDINALS:
        return [tens, ones]
    return [Token(text, "ordinal", f"{tens.written} {ones.written}", ORDINALS[text], tens.spaced)]


def _read(match: regex.Match[str], spaced: bool, before: Token) -> Iterator[Token]:
    number, suffix, word = match["number"], match["suffix"] or "", match["word"]
    if number:
        # "model-2023", "$5", "x/3": no date begins here.
        glued = not spaced and before.text in _GLUE
        yield Token(match[0], *_kind_of_number(number, suffix, glued), spaced=spaced)
    elif word:
        yield from _read_word(word, spaced)
    else:
        yield Token(match[0], "mark", match[0], spaced=spaced)


def _kind_of_number(number: str, suffix: str, glued: bool) -> tuple[str, str, int]:
    if glued:
        return "other", number, 0
    if regex.fullmatch(r"-W[0-5]\d", suffix) and len(number) == 4:
        return "form", number, 0
    if suffix.startswith("-") and suffix.count("-") <= 2:
        # "3-May-2023"
        return ("form" if suffix[1:4].lower() in MONTHS else "other"), number, 0
    if number.isdecimal() and len(number) <= 4:
        if not suffix:
            return "number", number, int(number)
        if suffix in ("st", "nd", "rd", "th"):
            return "ordinal", number, int(number)
        return ("form" if suffix == "s" and len(number) == 4 else "other"), number, 0
    dated = not suffix or suffix.startswith("T")
    return ("form" if dated and not number.isdecimal() else "other"), number, 0


def _read_word(word: str, spaced: bool) -> Iterator[Token]:
    full = word.lower().replace("\u2019", "'")
    text = full.removesuffix("'s")
    if text in ORDINALS:
        yield Token(text, "ordinal", word, ORDINALS[text], spaced)
        return
    parts = text.split("-")
    if len(parts) > 1 and all(_splits(part) for part in parts):
        # "mid-May", "March-May", "Q1-Q2"
        for number, (part, written) in enumerate(zip(parts, word.split("-"), strict=False)):
            if number and parts[number - 1] not in _SPLIT_OFF:
                yield Token("-", "mark", "-", spaced=False)
            kind = "number" if part.isdecimal() else "form" if part[0].isdecimal() else "word"
            yield Token(part, kind, written, int(part) if kind == "number" else 0, spaced)
        return
    yield Token(text, "word", word, spaced=spaced, possessive=full != text)


def _splits(part: str) -> bool:
    dated = part.isascii() and regex.fullmatch(r"\d+|\d{4}s", part) is not None
    quarter = regex.fullmatch(r"q[1-4]|h[12]", part) is not None
    return part in MONTHS or part in _SPLIT_OFF or dated or quarter
