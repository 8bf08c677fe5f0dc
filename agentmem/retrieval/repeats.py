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
from agentmem_storage.store import Store

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


def search_distinct(store: Store, find: Callable[[int], Ranked], limit: int) -> Ranked:
    """Run a search, again with a higher limit if more than half of what it finds are repeats.

    Args:
        store: The open store.
        find: The search, given the maximum number of results.
        limit: The maximum number to begin with.
    """
    found = find(limit)
    while len(found.ids) >= limit and limit < _MAX_CANDIDATES:
        said = store.said(found.ids.tolist())
        if len({_key(one) for one in said.values()}) > limit // 2:
            break
        limit *= _MORE
        found = find(limit)
    return found


def group_repeats(store: Store, scored: Sequence[Scored]) -> list[Group]:
    """The best of each group of repeats, in the given order.

    Raises:
        UnknownIdError: a chunk has been forgotten in the meantime.
    """
    said = store.said([item.id for item in scored])
    groups: dict[object, list[Scored]] = {}
    for item in scored:
        groups.setdefault(_key(said[item.id]), []).append(item)
    return [
        Group(best, tuple(sorted(((one.id, said[one.id].created_at) for one in others), key=_time)))
        for best, *others in groups.values()
    ]


def _key(said: Said) -> object:
    """Equal for equal words of one speaker, to the same user and agent, in any session."""
    return said.text_hash, said.speaker, said.scope.user_id, said.scope.agent_id


def _time(repeat: tuple[int, datetime]) -> tuple[datetime, int]:
    return repeat[1], repeat[0]
