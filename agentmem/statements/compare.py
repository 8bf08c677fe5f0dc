"""How likely a statement supersedes an earlier one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from agentmem.statements.read import (
    POSSESSIVE,
    TOKEN,
    Statement,
    asked_words,
    is_first_person,
    is_number,
    is_own,
    stem,
)
from agentmem.statements.readings import Readings
from agentmem.statements.siblings import of_other_things
from agentmem.statements.topics import counts_another, of_other_topics
from agentmem.statements.words import (
    CHANGE,
    EMPTY,
    KINDS,
    LEAVING,
    LEFT,
    MOVES,
    OTHERS,
    OWN_THINGS,
    PREPOSITIONS,
    SAYS,
    SEVERAL,
    STATE,
    TITLES,
)
from agentmem_storage.patterns import unicode_pattern

# The scores: of one that says that the earlier value holds no longer, of the same sentence with
# another value, of one that says that something changed, of two that are of one kind, and of one
# that says so of what only the embeddings tell.
LEFT_BEHIND, SAME_SENTENCE, CHANGED, SAME_KIND = 0.95, 0.9, 0.8, 0.7
NEAREST = 0.6
# How far above the next one the nearest memory stands out, both counted from the median.
_STANDS_OUT = 1.5
# Questions that are answered by yes or no.
_YES_OR_NO = unicode_pattern(
    r"(?i)\A(?:am|is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|may)\b"
)
# Words that may be between "not" and what holds no longer.
_GAP = 2
_LONGEST_VALUE = 4
# Of the words that a statement without names and numbers is about, those that both need.
_SHARED = 0.4


def contradiction(
    old: Statement, new: Statement, *, nearest: bool = False, readings: Readings | None = None
) -> float:
    """How likely a statement supersedes an earlier one of the same speaker, 0 to 1.

    0 if they may both be true, as far as the words tell.

    Args:
        old: The earlier one.
        new: The later one.
        nearest: Whether they are by far the nearest to each other.
        readings: Of these texts, as far as they are known.
    """
    if _repeats(old, new) or not same_owner(old, new) or _names_another(old, new):
        return 0.0
    read = readings or Readings()
    if not read.of_now(new.text) or of_other_things(read.apart(old.text), read.apart(new.text)):
        return 0.0
    if new.changes and _leaves(old, new):
        return LEFT_BEHIND
    # Who moved somewhere lives there.
    if _of_one_kind(old, new):
        return SAME_KIND
    if not old.holds or of_other_topics(old, new):
        return 0.0
    if new.holds and (differs := _differs_in_one_place(old, new)) is not None:
        several = not new.changes and SEVERAL.search(new.text) is not None
        return SAME_SENTENCE if differs and not several else 0.0
    of_another = is_own(old) and not is_own(new) and _begins_with_another(new)
    if new.changes and not of_another and _other_value(old, new):
        return CHANGED
    changed = new.changes and "not" not in new.words and not counts_another(old, new)
    return NEAREST if nearest and changed and is_own(old) and is_own(new) else 0.0


def is_about(question: str, old: str, new: str, readings: Readings | None = None) -> bool:
    """Whether a later text may be about what a question asks, as an earlier one is.

    "The cellar code is 8825" is not about the code of the garage. A word that the earlier text has
    from the question, and the later one has not, tells so if it is a name, or if another stands in
    its place ("my dentist is", "my cardiologist is") in a text that neither says that something
    changed nor names what the earlier one says. A name may be shortened, though: "Heron" is the
    project Heron. And what somebody else does, or a person of the speaker's, is not what the
    speaker does. Nor is what changed with another thing of the same kind: "they changed the garage
    code".

    Args:
        question: What is asked.
        old: The earlier text.
        new: The later one.
        readings: Of these texts, as far as they are known.
    """
    read = readings or Readings()
    if of_other_things(read.apart(old), read.apart(new)):
        return False
    stated, later = read.statement(old), read.statement(new)
    if later is not None and is_first_person(question) and is_first_person(old):
        asked_for = {one.lower().removesuffix("s") for one in TOKEN.findall(question)}
        owned = {one.removesuffix("s") for one in later.owners} - asked_for
        if owned or (not is_own(later) and _begins_with_another(later)):
            return False
    words = read.asked(question)
    asked, had, has = _told(words), read.stems(old), read.stems(new)
    lost = asked & had - has
    if not lost:
        return True
    if lost & (_names(words) - _shortened(words, new)):
        return False
    values = {stem(one) for one in stated.values - TITLES} if stated else set()
    if CHANGE.search(new) is not None or not values.isdisjoint(has):
        return True
    # "Am I allergic to peanuts?" names the value itself.
    return not _YES_OR_NO.match(question.lstrip()) and not _takes_the_place(old, new, lost)


def told_in(question: str) -> frozenset[str]:
    """Stems of the words of a question that tell what it is about."""
    return frozenset(_told(asked_words(question)))


def _takes_the_place(old: str, new: str, lost: set[str]) -> bool:
    """Whether another word stands between the same two as one that the later text has not."""
    before, later = ([match[0].lower() for match in TOKEN.finditer(text)] for text in (old, new))
    has = {around[::2] for around in _threes(later)}
    return any(around[::2] in has for around in _threes(before) if stem(around[1]) in lost)


def _threes(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Each word with the one before and the one behind it, "" at the ends."""
    return zip(["", *words], words, [*words[1:], ""], strict=False)


