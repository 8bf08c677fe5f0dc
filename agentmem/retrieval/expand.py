"""What stands beside a hit and comes with it: its neighbors, or its episode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agentmem.retrieval.query import Expand
from agentmem_storage.records import Selection
from agentmem_storage.store import Store

# The chunks on one side of another, the nearest first; None for what may not be seen.
Side = tuple[int | None, ...]
# Chunks of its episode that one hit brings, the nearest: an episode has up to twice as many.
MOST = 16


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside chunks, as far as a selection lets it through.

    Attributes:
        sides: What was written before each and after it, by id.
        tokens: How many tokens each has and each of its neighbors, by id.
    """

    sides: dict[int, tuple[Side, Side]]
    tokens: dict[int, int]


def expand(
    store: Store, found: Sequence[int], by: Expand, selection: Selection
) -> dict[int, list[int]]:
    """The chunks that each found one brings; none twice, and none that was found itself.

    - ``neighbors``: the chunks written before and after it in its scope;
    - ``episode``: the others of its episode, but no more than the `MOST` nearest.

    Args:
        store: Where they are.
        found: Ids of chunks, the best first: what two could bring, the better brings.
        by: Which.
        selection: What may be brought.

    Returns:
        By found id, ids of chunks as they were written.

    Raises:
        UnknownIdError: a chunk has been forgotten meanwhile.
    """
    if by == "neighbors":
        sides = neighbors(store, found, selection).sides
        beside = {id: [*visible(before), *visible(after)] for id, (before, after) in sides.items()}
    else:
        episodes = store.episodes(found)
        allowed = _allowed(store, {one for ids in episodes.values() for one in ids}, selection)
        beside = {id: _nearest(id, ids, allowed) for id, ids in episodes.items()}
    taken = set(found)
    brought = {}
    for id in found:
        brought[id] = [one for one in beside[id] if one not in taken]
        taken.update(brought[id])
    return brought


def neighbors(store: Store, ids: Iterable[int], selection: Selection, reach: int = 1) -> Beside:
    """The chunks before each and after it, None where the selection lets none through."""
    beside = store.neighbors(sorted(ids), reach)
    around = {one for sides in beside.sides.values() for side in sides for one in side}
    allowed = _allowed(store, around, selection)

    def shown(side: tuple[int, ...]) -> Side:
        return tuple(one if one in allowed else None for one in side)

    sides = {id: (shown(before), shown(after)) for id, (before, after) in beside.sides.items()}
    return Beside(sides, beside.tokens)


def visible(side: Side) -> list[int]:
    """What a selection lets through."""
    return [one for one in side if one is not None]


def _allowed(store: Store, ids: set[int], selection: Selection) -> set[int]:
    """Those that a selection lets through, all of them chunks of scopes that it does."""
    if selection == Selection(scope=selection.scope):
        return ids
    return set(store.ids(replace(selection, ids=tuple(sorted(ids)))).tolist())


def _nearest(id: int, episode: Sequence[int], allowed: set[int]) -> list[int]:
    """The allowed chunks that stand nearest to one, by ascending id; of two, the earlier."""
    place = episode.index(id)
    others = [at for at, one in enumerate(episode) if at != place and one in allowed]
    others.sort(key=lambda at: (abs(at - place), at))
    return [episode[at] for at in sorted(others[:MOST])]
