"""Words: what a text is split into for the lexical index, and a query for searching it.

Words are runs of letters, digits and marks in the form of `agentmem_storage.text.normalized`, so
that decomposed or full-width letters make no difference; the vowel points of Arabic and Hebrew,
which most writers omit, and leftover diacritics are dropped. An emoji is a word; its skin tone is
not.

Chinese, Japanese, Thai, Lao, Khmer and Burmese do not separate words, and Korean attaches particles
to them ("서울" and "서울에"). Each of their characters is indexed as a word, and a query matches
pairs of adjacent characters.

Some names are spelled like words that say nothing: "Will", "IT", "The Who", "plan A". Where such a
word is written like a name, it is also indexed, and searched, in a form of its own: "will_".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import regex

from agentmem_storage.text import composed, normalized

# Almost every chunk contains some of these, and they say nothing about its content.
STOP_WORDS = frozenset(
    "a about an and any are as at be been but by can could did do does for from had has have he "
    "her him his how i if in is it its me my no not of on or our she should so that the their "
    "them then there these they this to us was we were what when where which who why will with "
    "would you your".split()
)
# A compound of more parts is not an identifier but text without spaces.
_MAX_PARTS = 8
# From so many words on, a sentence without a small initial is a headline.
_MIN_HEADLINE = 4

_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
# Unassigned code points count as letters: most become letters in a later version of Unicode, and
# the words of a text must not change while they are indexed.
_LETTERS = rf"[[\p{{L}}\p{{N}}\p{{M}}\p{{Co}}\p{{Cn}}]--[{_SPACELESS}\p{{Extended_Pictographic}}]]"
_WORD = regex.compile(
    rf"(?P<spaceless>[{_SPACELESS}][{_SPACELESS}\p{{M}}]*+)|(?P<word>{_LETTERS}++)"
    r"|\p{Regional_Indicator}{2}|\p{Extended_Pictographic}",
    regex.V1,
)
_CHARACTER = regex.compile(r"\P{M}\p{M}*+|\p{M}++")
# "what's", "she'd", "didn't": split, these would be meaningless words such as "s" and "didn".
_CONTRACTED = regex.compile(
    r"\b(?>[^\W\d_]+)(?<=n)'t\b|(?<=[^\W_])'(?:s|t|d|m|re|ve|ll)\b", regex.IGNORECASE
)
_JOINERS = frozenset("-_./:@'&+#")
_ENDS = frozenset('.!?:;\n\r\u2026\u3002\uff01\uff1f\u061f"\u201c\u201d\u2018(\u2022')


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a text: as it is indexed, as it is written, and where."""

    form: str
    written: str
    start: int
    end: int
    spaceless: bool

    @property
    def capitalized(self) -> bool:
        return self.written[0].isupper()

    @property
    def stop(self) -> bool:
        return self.form in STOP_WORDS


def index_text(text: str) -> str:
    """The words of a text, separated by spaces, as they are indexed."""
    plain = composed(text)
    words = list(_words(plain))
    forms = [form for word in words for form in _forms(word)]
    return " ".join([*forms, *(_as_name(word) for word in _names(words, plain))])


def phrases(query: str) -> list[str]:
    """The phrases to search for, each of words separated by spaces: the distinct ones, in order.

    Compounds such as "AB-1234" come first, as phrases; their parts are searched too. A query of
    nothing but stop words is searched by these.
    """
    plain = composed(query.encode("utf-8", "replace").decode())
    short = _CONTRACTED.sub(" ", plain.replace("\u2019", "'"))
    words = list(_words(short))
    found = list(_compounds(words, short))
    names = {word.start: word for word in _names(words, short)}
    for before, word in pairwise([None, *words]):
        if word is None or (word.stop and word.start not in names):
            continue
        if word.start in names:
            if before is not None and _belong_together(before, word, names, short):
                found.append(f"{before.form} {word.form}")
            found.append(_as_name(word))
        found.extend(_pairs(word))
    if not found:
        found = [pair for word in _words(plain) for pair in _pairs(word)]
    return list(dict.fromkeys(found))


def _words(plain: str) -> Iterator[_Word]:
    """The words of a composed text."""
    for match in _WORD.finditer(plain):
        form = _without_points(normalized(match[0]))
        if form:
            spaceless = match["spaceless"] is not None
            yield _Word(form, match[0], match.start(), match.end(), spaceless)


