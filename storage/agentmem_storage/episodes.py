"""Episodes: runs of chunks of one scope that are close in time and topic.

A chunk starts a new episode if any of these holds:

- time gap: it was time more than `GAP` before the episode's first or after its last chunk;
- topic change: its mean cosine similarity with the episode's chunks is below `SHARE` of their mean
  similarity with each other. Applied only to episodes of at least `SETTLED` chunks, because fewer
  do not show how similar embeddings within their topic are;
- size: the episode already has `MOST` chunks.

The topic rule compares an episode with itself because models differ in how similar the embeddings
of one topic are. Its constants were chosen on dialogues of the corpus's dev split, concatenated
without time gaps, for few wrong splits: with a weak embedder, time decides.

Pure functions of embeddings and times: the same rows always give the same episodes, and it does not
matter whether chunks are written in one call or in many.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

GAP: Final = timedelta(minutes=30)
SHARE: Final = 0.65
SETTLED: Final = 3
MOST: Final = 32

GAP_MICROS: Final = GAP // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """What the rules need to know about an episode; K dims of an embedding.

    Attributes:
        number: Its number within its scope, from 1.
        size: Number of chunks.
        total: Sum of their embeddings, float64 of shape (K,).
        first: Time of the earliest chunk, in microseconds since 1970.
        last: Time of the latest chunk.
    """

    number: int
    size: int
    total: NDArray[np.float64]
    first: int
    last: int

    @classmethod
    def begin(cls, number: int, embedding: NDArray[np.float32], time: int) -> Episode:
        """An episode of one chunk, given its embedding of shape (K,) and its time."""
        return cls(number, 1, embedding.astype(np.float64), time, time)

    def joined(self, embedding: NDArray[np.float32], time: int) -> Episode:
        """The episode with one more chunk."""
        first, last = min(self.first, time), max(self.last, time)
        return Episode(self.number, self.size + 1, self.total + embedding, first, last)

    def accepts(self, embedding: NDArray[np.float32], time: int) -> bool:
        """Whether a chunk belongs to the episode, by the rules above."""
        return self.near(time) and self.size < MOST and self._matches_topic(embedding)

    def near(self, time: int) -> bool:
        """Whether a time is within `GAP` of the episode."""
        return self.first - GAP_MICROS <= time <= self.last + GAP_MICROS

    def _matches_topic(self, embedding: NDArray[np.float32]) -> bool:
        if self.size < SETTLED:
            return True
        # Both are `size` times a mean cosine: of the new chunk with the others, and among them.
        near = float((self.total * embedding).sum())
        alike = (float((self.total * self.total).sum()) - self.size) / (self.size - 1)
        return near >= SHARE * alike


class Earlier(Protocol):
    """The stored episodes of a scope, for chunks that arrive late."""

    def nearest(self, time: int) -> tuple[int, int] | None:
        """Distance in microseconds and episode of the chunk nearest to a time, within `GAP`."""
        ...

    def load(self, number: int) -> Episode:
        """A stored episode."""
        ...


def assign(
    last: Episode | None,
    chunks: Iterable[tuple[NDArray[np.float32], int]],
    earlier: Earlier | None = None,
) -> list[int]:
    """Assign chunks, in the order they are written, to episodes.

    A chunk joins the last episode or begins one. A chunk of another time, such as one of a
    conversation that is imported last first, joins the episode of its own time if that accepts it.

    Args:
        last: The scope's last episode; None if it has none.
        chunks: Embedding (float32 of shape (K,), unit norm) and time (microseconds since 1970) of
            each chunk.
        earlier: The episodes before the last; None if there are none.

    Returns:
        The episode number of each chunk.
    """
    open_episodes: dict[int, Episode] = {}
    placed: list[tuple[int, int]] = []
    for embedding, time in chunks:
        joined = last
        if last is not None and not last.near(time):
            near = [(abs(one - time), number) for one, number in placed]
            if earlier is not None and (found := earlier.nearest(time)) is not None:
                near.append(found)
            distance, number = min(near, default=(GAP_MICROS + 1, 0))
            if distance <= GAP_MICROS:
                joined = open_episodes.get(number)
                if joined is None and earlier is not None:
                    joined = earlier.load(number)
        if joined is not None and joined.accepts(embedding, time):
            joined = joined.joined(embedding, time)
        else:
            joined = Episode.begin(1 if last is None else last.number + 1, embedding, time)
        if last is None or joined.number >= last.number:
            last = joined
        open_episodes[joined.number] = joined
        placed.append((time, joined.number))
    return [number for _, number in placed]
