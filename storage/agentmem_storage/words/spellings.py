"""Other spellings of the words of a query, of other characters that look alike or mean the same.

- An apostrophe inside a word is a mark, which parts it, or a letter, which does not: "м'ята",
  "O'zbekiston" and "O'ahu" are written with U+0027, U+2019, U+2018, U+02BC, U+02BB, or without.
  In haste it is left out, which shows where it is usual: "oneill", "oahu", "мята", "здоровя".
- The apostrophe of some names is part of no keyboard's habits: "Quran" and "Qur'an".
- Serial numbers are written with hyphens between their groups, and without: "4F9920XK".
- The final consonants of Malayalam are letters of their own, and were written with a virama and a
  joiner before Unicode had them. So was the khanda ta of Bengali. "nta" has three ways.
- "sri" in Tamil begins with one of two letters, and the heh of Persian with a hamza is one
  character or two.

Each is indexed as it is written. A query for one is also one for the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.words.splitting import Word

_LETTERS = ("\u02bc", "\u02bb")
_LETTER = unicode_pattern("[\u02bb\u02bc]")
_MARKS = frozenset("'\u2018\u2019`\u2032")
# "rock'n'roll"; a longer chain is no word.
_MOST_PARTS = 4
# What has more words is a text, which would be searched several times over.
_MOST_WORDS = 64

# Behind the O of Irish, Hawaiian and Uzbek names, and in Ukrainian between a consonant and a vowel
# that begins with "y".
_LEFT_OUT = unicode_pattern(
    r"(?<=\Ao)(?=[a-z]{3})|(?<=[\u0431\u043f\u0432\u043c\u0444\u0440\u0437\u0434\u043d])"
    r"(?=[\u044f\u044e\u0454\u0457])"
)

_APOSTROPHES = {
    "quran": "qur an",
    "kaaba": "ka aba",
    "shia": "shi a",
    "hawaii": "hawai i",
    "xian": "xi an",
    "maam": "ma am",
}
# Letters and digits in turn.
_TURNS = unicode_pattern(r"(?<=[0-9])(?=[a-z])|(?<=[a-z])(?=[0-9])")
_MOST_TURNS = 8

_VIRAMA = "\u0d4d"
_CHILLUS = {
    "\u0d7a": "\u0d23",
    "\u0d7b": "\u0d28",
    "\u0d7c": "\u0d30",
    "\u0d7d": "\u0d32",
    "\u0d7e": "\u0d33",
    "\u0d7f": "\u0d15",
}
_APART = str.maketrans({letter: base + _VIRAMA for letter, base in _CHILLUS.items()})
_BASES = {base: letter for letter, base in _CHILLUS.items()}
_DEAD = unicode_pattern(f"([{''.join(_BASES)}]){_VIRAMA}")
_FINAL = unicode_pattern(rf"([{''.join(_BASES)}]){_VIRAMA}$")
_NTA = ("\u0d28\u0d4d\u0d31", "\u0d7b\u0d4d\u0d31", "\u0d7b\u0d31")
# Pairs of which each is written for the other.
_SWAPPED = (("\u09ce", "\u09a4\u09cd"), ("\u0bb6\u0bcd\u0bb0\u0bc0", "\u0bb8\u0bcd\u0bb0\u0bc0"))
_HEH, _HEH_HAMZA = "\u0647", "\u06c0"


def spellings(
    words: Sequence[Word], text: str, phrases: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Phrases for the other spellings of words, each with those of the query that it stands for.

    Args:
        words: The words of a query.
        text: The query.
        phrases: The phrases of the query.
    """
    if len(words) > _MOST_WORDS:
        return {}
    known = frozenset(phrases)
    made: dict[str, dict[str, None]] = {}
    for chain in _chains(words, text):
        forms = [word.form for word in chain]
        others = _closed(forms) if len(forms) > 1 else _others(forms[0])
        for other in others:
            made.setdefault(other, {}).update(dict.fromkeys([" ".join(forms), *forms]))
    kept = {
        other: tuple(one for one in stands_for if one in known)
        for other, stands_for in made.items()
        if other not in known
    }
    return {other: stands_for for other, stands_for in kept.items() if stands_for}


def _chains(words: Sequence[Word], text: str) -> Iterator[list[Word]]:
    """Words that apostrophes join, and all others one by one."""
    chain: list[Word] = []
    for word in words:
        gap = text[chain[-1].end : word.start] if chain else ""
        if gap in _MARKS and chain[-1].form.isalpha() and word.form.isalpha():
            chain.append(word)
            continue
        if chain:
            yield from _split(chain)
        chain = [word]
    if chain:
        yield from _split(chain)


def _split(chain: list[Word]) -> Iterator[list[Word]]:
    if len(chain) <= _MOST_PARTS:
        yield chain
    else:
        yield from ([word] for word in chain)


def _closed(forms: Sequence[str]) -> list[str]:
    """Words as one, their apostrophes letters or left out."""
    return [mark.join(forms) for mark in (*_LETTERS, "")]


def _others(form: str) -> Iterator[str]:
    for place in _LEFT_OUT.finditer(form):
        before, behind = form[: place.start()], form[place.start() :]
        yield from (f"{before}{mark}{behind}" for mark in (" ", *_LETTERS))
    if parts := _APOSTROPHES.get(form):
        yield from (parts.replace(" ", mark) for mark in (" ", *_LETTERS))
    if form.isascii():
        groups = _TURNS.sub(" ", form)
        if 2 <= groups.count(" ") < _MOST_TURNS:
            yield groups
        return
    if pieces := [piece for piece in _LETTER.split(form) if piece]:
        if len(pieces) > 1:
            yield " ".join(pieces)
        if len(pieces) > 1 or pieces[0] != form:
            yield "".join(pieces)
            yield from (_LETTER.sub(letter, form) for letter in _LETTERS)
    for one, other in _SWAPPED:
        yield form.replace(one, other)
        yield form.replace(other, one)
    if form.endswith((_HEH, _HEH_HAMZA)):
        yield form[:-1] + (_HEH_HAMZA if form.endswith(_HEH) else _HEH)
    if any("\u0d00" <= letter <= "\u0d7f" for letter in form):
        yield from _malayalam(form)


def _malayalam(form: str) -> Iterator[str]:
    for nta in _NTA[1:]:
        form = form.replace(nta, _NTA[0])
    apart = form.translate(_APART)
    kept = apart.replace(_NTA[0], "\0")
    for one in (kept, _FINAL.sub(_joined, kept), _DEAD.sub(_joined, kept)):
        yield from (one.replace("\0", nta) for nta in _NTA)


def _joined(dead: Any) -> str:
    return _BASES[dead[1]]
