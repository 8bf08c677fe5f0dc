"""Succession: which of several memories that supersede each other comes first.

If a question is about now, the newest comes first, directly before those that it supersedes, also
if the search did not find it: "I moved to Rome" has no word of "where do I live?". If it is about
before, or names a time, that comes first which held then. All else stays where it is.

A link that somebody stated always counts; a candidate, which was found by comparing two memories,
counts if its score is high enough, and if the question's tense tells what is wanted. Of keywords
("wifi password"), it counts if the newer one has about as many of them as the older one: who looks
for "Paris" wants no "I moved to Rome". "Where did I live after Berlin?" wants newer ones: the
newest first if the link was stated, and otherwise as `agentmem.retrieval.held` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agentmem.retrieval.fusion import Scored
from agentmem.retrieval.held import boundary
from agentmem.retrieval.query import RecallQuery
from agentmem.retrieval.question import Question
from agentmem.retrieval.repeats import Group
from agentmem.retrieval.supersession import LEAST_NEAR
from agentmem.retrieval.tense import When, are_keywords, asks_after, when_asked
from agentmem.statements.compare import SAME_KIND
from agentmem_storage.records import Link, Linked
from agentmem_storage.snapshot import Snapshot

# The least score of a candidate that decides an order.
LEAST_SCORE = 0.5
# Of the weight of the keywords that the older one has, what the newer one must have.
_LEAST_SHARE = 0.75


def in_succession(
    snapshot: Snapshot,
    groups: Sequence[Group],
    scored: Sequence[Scored],
    query: RecallQuery,
    question: Question,
    *,
    settled: bool = False,
) -> list[Group]:
    """The best hits with those that supersede them, or held before them, in the right order.

    What is moved up, or was not found, gets the score of the hit that it precedes; if it is certain
    that it is linked with that, it is relevant to the same questions.

    Args:
        snapshot: The state of the store.
        groups: The best hits, best first.
        scored: All candidates of the search.
        query: The query.
        question: What it asks.
        settled: Whether the hits are in order beside the memory that the question names, "before
            SAP"; then only links that somebody stated count.
    """
    after = query.prefer != "latest" and asks_after(question.unbound)
    latest = query.prefer == "latest" or after
    when = When.NOW if latest else when_asked(question.unbound)
    linked = snapshot.linked(group.item.id for group in groups)
    if query.prefer == "any" or not linked.links:
        return list(groups)
    keywords = are_keywords(question.unbound)
    tells = when is not When.UNKNOWN or question.interval is not None or keywords
    links = _likely(linked, scored)
    if after or settled or not tells:
        links = [one for one in links if one.score is None]
    elif keywords:
        links = _with_keywords(snapshot, query, question, linked, links)
    chains = _Chains(linked, links)
    placing = _Placing(snapshot, groups, scored, query, question, chains)
    return list(placing.order(_Choice.of(when, query, question, chains)))


def _likely(linked: Linked, scored: Sequence[Scored]) -> list[Link]:
    """The links that were stated, and the candidates that count.

    Where no word tells that both are about the same, the question has to be near the newer one,
    too: "I bench 80 kg now" is no answer to "what is my shoe size?".
    """
    near = {item.id for item in scored if item.vector >= LEAST_NEAR}
    return [
        one
        for one in linked.links
        if _is_certain(one)
        or (
            one.score is not None
            and one.score >= LEAST_SCORE
            and not near.isdisjoint(linked.chunk_ids[one.new])
        )
    ]


def _is_certain(link: Link) -> bool:
    """Whether somebody stated it, or the words tell it."""
    return link.score is None or link.score >= SAME_KIND


def _with_keywords(
    snapshot: Snapshot,
    query: RecallQuery,
    question: Question,
    linked: Linked,
    links: Sequence[Link],
) -> list[Link]:
    """The links that were stated, and those whose newer one has about as many of the keywords."""
    ids = [id for own in linked.chunk_ids.values() for id in own]
    weights = snapshot.word_matches(question.words, ids, query.selection.scope).found

    def weight(source: int) -> float:
        return max((weights[id] for id in linked.chunk_ids[source]), default=0.0)

    return [
        one
        for one in links
        if one.score is None or weight(one.new) >= _LEAST_SHARE * weight(one.old)
    ]


class _Chains:
    """Who supersedes whom, directly or not."""

    def __init__(self, linked: Linked, links: Iterable[Link]) -> None:
        self.chunk_ids, self.created_at = linked.chunk_ids, linked.created_at
        self.source_of = {id: one for one, ids in linked.chunk_ids.items() for id in ids}
        links = list(links)
        self.newer = self._newer(links)
        self.older: dict[int, set[int]] = {id: set() for id in linked.chunk_ids}
        for id, newer in self.newer.items():
            for one in newer:
                self.older[one].add(id)
        self._certain = self._newer(filter(_is_certain, links))

    def _newer(self, links: Iterable[Link]) -> dict[int, set[int]]:
        direct: dict[int, set[int]] = {id: set() for id in self.chunk_ids}
        for link in links:
            direct[link.old].add(link.new)
        return {id: _closure(id, direct) for id in direct}

    def are_certain(self, one: int, other: int) -> bool:
        """Whether it is certain that one of two sources supersedes the other."""
        return other in self._certain[one] or one in self._certain[other]

    def newest_first(self, ids: set[int]) -> list[int]:
        """Sources such that none stands behind one that it supersedes."""
        return sorted(ids, key=lambda id: (len(self.newer[id]), -self.created_at[id], -id))


def _closure(start: int, direct: Mapping[int, set[int]]) -> set[int]:
    found: set[int] = set()
    left = [start]
    while left:
        fresh = direct[left.pop()] - found
        found |= fresh
        left += fresh
    return found


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which sources come before another.

    Attributes:
        chains: Who supersedes whom.
        when: What time the question is about.
        since: Beginning of the time that it names; None if it is open.
        until: Its end.
        named: Whether it names a time.
    """

    chains: _Chains
    when: When
    since: datetime | None
    until: datetime | None
    named: bool

    @classmethod
    def of(cls, when: When, query: RecallQuery, question: Question, chains: _Chains) -> _Choice:
        """What a question wants."""
        interval = None if query.prefer == "latest" else question.interval
        if interval is None:
            return cls(chains, when, None, None, named=False)
        return cls(chains, when, interval.since, interval.until, named=True)

    def ahead(self, source: int, found: set[int], present: set[int]) -> list[int]:
        """The sources that come before one, in order.

        Args:
            source: The one.
            found: Those that the search found; of the others, only the newest come.
            present: Those that the query does not exclude.
        """
        newer, older = self.chains.newer[source], self.chains.older[source]
        if self.named:
            wanted = set() if self._held(source) else set(filter(self._held, newer | older))
        elif self.when is When.BEFORE:
            wanted = set() if newer else older
        else:
            wanted = newer
        wanted &= present
        last = {one for one in wanted if not self.chains.newer[one] & wanted}
        return self.chains.newest_first(wanted & found | last)

    def _held(self, source: int) -> bool:
        """Whether what a source says held at some time in the interval."""
        at = self.chains.created_at
        since, until = self.since, self.until
        begun = until is None or at[source] < boundary(until, at[source])
        newer = self.chains.newer[source]
        ended = since is not None and any(at[one] <= boundary(since, at[one]) for one in newer)
        return begun and not ended


