"""Words: what a text is split into for the lexical index, and a query for searching it.

Chinese, Japanese, Thai, Lao, Khmer and Burmese do not separate words, and Korean attaches particles
to them ("서울" and "서울에"). Each of their characters is indexed as a word, and a query matches
pairs of adjacent characters.

Some names are spelled like words that say nothing: "Will", "IT", "The Who", "plan A". Where such a
word is written like a name, it is also indexed, and searched, in a form of its own: "will_". In a
query written without care the form of a word that may be a name is searched too, with less weight.

Numbers that are written in groups, such as those of telephones, are also indexed, and searched, as
one: "555-123-4567", "555 123 4567", "5551234567". A query for a number is also one for its other
writings, with and without separators of thousands.

How words are split and compared is part of the stored index: whoever changes what `index_text`
returns for any text adds a migration that rebuilds it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.text import composed
from agentmem_storage.words.labels import labeled
from agentmem_storage.words.names import find_governed, find_names, is_ambiguous
from agentmem_storage.words.number_groups import grouped_numbers, telephones
from agentmem_storage.words.spellings import spellings
from agentmem_storage.words.splitting import FUNCTION_WORDS, STOP_WORDS, Word, are_joined, split
from agentmem_storage.words.thousands import numbers, variants, without_zeros

__all__ = ["STOP_WORDS", "Phrases", "asks_nothing", "index_text", "parse", "phrases"]

# A compound of more parts is not an identifier but text without spaces.
_MAX_PARTS = 8
_CHARACTER = unicode_pattern(r"\P{M}\p{M}*+|\p{M}++")
# "what's", "she'd", "didn't": split, these would be meaningless words such as "s" and "didn".
_CONTRACTED = unicode_pattern(r"(?i)\b(?>[^\W\d_]+)(?<=n)'t\b|(?<=[^\W_])'(?:s|t|d|m|re|ve|ll)\b")

# Before these, "may" is a verb; elsewhere a month or a name.
_PRONOUNS = frozenset("i you he she it we they".split())


class Phrases(NamedTuple):
    """What to search for; each phrase is of words separated by spaces.

    Attributes:
        certain: The distinct phrases, in order. Compounds such as "AB-1234" come first, as phrases;
            their parts follow. A query of nothing but stop words is searched by these.
        possible: Stop words in the form of names, which they may be.
        variants: Other writings of numbers and words, each with the certain phrases that it stands
            for.
        labels: Words that say nothing by themselves, each with the labels that it has in the query,
            see `agentmem_storage.words.labels`.
    """

    certain: tuple[str, ...]
    possible: tuple[str, ...]
    variants: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, tuple[str, ...]]


def index_text(text: str) -> str:
    """The words of a text, separated by spaces, as they are indexed."""
    plain = composed(text)
    words = list(split(plain))
    forms = [form for word in words for form in _forms(word)]
    names = (_as_name(word) for word in find_names(words, plain))
    return " ".join([*forms, *names, *grouped_numbers(words, plain)])


def phrases(query: str) -> list[str]:
    """The phrases that are certainly meant; see `Phrases`."""
    return list(parse(query).certain)


# A search asks several times, and a query is short.
@lru_cache(maxsize=8)
def parse(query: str) -> Phrases:
    """Split a query into the phrases to search for."""
    plain = composed(query.encode("utf-8", "replace").decode())
    straight = plain.replace("\u2019", "'")
    # Of the same length, so that a word stands at the same place in both.
    short = _CONTRACTED.sub(lambda match: " " * len(match[0]), straight)
    words = without_zeros(list(split(short)), short)
    known_numbers = list(numbers(words, short))
    compounds = [*_compounds(words, short), *(one.groups for one in known_numbers if one.grouped)]
    found: list[str] = []
    names = {word.start: word for word in find_names(words, short)}
    names |= {word.start: word for word in find_governed(words, straight)}
    possible = [_as_name(one) for one in words if is_ambiguous(one) and one.start not in names]
    for before, word in pairwise([None, *words]):
        if word is None or (word.stop and word.start not in names):
            continue
        if word.start in names:
            if before is not None and _belong_together(before, word, names, short):
                found.append(f"{before.form} {word.form}")
            found.append(_as_name(word))
        found.extend(_pairs(word))
    if not [*compounds, *found]:
        found = [pair for word in split(plain) for pair in _pairs(word)]
        if len(words) == 1:
            found, possible = [*possible, *found], []
    searched = {*compounds, *found}
    others = spellings(words, straight, searched) | variants(known_numbers, searched)
    wholes = [one for one in grouped_numbers(words, short) if one not in others]
    certain = dict.fromkeys([*compounds, *wholes, *found])
    others |= telephones(certain, straight)
    labels: dict[str, tuple[str, ...]] = {}
    for noun, letter in labeled(words, short, names):
        label = _as_name(letter) if letter.stop else letter.form
        labels[noun.form] = (*labels.get(noun.form, ()), label)
    return Phrases(
        tuple(certain),
        tuple(one for one in dict.fromkeys(possible) if one not in certain),
        others,
        labels,
    )


def asks_nothing(query: str) -> bool:
    """Whether a query is of function words alone: "tell me more"."""
    forms = [word for phrase in phrases(query) for word in phrase.split()]
    if "may" in forms:
        order = [word.form for word in split(composed(query.encode("utf-8", "replace").decode()))]
        if not any(a == "may" and b in _PRONOUNS for a, b in pairwise(order)):
            return False
    return all(form in FUNCTION_WORDS or form == "may" for form in forms)


def _forms(word: Word) -> list[str]:
    """A word as it is indexed: itself, or its characters."""
    return _CHARACTER.findall(word.form) if word.spaceless else [word.form]


def _pairs(word: Word) -> list[str]:
    """A word as it is searched: itself, or its pairs of characters."""
    forms = _forms(word)
    return forms if len(forms) == 1 else [" ".join(pair) for pair in pairwise(forms)]


def _as_name(word: Word) -> str:
    return f"{word.form}_"


def _belong_together(before: Word, name: Word, names: Container[int], text: str) -> bool:
    """Whether a name has a first part: "plan A", "The Who"."""
    if text[before.end : name.start].strip():
        return False
    meant = not before.stop or before.form == "the" or before.start in names
    return meant and (before.capitalized or len(name.form) == 1)


def _compounds(words: Sequence[Word], text: str) -> Iterator[str]:
    """Ids, addresses, versions, times, numbers and names: AB-1234, 9:40, 1,200, O'Brien."""
    parts: list[Word] = []
    for before, word in pairwise([None, *words, None]):
        joined = before is not None and word is not None and are_joined(before, word, text)
        if not joined:
            if 1 < len(parts) <= _MAX_PARTS and not all(part.stop for part in parts):
                yield " ".join(part.form for part in parts)
            parts = []
        if word is not None:
            parts.append(word)