def _without_points(word: str) -> str:
    """A word without marks that writers add or omit as they like."""
    if word.isascii():
        return word
    return "".join(c for c in word if not _is_point(unicodedata.combining(c)))


def _is_point(combining_class: int) -> bool:
    """Points of Hebrew and Arabic, and the diacritics that no composed letter has."""
    return 10 <= combining_class <= 36 or combining_class >= 200


def _forms(word: _Word) -> list[str]:
    """A word as it is indexed: itself, or its characters."""
    return _CHARACTER.findall(word.form) if word.spaceless else [word.form]


def _pairs(word: _Word) -> list[str]:
    """A word as it is searched: itself, or its pairs of characters."""
    forms = _forms(word)
    return forms if len(forms) == 1 else [" ".join(pair) for pair in pairwise(forms)]


def _as_name(word: _Word) -> str:
    return f"{word.form}_"


def _belong_together(before: _Word, name: _Word, names: Container[int], text: str) -> bool:
    """Whether a name has a first part: "plan A", "The Who"."""
    if text[before.end : name.start].strip():
        return False
    meant = not before.stop or before.form == "the" or before.start in names
    return meant and (before.capitalized or len(name.form) == 1)


def _compounds(words: Sequence[_Word], text: str) -> Iterator[str]:
    """Ids, addresses, versions, times, numbers and names: AB-1234, 9:40, 1,200, O'Brien."""
    parts: list[_Word] = []
    for before, word in pairwise([None, *words, None]):
        joined = before is not None and word is not None and _joined(before, word, text)
        if not joined:
            if 1 < len(parts) <= _MAX_PARTS and not all(part.stop for part in parts):
                yield " ".join(part.form for part in parts)
            parts = []
        if word is not None:
            parts.append(word)


def _joined(before: _Word, word: _Word, text: str) -> bool:
    if before.spaceless or word.spaceless or word.start != before.end + 1:
        return False
    mark = text[before.end]
    digits = before.written[-1].isdecimal() and word.written[0].isdecimal()
    return mark in _JOINERS or (mark == "," and digits)


def _names(words: Sequence[_Word], text: str) -> Iterator[_Word]:
    """The stop words that are written like names."""
    for sentence in _sentences(words, text):
        letters = [word for word in sentence if not word.spaceless and word.written[0].isalpha()]
        small = any(not word.capitalized for word in letters)
        shouted = len(letters) > 1 and all(word.written.isupper() for word in letters)
        if shouted or (not small and len(letters) >= _MIN_HEADLINE):
            continue
        # A speaker or title stands on a line of its own, before the text.
        heads = not small and text[sentence[-1].end : sentence[-1].end + 1] == "\n"
        for at, word in enumerate(letters):
            if word.stop and (heads or _is_name(letters, at, text)):
                yield word


def _is_name(sentence: Sequence[_Word], at: int, text: str) -> bool:
    word = sentence[at]
    before = sentence[at - 1] if at else None
    after = sentence[at + 1] if at + 1 < len(sentence) else None
    if word.form == "i" or (len(word.form) == 1 and not word.capitalized):
        # "World War I", "vitamin a": behind a word that means something, at the end of a clause.
        closed = not text[word.end : word.end + 1].strip(" \t") and after is None
        closed = closed or text[word.end : word.end + 1] in set(",;.!?:)\n")
        named = before is not None and not before.stop
        return closed and named and (word.form != "i" or before.capitalized)  # type: ignore[union-attr]
    if len(word.written) > 1 and word.written.isupper():
        return after is None or not after.written.isupper() or len(after.written) == 1
    return word.capitalized and before is not None


def _sentences(words: Sequence[_Word], text: str) -> Iterator[list[_Word]]:
    """The words by sentence; a quotation or parenthesis begins one too."""
    sentence: list[_Word] = []
    for before, word in pairwise([None, *words]):
        if sentence and before is not None and word is not None:
            gap = text[before.end : word.start]
            if not _ENDS.isdisjoint(gap) and not _joined(before, word, text):
                yield sentence
                sentence = []
        if word is not None:
            sentence.append(word)
    if sentence:
        yield sentence
