"""Neighbors and episodes: the chunks around a hit, for scoring and for ``expand=``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentmem.retrieval.conversation import REACH, conversation, follow
from agentmem.retrieval.query import Expand
from agentmem_storage.records import Selection, Sides, Turn
from agentmem_storage.snapshot import Snapshot

# The chunks on one side of another, nearest first; None for those outside the selection.
Side = tuple[int | None, ...]
# The most chunks of its episode that one hit adds, nearest first; an episode has up to twice as
# many.
MAX_FROM_EPISODE = 16


@dataclass(frozen=True, slots=True)
class Neighborhood:
    """The conversations around chunks, as far as they match a selection.

    Attributes:
        sides: By chunk id, the turns before it and after it; empty for what stands alone.
        turns: By id, at least, what is known of each chunk and each of these turns.
    """

    sides: dict[int, tuple[Side, Side]]
    turns: dict[int, Turn]


class Surroundings:
    """The order in which things were said around the chunks of one recall, read as it is needed."""

    def __init__(self, snapshot: Snapshot, selection: Selection) -> None:
        """Nothing is read yet.

        Args:
            snapshot: The state of the store.
            selection: Which chunks may be neighbors.
        """
        self._snapshot, self._selection = snapshot, selection
        self._sides: dict[int, tuple[Side, Side]] = {}
        self._turns: dict[int, Turn] = {}
        # The next of each chunk, and the one before it; None at the ends of a scope.
        self._after: dict[int, int | None] = {}
        self._before: dict[int, int | None] = {}

    def near(self, ids: Iterable[int]) -> Neighborhood:
        """The turns of the conversation of each; None in place of those that are not selected.

        Raises:
            UnknownIdError: no chunk has one of the ids.
        """
        wanted = sorted(ids)
        if missing := [id for id in wanted if id not in self._sides]:
            # One more than asked for, so that the farthest have known neighbors too.
            found = self._find(missing, REACH + 1)
            sides = {id: conversation(id, around, self._turns) for id, around in found.items()}
            allowed = self._allowed(
                {one for pair in sides.values() for side in pair for one in side}
            )
            for id, (before, after) in sides.items():
                self._sides[id] = (
                    tuple([one if one in allowed else None for one in before]),
                    tuple([one if one in allowed else None for one in after]),
                )
        return Neighborhood({id: self._sides[id] for id in wanted}, self._turns)

    def next_to(self, ids: Iterable[int]) -> dict[int, tuple[int | None, int | None]]:
        """The selected chunk directly before each, and the one directly after it.

        Raises:
            UnknownIdError: no chunk has one of the ids.
        """
        wanted = list(ids)
        if missing := [id for id in wanted if id not in self._before or id not in self._after]:
            self._find(missing, 1)
        pairs = {id: (self._before[id], self._after[id]) for id in wanted}
        allowed = self._allowed({one for pair in pairs.values() for one in pair if one is not None})
        return {
            id: (before if before in allowed else None, after if after in allowed else None)
            for id, (before, after) in pairs.items()
        }

    def beside(self, ids: Iterable[int]) -> dict[int, tuple[int | None, int | None]]:
        """Of the conversation of each, the selected turn directly before it and the one after it.

        Raises:
            UnknownIdError: no chunk has one of the ids.
        """
        found = {}
        for id, pair in self.next_to(ids).items():
            if id in self._sides:
                before, after = (next(iter(side), None) for side in self._sides[id])
            else:
                # It was found as a neighbor, so it is of a conversation.
                before, after = (
                    one if one is not None and follow(self._turns[id], self._turns[one]) else None
                    for one in pair
                )
            found[id] = before, after
        return found

    def _find(self, ids: Sequence[int], reach: int) -> dict[int, Sides]:
        found = self._snapshot.neighbors(ids, reach, self._selection.scope)
        self._turns |= found.turns
        for id, (before, after) in found.sides.items():
            _link(id, before, reach, self._before, self._after)
            _link(id, after, reach, self._after, self._before)
        return found.sides

    def _allowed(self, ids: set[int]) -> set[int]:
        """The ids that match the selection; all of them already belong to its scope."""
        if self._selection == Selection(scope=self._selection.scope):
            return ids
        return self._snapshot.matching(ids, self._selection)


def _link(
    id: int,
    side: tuple[int, ...],
    reach: int,
    onwards: dict[int, int | None],
    back: dict[int, int | None],
) -> None:
    """Note the order of a chunk and those on one side of it."""
    at = id
    for one in side:
        onwards[at], back[one] = one, at
        at = one
    if len(side) < reach:
        onwards[at] = None


def expand(
    snapshot: Snapshot,
    surroundings: Surroundings,
    found: Sequence[int],
    by: Expand,
    selection: Selection,
) -> dict[int, list[int]]:
    """The chunks that each found chunk adds: none twice, and none that was found itself.

    - ``neighbors``: the chunks written before and after it in its scope;
    - ``episode``: the others of its episode, at most the `MAX_FROM_EPISODE` nearest.

    Args:
        snapshot: The state of the store.
        surroundings: What is near the candidates.
        found: Ids of chunks, best first; a chunk near several of them is added by the best.
        by: The kind of expansion.
        selection: Which chunks may be added.

    Returns:
        By found id, ids of chunks in the order they were written.
    """
    if by == "neighbors":
        nearby = {id: present(pair) for id, pair in surroundings.next_to(found).items()}
    else:
        episodes = snapshot.episodes(found)
        mates = {one for ids in episodes.values() for one in ids}
        allowed = snapshot.matching(mates, selection)
        nearby = {id: _nearest(id, ids, allowed) for id, ids in episodes.items()}
    taken = set(found)
    added = {}
    for id in found:
        added[id] = [one for one in nearby[id] if one not in taken]
        taken.update(added[id])
    return added


def present(side: Side) -> list[int]:
    """The chunks of a side that match the selection."""
    return [one for one in side if one is not None]


def _nearest(id: int, episode: Sequence[int], allowed: set[int]) -> list[int]:
    """The allowed chunks nearest to one, by ascending id; of two equally near, the earlier."""
    index = episode.index(id)
    others = [at for at, one in enumerate(episode) if at != index and one in allowed]
    others.sort(key=lambda at: (abs(at - index), at))
    return [episode[at] for at in sorted(others[:MAX_FROM_EPISODE])]
