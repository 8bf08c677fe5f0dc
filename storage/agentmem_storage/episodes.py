"""Where one episode of a scope ends and the next begins.

An episode is a run of chunks of one scope that were said in one go about one thing. A chunk begins
a new one if any of these holds:

- a gap in time: it was said more than `GAP` before the episode's first or after its last chunk;
- another topic: its mean cosine with the episode's chunks is below `SHARE` of the mean cosine that
  these have with each other. Asked only of episodes of `SETTLED` chunks and more: fewer do not
  tell how near each other's keys their topic has them;
- the episode is full: it has `MOST` chunks.

The topic rule compares an episode with itself because keys differ, from one model to the next, in
how near to each other those of one topic lie. Its numbers were chosen on dialogues of the corpus's
dev part laid end to end without a gap, for few wrong cuts: where keys are weak, time decides.

Pure functions of keys and times: whoever reads the same rows comes to the same episodes, and it
does not matter whether chunks come in one write or in many.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

GAP: Final = timedelta(minutes=30)
SHARE: Final = 0.65
SETTLED: Final = 3
MOST: Final = 32

_GAP_MICROS: Final = GAP // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """What the rules ask about an episode; K dims of a key.

    Attributes:
        number: Its number in its scope, 1 or more.
        size: How many chunks it has.
        total: Sum of their keys, float64 of shape (K,).
        first: When the earliest of them was said, in microseconds since 1970.
        last: When the latest was.
    """

    number: int
    size: int
    total: NDArray[np.float64]
    first: int
    last: int

    @classmethod
    def begin(cls, number: int, key: NDArray[np.float32], said: int) -> Episode:
        """An episode of one chunk, with its key of shape (K,) and the time it was said."""
        return cls(number, 1, key.astype(np.float64), said, said)

    def joined(self, key: NDArray[np.float32], said: int) -> Episode:
        """The episode with one chunk more."""
        first, last = min(self.first, said), max(self.last, said)
        return Episode(self.number, self.size + 1, self.total + key, first, last)

    def takes(self, key: NDArray[np.float32], said: int) -> bool:
        """Whether a chunk belongs to the episode, by the rules above."""
        near_in_time = self.first - _GAP_MICROS <= said <= self.last + _GAP_MICROS
        return near_in_time and self.size < MOST and self._is_about(key)

    def _is_about(self, key: NDArray[np.float32]) -> bool:
        if self.size < SETTLED:
            return True
        # Both are `size` times a mean cosine: with the chunks, and of the chunks with each other.
        near = float((self.total * key).sum())
        alike = (float((self.total * self.total).sum()) - self.size) / (self.size - 1)
        return near >= SHARE * alike


def assign(last: Episode | None, chunks: Iterable[tuple[NDArray[np.float32], int]]) -> list[int]:
    """Give chunks, in the order in which they are written, their episodes.

    Args:
        last: The scope's last episode; None if it has none.
        chunks: The key of each, float32 of shape (K,) and unit norm, and the time it was said, in
            microseconds since 1970.

    Returns:
        The number of each one's episode.
    """
    numbers = []
    for key, said in chunks:
        if last is None:
            last = Episode.begin(1, key, said)
        elif last.takes(key, said):
            last = last.joined(key, said)
        else:
            last = Episode.begin(last.number + 1, key, said)
        numbers.append(last.number)
    return numbers