class _Placing:
    """Puts hits in order."""

    def __init__(
        self,
        snapshot: Snapshot,
        groups: Sequence[Group],
        scored: Sequence[Scored],
        query: RecallQuery,
        question: Question,
        chains: _Chains,
    ) -> None:
        self._snapshot, self._groups, self._chains = snapshot, groups, chains
        self._question = question
        self._scored = {item.id: item for item in scored}
        ids = [id for chunk_ids in chains.chunk_ids.values() for id in chunk_ids]
        self._allowed = snapshot.matching(ids, query.selection)
        self._present = {chains.source_of[id] for id in self._allowed}
        self._group_of: dict[int, Group] = {}
        for group in groups:
            for id in (group.item.id, *(id for id, _ in group.repeats)):
                if (source := chains.source_of.get(id)) is not None:
                    self._group_of.setdefault(source, group)

    def order(self, choice: _Choice) -> Iterator[Group]:
        """All hits, each after those that come before it."""
        placed: set[int] = set()
        found = set(self._group_of)
        for group in self._groups:
            ahead: list[Group] = []
            source = self._chains.source_of.get(group.item.id)
            if source is not None and group.item.id not in placed:
                chosen = choice.ahead(source, found, self._present)
                ahead = [self._linked(one, source) for one in chosen]
            for one in (*ahead, group):
                if one.item.id not in placed:
                    placed.add(one.item.id)
                    score = max(one.item.score, group.item.score)
                    yield one._replace(item=one.item._replace(score=score))

    def _linked(self, source: int, with_source: int) -> Group:
        group = self._at(source)
        certain = self._chains.are_certain(source, with_source)
        return group._replace(linked=group.linked or certain)

    def _at(self, source: int) -> Group:
        """The hit of a source that the query does not exclude, found or not."""
        if source in self._group_of:
            return self._group_of[source]
        ids = [id for id in self._chains.chunk_ids[source] if id in self._allowed]
        best = ids[0]
        if len(ids) > 1 and self._question.embedding is not None:
            ranked = self._snapshot.cosines(self._question.embedding, ids)
            best = int(ranked.ids[0]) if len(ranked.ids) else best
        self._group_of[source] = Group(self._scored.get(best) or Scored(best), ())
        return self._group_of[source]
