"""Repeats: the same text of the same speaker, said several times.

A recall returns it once, as the best-scored of its repeats, which says when else it was said. So
what is said every day does not take the places of other memories. That holds for the search too: if
repeats fill the candidates, more are fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from agentmem.retrieval.fusion import Scored
from agentmem_storage.records import Ranked, Said
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
    """

    item: Scored
    repeats: tuple[tuple[int, datetime], ...]


def distinct(
    snapshot: Snapshot, find: Callable[[int], Ranked], limit: int, found: Ranked
) -> Ranked:
    """What a search finds, with a higher limit if more than half of it are repeats.

    Args:
        snapshot: The state of the store.
        find: The search, given the maximum number of results.
        limit: The maximum number to begin with.
        found: What the search has found with that.
    """
    while len(found.ids) >= limit and limit < _MAX_CANDIDATES:
        said = snapshot.said(found.ids.tolist())
        if len({_key(said[id]) for id in found.ids.tolist()}) > limit // 2:
            break
        limit *= _MORE
        found = find(limit)
    return found


def group_repeats(snapshot: Snapshot, scored: Sequence[Scored], limit: int) -> list[Group]:
    """The best of each group of repeats, in the given order, up to a number of groups."""
    said = snapshot.said(item.id for item in scored)
    groups: dict[object, list[Scored]] = {}
    for item in scored:
        key = _key(said[item.id])
        if key in groups:
            groups[key].append(item)
        elif len(groups) < limit:
            groups[key] = [item]
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


def _key(said: Said) -> object:
    """Equal for equal words of one speaker, to the same user and agent, in any session."""
    speaker = said.kind, said.role, said.name, said.title
    return said.text_hash, speaker, said.user_id, said.agent_id
