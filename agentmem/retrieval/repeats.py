"""Repeats: the same text of the same speaker, said several times.

A recall returns it once, as the best-scored of its repeats, which says when else it was said. So
what is said every day does not take the places of other memories. That holds for the search too: if
repeats fill the candidates, more are fetched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from agentmem.retrieval.fusion import Scored
from agentmem_storage.records import Ranked, Said, Turn
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.timestamps import from_micros

# Candidates that one search fetches at most, however many of them are repeats.
_MAX_CANDIDATES = 4096
_MORE = 4


class Group(NamedTuple):
    """A candidate with the other times at which the same was said.

    Attributes:
        item: The best-scored of the repeats.
        repeats: Id and time of each of the others, by time.
        linked: Whether it certainly supersedes, or held before, what comes behind it.
    """

    item: Scored
    repeats: tuple[tuple[int, datetime], ...]
    linked: bool = False


def possible_repeats(ids: Iterable[int], turns: Mapping[int, Turn]) -> list[int]:
    """Those of some chunks that may have the text of another one of them.

    Args:
        ids: Chunk ids.
        turns: What is known of chunks; those of which nothing is may be repeats.
    """
    texts = {id: turns[id].text if id in turns else "" for id in ids}
    count = Counter(texts.values())
    return [id for id, text in texts.items() if not text or count[text] > 1]


def distinct(
    snapshot: Snapshot,
    find: Callable[[int], Ranked],
    limit: int,
    found: Ranked,
    turns: Mapping[int, Turn],
) -> Ranked:
    """What a search finds, with a higher limit if more than half of it are repeats.

    Args:
        snapshot: The state of the store.
        find: The search, given the maximum number of results.
        limit: The maximum number to begin with.
        found: What the search has found with that.
        turns: As for `possible_repeats`.
    """
    while len(found.ids) >= limit and limit < _MAX_CANDIDATES:
        if len(set(_keys(snapshot, found.ids.tolist(), turns).values())) > limit // 2:
            break
        limit *= _MORE
        found = find(limit)
    return found


def group_repeats(
    snapshot: Snapshot, scored: Sequence[Scored], limit: int, turns: Mapping[int, Turn]
) -> list[Group]:
    """The best of each group of repeats, in the given order, up to a number of groups.

    Args:
        snapshot: The state of the store.
        scored: Candidates, best first.
        limit: The maximum number of groups.
        turns: As for `possible_repeats`.
    """
    keys = _keys(snapshot, [item.id for item in scored], turns)
    groups: dict[object, list[Scored]] = {}
    for item in scored:
        key = keys[item.id]
        if key in groups:
            groups[key].append(item)
        elif len(groups) < limit:
            groups[key] = [item]
    said = snapshot.said(one.id for _, *others in groups.values() for one in others)
    return [
        Group(
            best,
            tuple(
                (id, from_micros(at))
                for at, id in sorted((said[one.id].created_at, one.id) for one in others)
            ),
        )
        for best, *others in groups.values()
    ]


def _keys(snapshot: Snapshot, ids: Sequence[int], turns: Mapping[int, Turn]) -> dict[int, object]:
    """By id, equal for equal words of one speaker, to the same user and agent, in any session."""
    alike = possible_repeats(ids, turns)
    said = snapshot.said(alike)
    keys: dict[int, object] = {id: id for id in ids}
    return keys | {id: _key(said[id]) for id in alike}


def _key(said: Said) -> object:
    speaker = said.kind, said.role, said.name, said.title
    return said.text_hash, speaker, said.user_id, said.agent_id
