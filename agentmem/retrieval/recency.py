"""Recency: of memories that answer a question and contradict each other, the newest comes first.

Most contradictions have a link, see `agentmem.retrieval.succession`; this is for those that were
not seen when they were added, because only the question tells that both are about the same ("I'm
with Tessel", "my new badge arrived: Halden Foods"). The question has to ask how something is or
was: "who do I work for?", "what time is the stand-up?". Among the best few hits, those are put in
order of which one supersedes another, see `agentmem.retrieval.supersession`; all else stays where
it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, permutations

from agentmem.retrieval.fusion import TIMELY, Weights
from agentmem.retrieval.held import Pair, in_order
from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.question import Question
from agentmem.retrieval.repeats import Group
from agentmem.retrieval.supersession import (
    LEAST_ALIKE,
    LEAST_NEAR,
    Asked,
    Candidate,
    Wording,
    least_probability,
    probability,
    signals,
)
from agentmem.retrieval.tense import When, are_keywords, when_asked
from agentmem.statements.compare import is_about
from agentmem.statements.read import is_first_person, is_of_now
from agentmem_storage.patterns import unicode_pattern
from agentmem_storage.records import Said
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.timestamps import DAY_MICROS

# Exact texts and embeddings of chunks by id, without damaged ones.
ReadWordings = Callable[[Sequence[int]], Mapping[int, Wording]]

# The best hits that are compared.
COMPARED_BY_TIME = 6
# From which probability on a pair is relevant to the same questions: if it is more likely than not.
_LIKELY = 0.5
_MOST_WORDS = 9
# Words of questions about what happens or is said.
_EVENT = unicode_pattern(
    r"(?i)\b(?:when|while|after|if|that|because|during|to|from|think|say|said|tell|told|talk\w*|ask\w*"
    r"|happen\w*|why|how (?:does|is)|going|doing|feel\w*)\b",
)
_WORD = unicode_pattern(r"[\p{L}\p{M}\d'’-]+")


def by_recency(
    snapshot: Snapshot,
    groups: Sequence[Group],
    query: RecallQuery,
    question: Question,
    read: ReadWordings,
    *,
    slots: bool,
) -> list[Group]:
    """The hits, with those in the right order that contradict each other.

    Args:
        snapshot: The state of the store.
        groups: The best hits, best first.
        query: The query.
        question: What it asks.
        read: Reads the wordings of the few that are compared.
        slots: Whether slots count: they are those of one embedder.
    """
    # "Tea yesterday" is about that day.
    keywords = question.interval is None and are_keywords(question.unbound)
    latest = query.prefer == "latest" or keywords
    when = When.NOW if latest else when_asked(question.unbound)
    applies = query.mode == "hybrid" and query.prefer != "any" and when is not When.UNKNOWN
    if not applies or not asks_how_it_is(question.text):
        return list(groups)
    found = candidates(snapshot, groups, read, slots=slots)
    asked = Asked.of(question.text, question.embedding if slots else None)
    likely = {
        (old, new): _probability(asked, old, new, found)
        for old, new in may_supersede(found)
        if is_about(question.text, old.wording.text, new.wording.text, asked.readings)
        # Who looks for "Paris" wants no "I moved to Rome".
        and (not keywords or len(asked.told & new.stems) >= len(asked.told & old.stems))
        # "Had lunch in Toledo" says what happened then; nothing takes its place.
        and (question.interval is None or old.statement or not asked.told.isdisjoint(new.stems))
    }
    least = least_probability()
    pairs = {pair: one for pair, one in likely.items() if one >= least}
    linked = _ids(pair for pair, one in pairs.items() if one >= _LIKELY)
    by_id = {group.item.id: group._replace(linked=group.item.id in linked) for group in groups}
    placed = list(groups)
    for joined in _joined(pairs):
        compared = [one for one in found if one.id in _ids(joined)]
        order = in_order(compared, {pair: pairs[pair] for pair in joined}, when, question)
        untimed = when is When.BEFORE and question.interval is not None
        placed = _placed(placed, [by_id[one.id] for one in order], untimed=untimed)
    return _descending(placed) if pairs else placed


def _probability(asked: Asked, old: Candidate, new: Candidate, found: Sequence[Candidate]) -> float:
    """How likely the later one supersedes the earlier one; 0 if it is far from the question."""
    seen = signals(asked, old, new, found)
    if new.vector < LEAST_NEAR and seen.alike < LEAST_ALIKE:
        return 0.0
    return probability(seen, slots=asked.slot is not None)


def asks_how_it_is(question: str) -> bool:
    """Whether a question is about a state, and not about what happened or was said."""
    if is_first_person(question):
        return True
    words = _WORD.findall(question)
    return len(words) <= _MOST_WORDS and not _EVENT.search(" ".join(words[1:]))


def candidates(
    snapshot: Snapshot, groups: Sequence[Group], read: ReadWordings, *, slots: bool
) -> list[Candidate]:
    """Those of the best hits that state something; none if all were said within a day.

    Args:
        snapshot: The state of the store.
        groups: The best hits, best first.
        read: Reads their wordings.
        slots: Whether slots count.
    """
    items = [group.item for group in groups[:COMPARED_BY_TIME]]
    said = snapshot.said(item.id for item in items)
    times = [said[item.id].created_at for item in items]
    if len(times) < 2 or max(times) - min(times) < DAY_MICROS:
        return []
    wordings = read([item.id for item in items])
    return [
        Candidate.of(
            item.id, item.vector, item.lexical, said[item.id], wordings[item.id], slots=slots
        )
        for item in items
        if item.id in wordings and "?" not in wordings[item.id].text
    ]


def may_supersede(found: Sequence[Candidate]) -> list[Pair]:
    """Pairs of an older and a newer one that the same speaker said on different days.

    What the newer one says may hold now.
    """
    return [
        (old, new)
        for old, new in permutations(found, 2)
        if new.said.created_at - old.said.created_at >= DAY_MICROS
        and _speaker(old.said) == _speaker(new.said)
        and is_of_now(new.wording.text)
    ]


def _joined(pairs: Iterable[Pair]) -> list[list[Pair]]:
    """The pairs, apart by what they are about: those with a memory in common are together.

    Two weights may contradict each other, and so may two diets, but that puts no weight before a
    diet.
    """
    found: list[list[Pair]] = []
    for pair in pairs:
        ids = {one.id for one in pair}
        touching = [one for one in found if not ids.isdisjoint(_ids(one))]
        apart = [one for one in found if ids.isdisjoint(_ids(one))]
        found = [*apart, [*chain.from_iterable(touching), pair]]
    return found


def _ids(pairs: Iterable[Pair]) -> set[int]:
    return {one.id for one in chain.from_iterable(pairs)}


def _speaker(said: Said) -> tuple[str | None, ...]:
    return said.kind, said.role, said.name, said.title, said.user_id, said.agent_id


def _placed(groups: Sequence[Group], ordered: Sequence[Group], *, untimed: bool) -> list[Group]:
    """The hits, with some of them in a given order in the place of the first of these.

    Args:
        groups: The hits, best first.
        ordered: Some of them.
        untimed: Whether these need not be of the time that the question names, because they say
            how it was then: they come before what else is of that time and fits little better.
    """
    ids = {group.item.id for group in ordered}
    first = next(place for place, group in enumerate(groups) if group.item.id in ids)
    best = max(_evidence(group) for group in ordered)
    while untimed and first and groups[first - 1].item.time:
        if TIMELY * _evidence(groups[first - 1]) > best:
            break
        first -= 1
    rest = [group for group in groups if group.item.id not in ids]
    return [*rest[:first], *ordered, *rest[first:]]


def _evidence(group: Group) -> float:
    weights, item = Weights(), group.item
    own = weights.lexical * item.lexical + weights.vector * item.vector
    return weights.evidence(own, item.neighbors)


def _descending(groups: Sequence[Group]) -> list[Group]:
    """The hits, none with a lower score than those behind it."""
    found: list[Group] = []
    least = 0.0
    for group in reversed(groups):
        least = max(least, group.item.score)
        found.append(group._replace(item=group.item._replace(score=least)))
    return found[::-1]
