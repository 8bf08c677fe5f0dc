"""Which of several memories that contradict each other held at the time that a question is about.

"Where do I live?" wants the newest. "Where did I live in May?" wants the newest of those said until
then, "where did I live before Lisbon?" the one before what says that, and "where did I live
before?" the last but one. What is compared may have something else among it: "Had lunch in Toledo"
stands out like "I moved to Lisbon", but contradicts no other of them. It comes behind those of
which each contradicts each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import TypeAlias

from agentmem.retrieval.question import Question
from agentmem.retrieval.supersession import Candidate
from agentmem.retrieval.tense import When
from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.timestamps import DAY_MICROS, to_micros
from agentmem_storage.words import index_text, phrases

# An older memory, and a newer one that may supersede it.
Pair: TypeAlias = tuple[Candidate, Candidate]

# How near to the question, of what certainly held beside a memory, anything else has to be.
_AS_NEAR = 0.65
# The end of a question that says before or after what: "before I moved to Lisbon".
_BESIDE = unicode_pattern(r"(?i)\b(?P<side>before|prior to|after)\s+(?P<what>[^,;]+)\Z")
_AT_FIRST = unicode_pattern(
    r"(?i)\b(?:first|originally|initially|original|initial|oldest|earliest)\b"
)


def in_order(
    ranked: Sequence[Candidate],
    pairs: Mapping[Pair, float],
    when: When,
    question: Question,
) -> list[Candidate]:
    """Memories that contradict each other in the order in which they answer a question.

    Args:
        ranked: The memories, best first.
        pairs: Which may supersede which, and how likely that is.
        when: What time the question is about.
        question: The question.
    """
    interval, agreed = question.interval, _each_with_each(pairs)
    named = None if when is When.NOW else _named(question.text, ranked)
    if named is None and interval is not None and interval.until is not None:
        end = interval.until
        held = [one for one in ranked if _began_before(one, end)]
        wanted = [one for one in _newest_first(agreed) if _began_before(one, end)]
        return _first(_first(wanted, held), ranked)
    if when is When.NOW:
        newer = {new.id for _, new in pairs}
        return _first([one for one in _newest_first(ranked) if one.id in newer], ranked)
    if named is not None:
        side, one = named
        return _beside(ranked, agreed, one, after=side == "after")
    wanted, last = _newest_first(agreed)[1:], _newest_first(ranked)[0]
    if _AT_FIRST.search(question.text):
        wanted = wanted[::-1]
    return _first([one for one in wanted if one is not last], ranked, last=last)


def boundary(end: datetime, said: int) -> int:
    """The beginning or end of a time, as it is for what was said at some moment.

    What has only a date, which is stored as midnight in UTC, has it in every zone.

    Args:
        end: Midnight of a day, or a time of it.
        said: When it was said, in microseconds since 1970.

    Returns:
        In microseconds since 1970.
    """
    if said % DAY_MICROS == 0 and end.time() == time():
        end = end.replace(tzinfo=UTC)
    return to_micros(end, "a time")


def _began_before(one: Candidate, end: datetime) -> bool:
    return one.said.created_at < boundary(end, one.said.created_at)


def names_beside(question: str) -> bool:
    """Whether a question says before or after what: "where did I work before SAP?"."""
    return _BESIDE.search(question.rstrip(" ?!.")) is not None


def _beside(
    ranked: Sequence[Candidate], agreed: Sequence[Candidate], named: Candidate, *, after: bool
) -> list[Candidate]:
    """What held before or after a memory, the nearest in time first; then that memory, and others.

    Of three jobs, the second is not always seen to supersede the first, or to be superseded by the
    last. It counts if it is about as near to the question as what is.
    """
    at = named.said.created_at

    def on_side(found: Sequence[Candidate]) -> list[Candidate]:
        return [one for one in found if (one.said.created_at - at) * (1 if after else -1) > 0]

    sure, side = on_side(agreed), on_side(ranked)
    least = _AS_NEAR * min((one.vector for one in sure), default=math.inf)
    ids = {one.id for one in sure}
    wanted = _newest_first([one for one in side if one.id in ids or one.vector >= least])
    there = _first(wanted[::-1] if after else wanted, side)
    return _first([*there, named], ranked)


def _first(
    wanted: Sequence[Candidate], ranked: Sequence[Candidate], last: Candidate | None = None
) -> list[Candidate]:
    """Some memories, then the others as they are ranked, and one of those at the end."""
    ids = {one.id for one in wanted}
    rest = [one for one in ranked if one.id not in ids and one is not last]
    return [*wanted, *rest, *([] if last is None else [last])]


def _newest_first(found: Sequence[Candidate]) -> list[Candidate]:
    return sorted(found, key=lambda one: (-one.said.created_at, -one.id))


def _each_with_each(pairs: Mapping[Pair, float]) -> list[Candidate]:
    """Memories of which each may supersede, or be superseded by, each other one.

    They are the most likely pair, and what goes with all of them, the likeliest first.
    """
    known = {frozenset((old.id, new.id)) for old, new in pairs}
    found: list[Candidate] = []
    for pair in sorted(pairs, key=lambda pair: -pairs[pair]):
        for one in pair:
            new = all(one is not other for other in found)
            if new and all(frozenset((one.id, other.id)) in known for other in found):
                found.append(one)
    return found


def _named(question: str, ranked: Sequence[Candidate]) -> tuple[str, Candidate] | None:
    """The memory that a question says what it asks is before or after, and which of both.

    It is the one that has most of the words behind "before"; None if several have as many.
    """
    match = _BESIDE.search(question.rstrip(" ?!."))
    if match is None:
        return None
    words = set(" ".join(phrases(match["what"])).split())
    shared = [len(words.intersection(index_text(one.wording.text).split())) for one in ranked]
    most = max(shared)
    if not most or shared.count(most) > 1:
        return None
    side = "after" if match["side"].lower() == "after" else "before"
    return side, ranked[shared.index(most)]