def _told(words: Sequence[str]) -> set[str]:
    """Stems of those that tell what is asked about."""
    return {
        stem(word.lower())
        for word in words
        if word.lower() not in EMPTY and not STATE.fullmatch(word) and len(word) > 1
    }


def _names(words: Sequence[str]) -> set[str]:
    """Stems of the names among the words of a question."""
    return {stem(word.lower()) for word in words[1:] if word[0].isupper()}


def _shortened(words: Sequence[str], text: str) -> set[str]:
    """Stems of names that a text leaves out of longer ones: of "Project" if it has "Heron" alone.

    "Ida Meyer" is not short for "Eva Meyer".
    """
    found = [POSSESSIVE.sub("", match[0]) for match in TOKEN.finditer(text)]
    bare = {
        word
        for before, word in pairwise(["", *found])
        if word[0].isupper() and not before[:1].isupper()
    }
    return {
        stem(name.lower()) for name, rest in pairwise(words) if name[0].isupper() and rest in bare
    }


def stands_out(cosines: Sequence[float]) -> bool:
    """Whether the nearest of several memories is by far nearer than the next.

    Args:
        cosines: Above their median, nearest first, at least two.
    """
    return cosines[0] > 0 and cosines[0] >= _STANDS_OUT * cosines[1]


def _repeats(old: Statement, new: Statement) -> bool:
    """Whether the new one says what the old one says, and perhaps more."""
    count = len(old.words)
    starts = range(len(new.words) - count + 1)
    return any(new.words[start : start + count] == old.words for start in starts)


def same_owner(old: Statement, new: Statement) -> bool:
    """Whether two statements are about one person or thing, as far as they name an owner."""
    return old.owners.issubset(new.words) and new.owners.issubset(old.words)


def _names_another(old: Statement, new: Statement) -> bool:
    """Whether what they are about has a name, and not the same one.

    A label tells that, "Terrain of Andorra: ...", or the name before a number or an address: "mail
    for Ana goes to ana@example.org".
    """
    if old.label is not None and new.label is not None:
        return not (old.label.issubset(new.words) and new.label.issubset(old.words))
    if (old_name := _relative(old)) and (new_name := _relative(new)) and old_name != new_name:
        return True
    if is_own(old) or is_own(new):
        return False
    mine, later = _values(old), _values(new)
    # "9 Quarry Hill" is an address, and so no name of what has it.
    leads = any(values and not is_number(values[0]) for values in (mine, later))
    both = all({True, False} == set(map(is_number, values)) for values in (mine, later))
    return (
        leads
        and both
        and _first_name(mine) not in new.words
        and _first_name(later) not in old.words
    )


def _relative(statement: Statement) -> str | None:
    """The name behind the word for a person: "my sister Eva"."""
    for word, name in pairwise(statement.words):
        if word in statement.owners:
            return name if name in statement.values else None
    return None


