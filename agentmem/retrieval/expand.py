"""Neighbors and episodes: the chunks around a hit, for scoring and for ``expand=``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agentmem.retrieval.query import Expand
from agentmem_storage.records import Selection
from agentmem_storage.store import Store

# The chunks on one side of another, nearest first; None for those outside the selection.
Side = tuple[int | None, ...]
# The most chunks of its episode that one hit adds, nearest first; an episode has up to twice as
# many.
MAX_FROM_EPISODE = 16


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """The neighbors of chunks, as far as they match a selection.

    Attributes:
        sides: By chunk id, the chunks written before it and after it.
        tokens: By id, the number of tokens of each chunk and each neighbor.
    """

    sides: dict[int, tuple[Side, Side]]
    tokens: dict[int, int]


def expand(
    store: Store, found: Sequence[int], by: Expand, selection: Selection
) -> dict[int, list[int]]:
    """The chunks that each found chunk adds: none twice, and none that was found itself.

    - ``neighbors``: the chunks written before and after it in its scope;
    - ``episode``: the others of its episode, at most the `MAX_FROM_EPISODE` nearest.

    Args:
        store: The open store.
        found: Ids of chunks, best first; a chunk near several of them is added by the best.
        by: The kind of expansion.
        selection: Which chunks may be added.

    Returns:
        By found id, ids of chunks in the order they were written.

    Raises:
        UnknownIdError: a chunk has been forgotten in the meantime.
    """
    if by == "neighbors":
        sides = find_neighbors(store, found, selection).sides
        nearby = {id: [*present(before), *present(after)] for id, (before, after) in sides.items()}
    else:
        episodes = store.episodes(found)
        allowed = _allowed(store, {one for ids in episodes.values() for one in ids}, selection)
        nearby = {id: _nearest(id, ids, allowed) for id, ids in episodes.items()}
    taken = set(found)
    added = {}
    for id in found:
        added[id] = [one for one in nearby[id] if one not in taken]
        taken.update(added[id])
    return added


def find_neighbors(
    store: Store, ids: Iterable[int], selection: Selection, reach: int = 1
) -> Neighborhood:
    """The chunks before and after each; None in place of those outside the selection."""
    stored = store.neighbors(sorted(ids), reach)
    around = {one for sides in stored.sides.values() for side in sides for one in side}
    allowed = _allowed(store, around, selection)

    def filtered(side: tuple[int, ...]) -> Side:
        return tuple(one if one in allowed else None for one in side)

    sides = {
        id: (filtered(before), filtered(after)) for id, (before, after) in stored.sides.items()
    }
    return Neighborhood(sides, stored.tokens)


def present(side: Side) -> list[int]:
    """The chunks of a side that match the selection."""
    return [one for one in side if one is not None]


def _allowed(store: Store, ids: set[int], selection: Selection) -> set[int]:
    """The ids that match a selection; all of them already belong to its scope."""
    if selection == Selection(scope=selection.scope):
        return ids
    return set(store.ids(replace(selection, ids=tuple(sorted(ids)))).tolist())


def _nearest(id: int, episode: Sequence[int], allowed: set[int]) -> list[int]:
    """The allowed chunks nearest to one, by ascending id; of two equally near, the earlier."""
    index = episode.index(id)
    others = [at for at, one in enumerate(episode) if at != index and one in allowed]
    others.sort(key=lambda at: (abs(at - index), at))
    return [episode[at] for at in sorted(others[:MAX_FROM_EPISODE])]
