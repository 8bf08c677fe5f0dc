"""What a short statement is about, and what it says of it."""

from __future__ import annotations

from dataclasses import dataclass

from agentmem.statements.words import CHANGE, EMPTY, OTHER_TIME, PERSONS, STATE, UNSURE
from agentmem_storage.patterns import unicode_pattern

# Code points. A longer text is a story, or about several things.
_LONGEST = 160
# Stage directions of a script tell what happens.
_STAGED = ("[", "(")
TOKEN = unicode_pattern(r"[\p{L}\p{M}\d]+(?:[-.:/@'’_!+][\p{L}\p{M}\d]+)*")
_LABEL = unicode_pattern(r"^[\p{L}\p{M} ,'’-]{2,40}:\s")
# Whose a statement is stands among its first words.
_FIRST = 3
_SELF = unicode_pattern(r"(?i)\b(?:i|my|me|mine|we|our|us|ours)\b")
_SENTENCE = unicode_pattern(r"[.!?:]\s+$|^\s*$|\n\s*$")
POSSESSIVE = unicode_pattern(r"['’]s$")
_ENDINGS = ("ing", "ed", "es", "s")
# What is before or after something else is not about that.
_BESIDE = unicode_pattern(r"(?is)\b(?:before|prior to|after|since|until)\b.*")


@dataclass(frozen=True, slots=True)
class Statement:
    """A short statement.

    Attributes:
        text: The text.
        words: All of its words, in lower case, in order.
        subject: Stems of those that tell what it is about.
        values: Numbers, addresses and names, in lower case.
        label: The names before the colon that the text begins with, in lower case; None if there is
            no label: "Terrain of Andorra: ...".
        owners: Whose it is, if not the speaker's: "sister", "bob".
        holds: Whether it says how something is.
        changes: Whether it says that something changed.
    """

    text: str
    words: tuple[str, ...]
    subject: frozenset[str]
    values: frozenset[str]
    label: frozenset[str] | None
    owners: frozenset[str]
    holds: bool
    changes: bool


def read_statement(text: str) -> Statement | None:
    """What a text states; None if it is long, a question, or not certain."""
    if len(text) > _LONGEST or UNSURE.search(text) or "?" in text or text.startswith(_STAGED):
        return None
    label = _LABEL.match(text)
    holds = STATE.search(text) is not None or label is not None
    changes = CHANGE.search(text) is not None
    if not (holds or changes):
        return None
    words: list[str] = []
    labelled: set[str] = set()
    subject: set[str] = set()
    values: set[str] = set()
    owners: set[str] = set()
    for match in TOKEN.finditer(text):
        word = POSSESSIVE.sub("", match[0])
        lower = word.lower()
        words.append(lower)
        first = _SENTENCE.search(text[: match.start()]) is not None
        leading = len(words) <= _FIRST
        if leading and PERSONS & {lower, lower.removesuffix("s")}:
            owners.add(lower.removesuffix("s"))
        elif leading and word != match[0] and word[0].isupper() and lower not in EMPTY:
            owners.add(lower)
        if is_number(word) or (word[0].isupper() and not first):
            if lower not in ("i", "i'm", "i've", "i'll", "i'd"):
                values.add(lower)
                if label is not None and match.end() <= label.end():
                    labelled.add(lower)
        elif lower not in EMPTY and len(lower) > 1:
            subject.add(stem(lower))
    return Statement(
        text,
        tuple(words),
        frozenset(subject),
        frozenset(values),
        None if label is None else frozenset(labelled),
        frozenset(owners),
        holds,
        changes,
    )


def is_of_now(text: str) -> bool:
    """Whether a text may say how something is now: not how it was when I was a child."""
    return OTHER_TIME.search(text) is None


def is_number(word: str) -> bool:
    """Whether a word is a number, a code, a date, or an e-mail address."""
    return "@" in word or any(letter.isdigit() for letter in word)


def is_own(statement: Statement) -> bool:
    """Whether a statement is about the speaker or what is the speaker's."""
    return is_first_person(statement.text)


def is_first_person(text: str) -> bool:
    """Whether a text has a word of the first person."""
    return _SELF.search(text) is not None


def values_in(text: str) -> set[str]:
    """Which kinds of values a text has: ``"number"``, ``"name"``.

    The first word begins with a capital whatever it is.
    """
    found: set[str] = set()
    for place, match in enumerate(TOKEN.finditer(text)):
        word = match[0]
        if any(letter.isdigit() for letter in word):
            found.add("number")
        elif place and word[0].isupper() and not _SELF.match(word):
            found.add("name")
    return found


def stems_in(text: str) -> frozenset[str]:
    """Stems of all words of a text."""
    found = (POSSESSIVE.sub("", match[0]) for match in TOKEN.finditer(text))
    return frozenset(stem(word.lower()) for word in found)


def asked_words(question: str) -> tuple[str, ...]:
    """The words of a question, without those of what is before or after what it asks for."""
    asks = _BESIDE.sub("", question)
    return tuple(POSSESSIVE.sub("", match[0]) for match in TOKEN.finditer(asks))


def stem(word: str) -> str:
    """A word without its ending."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending).rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word
