"""Cues to look up by: a few tokens that stand in one place, and often are hard to go on from.

Text repeats itself: rows of a table, fields of a record, lines of a log. A reader that goes on from
the last few tokens alone ends up in another row. So some cues are chosen for what follows them:
words that stand elsewhere too, with something else behind them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
# Tokens of a cue, and how many follow it: from the first to below the second.
_CUE = (4, 10)
_AFTER = (8, 33)
LONGEST_AFTER = _AFTER[1]
# Tokens after which text may fork.
_SHARED = 3
# Cues that one is chosen from.
_DRAWN = 8


class Cues:
    """Cues from the memories of one group.

    Attributes:
        forks: Of each memory, bool (T + 1,): where the same few tokens as before this one stand
            elsewhere before another. The last is behind the memory.
    """

    def __init__(self, memories: Sequence[Ids]) -> None:
        """Find where the memories, (T,) each, fork."""
        self._memories = list(memories)
        ends = np.cumsum([len(memory) + 1 for memory in memories])
        # Every memory ends in what none of them holds: no run of tokens goes from one to the next.
        closed = [np.append(memory, -1) for memory in memories]
        self._all = np.concatenate(closed)
        self.forks = np.split(_forks(self._all), ends[:-1])

    def draw(self, rng: np.random.Generator, chosen: int, *, hard: float) -> tuple[int, int, int]:
        """A cue in one of the memories, and what follows it.

        Args:
            rng: All that chance depends on.
            chosen: Place of the memory.
            hard: How often the cue is the hardest to go on from of several. If that may be, it is
                one that stands nowhere else, where there is one; else it is taken as it comes.

        Returns:
            Where the cue begins, where it ends, and where what follows it ends.
        """
        length = len(self._memories[chosen])
        plain = rng.random() >= hard
        drawn = [self._one(rng, length) for _ in range(_DRAWN if hard else 1)]
        alone = [one for one in drawn if self._stands_once(chosen, *one[:2])] or drawn
        if plain:
            return alone[0]
        forks = self.forks[chosen]
        return max(alone, key=lambda one: int(forks[one[1] : one[2]].sum()))

    def _one(self, rng: np.random.Generator, length: int) -> tuple[int, int, int]:
        cue = min(int(rng.integers(*_CUE)), length - 1)
        start = int(rng.integers(0, length - cue))
        return start, start + cue, min(length, start + cue + int(rng.integers(*_AFTER)))

    def _stands_once(self, chosen: int, start: int, end: int) -> bool:
        cue = self._memories[chosen][start:end]
        windows = np.lib.stride_tricks.sliding_window_view(self._all, len(cue))
        return int((windows == cue).all(1).sum()) == 1


def _forks(ids: Ids) -> NDArray[np.bool_]:
    """Whether what stands before each token stands elsewhere before another one."""
    found = np.zeros(len(ids), dtype=np.bool_)
    if len(ids) <= _SHARED:
        return found
    before = np.lib.stride_tricks.sliding_window_view(ids[:-1], _SHARED)
    _, run = np.unique(before, axis=0, return_inverse=True)
    continued = np.unique(np.stack([run, ids[_SHARED:]], axis=1), axis=0)
    found[_SHARED:] = (np.bincount(continued[:, 0]) > 1)[run] & (before >= 0).all(1)
    return found
