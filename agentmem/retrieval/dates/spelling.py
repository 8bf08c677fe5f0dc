"""Makes one of what is spelled in several ways: "twenty one", "1½", "twenty twenty five", "Tue"."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import regex

from agentmem.retrieval.dates.tokens import END, Token
from agentmem.retrieval.dates.vocabulary import COUNTS, MONTHS, TENS, WEEKDAYS
from agentmem_storage.patterns import unicode_pattern

# Compatibility normalization would make "11⁄2" of "1½".
_FRACTION = unicode_pattern(r"(?<![0-9])(?P<whole>[0-9]*+)[ \u00a0\u2009\u202f]?(?P<part>\p{No})")
_CENTURIES = {"nineteen": 1900, "twenty": 2000}
_ZEROS = frozenset({"oh", "o"})
# Not the beginning of "two thousand five hundred".
_LARGER = frozenset({"hundred", "thousand", "million"})
_ABBREVIATED = {name[:3]: name for name in WEEKDAYS}
_ABBREVIATED |= {"tues": "tuesday", "thur": "thursday", "thurs": "thursday"}
# Other words in lower case.
_WORDS = frozenset({"sun", "sat", "wed"})
# Tokens from "what" to its "up to".
_CLAUSE = 6
_DATED = frozenset({"number", "ordinal", "form"})


def normalized(query: str) -> str:
    """A query in one form of Unicode, with fractions of one character as decimals."""
    decimal: str = _FRACTION.sub(_decimal, query)
    return unicodedata.normalize("NFKC", decimal)


def _decimal(match: regex.Match[str]) -> str:
    part = match["part"]
    if "\u2044" not in unicodedata.normalize("NFKC", part):
        return str(match[0])  # "3²"
    space = " " if not match["whole"] and match[0] != part else ""
    count = int(match["whole"][-9:] or 0) + unicodedata.numeric(part)
    return f"{space}{count:g}"


def spelled_out(tokens: Sequence[Token]) -> list[Token]:
    """Tokens with what several words say as one, and abbreviated weekdays before a date."""
    counted: list[Token] = []
    for token in tokens:
        before = counted[-1] if counted else END
        text = f"{before.text}-{token.text}"
        if before.text in TENS and text in COUNTS:
            written = f"{before.written} {token.written}"
            counted[-1] = Token(text, "word", written, spaced=before.spaced)
        else:
            counted.append(token)
    found: list[Token] = []
    i = 0
    while i < len(counted):
        token, i = (
            _year(counted, i)
            or _weekday(counted, i)
            or _busy(counted, i)
            or _pause(counted, i)
            or (counted[i], i + 1)
        )
        found.append(token)
    return found


def _pause(tokens: Sequence[Token], i: int) -> tuple[Token, int] | None:
    """Read an ellipsis, behind which a sentence goes on, as a comma."""
    end = i
    while end < len(tokens) and tokens[end].text == "." and (end == i or not tokens[end].spaced):
        end += 1
    # Points between two dates make a range of them.
    if end <= i + 1 or (end < len(tokens) and not tokens[end].spaced):
        return None
    return Token(",", "mark", "." * (end - i), spaced=tokens[i].spaced), end


def _busy(tokens: Sequence[Token], i: int) -> tuple[Token, int] | None:
    """Read "up to" in "what was I up to yesterday?", where no time ends, as one word."""
    if [token.text for token in tokens[i : i + 2]] != ["up", "to"]:
        return None
    asked = any(token.text == "what" for token in tokens[max(0, i - _CLAUSE) : i])
    return (Token("up to", "word", "up to", spaced=tokens[i].spaced), i + 2) if asked else None


def _year(tokens: Sequence[Token], i: int) -> tuple[Token, int] | None:
    """Read "twenty twenty five", "nineteen oh five", "two thousand and five"."""
    texts = [token.text for token in tokens[i : i + 5]] + [""] * 5
    count = COUNTS.get(texts[1], 0) if texts[1] not in ("a", "an") else 0
    if texts[0] in _CENTURIES and count >= 10:
        number, end = _CENTURIES[texts[0]] + count, 2
    elif texts[0] in _CENTURIES and texts[1] in _ZEROS and 1 <= COUNTS.get(texts[2], 0) <= 9:
        number, end = _CENTURIES[texts[0]] + COUNTS[texts[2]], 3
    elif texts[:2] == ["two", "thousand"]:
        end = 3 if texts[2] == "and" else 2
        if texts[end] in ("a", "an") or texts[end] not in COUNTS:
            return None
        number, end = 2000 + COUNTS[texts[end]], end + 1
    else:
        return None
    if texts[end] in _LARGER:
        return None
    written = " ".join(token.written for token in tokens[i : i + end])
    return Token(str(number), "number", written, number, tokens[i].spaced), i + end


def _weekday(tokens: Sequence[Token], i: int) -> tuple[Token, int] | None:
    """Read "Tue, 4 March", "Sat. May 3": the weekday by its name, without the full stop."""
    token = tokens[i]
    name = _ABBREVIATED.get(token.text)
    if name is None or (token.text in _WORDS and not token.written[0].isupper()):
        return None
    end = i + 1
    if end < len(tokens) and tokens[end].text == "." and not tokens[end].spaced:
        end += 1
    after = [one for one in tokens[end : end + 4] if one.text not in (",", "the", "of")]
    dated = any(one.text in MONTHS for one in after[:2]) or (after and after[0].kind == "form")
    if not dated or (after[0].kind not in _DATED and after[0].text not in MONTHS):
        return None
    return token._replace(text=name), end
