"""Splits a text into words.

Words are runs of letters, digits and marks in the form of `agentmem_storage.text.normalized`, so
that decomposed or full-width letters make no difference, and further without what most writers omit
or vary, see `agentmem_storage.words.letters`. An emoji is a word; its skin tone is not. So is a
symbol such as a star, an arrow or a currency sign, but for those of ASCII and what tables are drawn
with. A number and its unit are two words ("20mg"), and so are a name and its number ("COVID19").
Abbreviations are the same with and without full stops ("U.S."), and a sign that makes another name
belongs to the word ("C++", "C#", ".NET").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.text import normalized
from agentmem_storage.words.letters import plain

# Almost every chunk contains some of these, and they say nothing about its content.
STOP_WORDS = frozenset(
    "a about an and any are as at be been but by can could did do does for from had has have he "
    "her him his how i if in is it its me my no not of on or our she should so that the their "
    "them then there these they this to us was we were what when where which who why will with "
    "would you your".split()
)
# With the stop words, what a question may consist of without being about anything: "tell me more".
# Beside other words these are searched, and count, like any.
FUNCTION_WORDS = STOP_WORDS | frozenset(
    "again all also am another anybody anyone anything being both down each either else ever "
    "every everybody everyone everything few give here into just know least less lot many maybe "
    "me might mine more most much must neither nobody none nor nothing now off ok okay once one "
    "only other others out over own perhaps please quite rather really same say shall since some "
    "somebody someone something still such tell than theirs too under until up upon very well "
    "whether while whom whose without yes yet yours".split()
)

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# Unassigned code points count as letters: most become letters in a later version of Unicode, and
# the words of a text must not change while they are indexed.
_LETTERS = rf"[[\p{{L}}\p{{N}}\p{{M}}\p{{Co}}\p{{Cn}}]--[{_SPACELESS}\p{{Extended_Pictographic}}]]"
_LETTER = rf"[\p{{L}}--[{_SPACELESS}]]"
_WORD = unicode_pattern(
    rf"(?V1)(?P<dotted>(?<!{_LETTERS}|\.){_LETTER}(?:\.{_LETTER})++(?!{_LETTERS})(?:\.(?!\s+\p{{Lu}}))?)"
    rf"|(?P<signed>(?<!{_LETTERS})(?:[A-Za-z](?:\+\+(?!{_LETTER})|\#(?!{_LETTERS}))"
    rf"|\.[Nn][Ee][Tt](?!{_LETTERS})))"
    rf"|(?P<spaceless>[{_SPACELESS}][{_SPACELESS}\p{{M}}]*+)|(?P<word>{_LETTERS}++)"
    r"|\p{Regional_Indicator}{2}|\p{Extended_Pictographic}"
    # Not minus and the line of a fraction, which numbers have in many forms.
    r"|[[\p{So}\p{Sm}\p{Sc}]--[\p{ASCII}\u2044\u2212\u2500-\u259f]]",
)
_NUMBERED = unicode_pattern(
    r"(?<![\p{L}\p{M}\p{Nd}])(?:(?P<number>\p{Nd}++)(?P<unit>(?:\p{L}\p{M}*+){1,4})"
    r"|(?P<name>(?:\p{L}\p{M}*+){2,}+)(?P<serial>\p{Nd}++))"
)
_JOINERS = frozenset("-_./:@'&+#")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text.

    Attributes:
        form: The word as it is compared.
        written: The word as it is written.
        start: Where it starts in the text.
        end: Where it ends, exclusive.
        spaceless: Whether it is of a script that does not separate words.
    """

    form: str
    written: str
    start: int
    end: int
    spaceless: bool

    @property
    def capitalized(self) -> bool:
        """Whether it begins with a capital letter."""
        return self.written[0].isupper()

    @property
    def stop(self) -> bool:
        """Whether it is a stop word; with an accent it is another word."""
        return self.form in STOP_WORDS and (self.written.isascii() or not _is_accented(self))


def split(composed: str) -> Iterator[Word]:
    """The words of a composed text."""
    for match in _WORD.finditer(composed):
        if match["dotted"]:
            yield from _dotted(match[0], match.start())
            continue
        start, spaceless = match.start(), match["spaceless"] is not None
        for part in _parts(match[0]):
            if form := _form(part):
                yield Word(form, part, start, start + len(part), spaceless)
            start += len(part)


def _parts(written: str) -> tuple[str, ...]:
    """A number and its unit, or a name and its number; any other word as it is."""
    if written[0].isdecimal() == written[-1].isdecimal():
        return (written,)
    numbered = _NUMBERED.fullmatch(written)
    if numbered is None:
        return (written,)
    cut = max(numbered.end("number"), numbered.end("name"))
    return written[:cut], written[cut:]


def _form(written: str) -> str:
    # Case folding makes a letter of the Greek iota below another, so accents go first.
    return plain(normalized(plain(written)))


def _dotted(text: str, start: int) -> Iterator[Word]:
    """An abbreviation with full stops, "U.S.", is the word without them, in capitals."""
    letters = text.rstrip(".").split(".")
    forms = [_form(letter) for letter in letters]
    if all(len(form) == 1 for form in forms):
        yield Word("".join(forms), "".join(letters).upper(), start, start + len(text), False)
        return
    # A letter of which the plain form is two, or none: "ae.b" is no abbreviation.
    for at, (letter, form) in enumerate(zip(letters, forms, strict=True)):
        if form:
            yield Word(form, letter, start + 2 * at, start + 2 * at + 1, False)


def are_joined(before: Word, word: Word, text: str) -> bool:
    """Whether two words are parts of one compound: "AB-1234", "1,200", "20mg"."""
    if before.spaceless or word.spaceless:
        return False
    if word.start == before.end:  # only a number and letters stand so
        return before.written[-1].isalnum() and word.written[0].isalnum()
    if word.start != before.end + 1:
        return False
    mark = text[before.end]
    digits = before.written[-1].isdecimal() and word.written[0].isdecimal()
    return mark in _JOINERS or (mark == "," and digits)


def _is_accented(word: Word) -> bool:
    return normalized(word.written) != word.form