def _values(statement: Statement) -> list[str]:
    """Its values, in order."""
    return [one for one in statement.words if one in statement.values and one not in EMPTY]


def _first_name(values: Sequence[str]) -> str:
    return next(one for one in values if not is_number(one))


def _differs_in_one_place(old: Statement, new: Statement) -> bool | None:
    """Whether the sentences differ in one place, and by what they say; None if they differ more."""
    a = [word for word in old.words if word not in ("now", "currently", "still", "new")]
    b = [word for word in new.words if word not in ("now", "currently", "still", "new")]
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    left, right = a[start : len(a) - end], b[start : len(b) - end]
    # "box 7 in cellar 7" and "box 9 in cellar 9" are two boxes.
    if not set(left).isdisjoint(right):
        return None
    # "Ana works on Atlas" and "Ana's phone: 555-1234" say different things of her.
    if any(STATE.search(" ".join(side)) for side in (left, right)):
        return None
    common = (*a[:start], *a[len(a) - end :])
    tells = not EMPTY.issuperset(common) or (new.changes and start > 1 and "not" not in common)
    short = 0 < len(left) <= _LONGEST_VALUE and 0 < len(right) <= _LONGEST_VALUE
    is_value = not end or bool(old.values & set(left) and new.values & set(right))
    # "I live in Paris", "I live for tea": these say different things.
    related = bool(left and right) and PREPOSITIONS.isdisjoint((left[0], right[0]))
    if not (start and tells and short and is_value and related):
        return None
    return not EMPTY.issuperset((*left, *right))


def _of_one_kind(old: Statement, new: Statement) -> bool:
    if _is_of_others(old) or _is_of_others(new) or _other_days(old, new):
        return False
    return any(
        state.search(old.text) and change.search(new.text) and (is_own(old) or is_own(new))
        for state, change in KINDS
    ) and bool(new.values - old.values or not new.values)


def _is_of_others(statement: Statement) -> bool:
    """Whether somebody else lives or works there: "Anna moved to Rome", "the firm moved"."""
    if statement.words[0] == "the":
        return statement.words[1:2] != () and statement.words[1] not in OWN_THINGS
    return _begins_with_another(statement)


def _begins_with_another(statement: Statement) -> bool:
    """Whether it says what somebody else does: "Tom works", "she moved"."""
    first, *rest = statement.words
    if first in OTHERS:
        return True
    if not rest or first in OWN_THINGS or first in EMPTY:
        return False
    return any(verb.fullmatch(rest[0]) for verb in (STATE, MOVES, SAYS))


def _other_days(old: Statement, new: Statement) -> bool:
    """Whether each is about days of its own: "on Mondays I work at the bakery"."""
    days = [one.words[1:2] if one.words[0] == "on" else () for one in (old, new)]
    return all(days) and days[0] != days[1]


def _leaves(old: Statement, new: Statement) -> bool:
    """Whether the new one says that what the old one says holds no longer, and what does now."""
    said = {word for word in old.words if word not in EMPTY}
    if not set(new.words) - said - EMPTY:
        return False
    for place, word in enumerate(new.words):
        if word in (old.values or said):
            before = " ".join(new.words[max(0, place - _GAP - 1) : place])
            after = " ".join(new.words[place + 1 : place + _GAP + 1])
            # "I'm not going": without a name or a number, that is about something else.
            left = LEAVING.search(before)
            if (left and (old.values or left[0] != "not")) or LEFT.search(after):
                return True
    return False


def _other_value(old: Statement, new: Statement) -> bool:
    """Whether they are about the same, and the new one has another value of the same kind."""
    shared = old.subject & new.subject
    if not shared:
        return False
    if not old.values and not new.values:
        both = new.holds and is_own(old) and is_own(new)
        alike = len(shared) >= _SHARED * max(len(old.subject), len(new.subject))
        return both and alike and bool(new.subject - old.subject)
    return any(
        {one for one in old.values if is_number(one) is numbers}
        and {one for one in new.values - old.values if is_number(one) is numbers}
        for numbers in (True, False)
    )
