"""The rows that every store gets: LoCoMo's turns, with more embeddings for further users.

Rows are in the order of users, so that those of one user are a batch. A row's user and number
follow from the turn that it is a copy of; only embeddings are kept for each row.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.levels import from_levels
from agentmem_storage.records import NewSource
from benchmarks.copies import Session
from benchmarks.embeddings import among

_LEVELS, _TURNS, _QUERIES = "levels", "turns.pickle", "queries.npy"
_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a session, of which rows are copies."""

    user: str
    session: str
    number: int
    source: NewSource


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The rows of one user, from row number ``first`` on.

    Attributes:
        first: Number of the first row.
        user: Whose they are.
        numbers: The number of each row's session.
        vectors: float32 of shape (n, K), unit rows.
    """

    first: int
    user: str
    numbers: tuple[int, ...]
    vectors: NDArray[np.float32]


class Rows:
    """What `prepare` wrote to a folder.

    Attributes:
        count: Number of rows.
        dims: K, the dims of an embedding.
    """

    def __init__(self, folder: Path) -> None:
        """Read what is small."""
        self._folder = folder
        self.queries: NDArray[np.float32] = np.load(folder / _QUERIES)
        self.dims = self.queries.shape[1]
        self.count = (folder / _LEVELS).stat().st_size // self.dims

    @cached_property
    def turns(self) -> list[Turn]:
        """The turns, in order."""
        found: list[Turn] = pickle.loads((self._folder / _TURNS).read_bytes())
        return found

    def batches(self) -> Iterator[Batch]:
        """All rows, by user."""
        for first, last in self.users():
            turns = self.turns_of(first, last)
            numbers = tuple(turn.number for turn in turns)
            yield Batch(first, self.user(first), numbers, self.vectors(first, last))

    def users(self) -> Iterator[tuple[int, int]]:
        """The first row of each user, and the one behind the last."""
        sizes = [len(list(own)) for _, own in groupby(self.turns, key=lambda turn: turn.user)]
        first = 0
        while first < self.count:
            for size in sizes:
                if first < self.count:
                    yield first, min(first + size, self.count)
                first += size

    def user(self, row: int) -> str:
        """The name of the user whose a row is."""
        copy, place = divmod(row, len(self.turns))
        return f"{self.turns[place].user} {copy:03d}"

    def turns_of(self, first: int, last: int) -> list[Turn]:
        """The turns that rows are copies of."""
        return [self.turns[row % len(self.turns)] for row in range(first, last)]

    def vectors(self, first: int, last: int) -> NDArray[np.float32]:
        """The embeddings of rows, float32 of shape (last - first, K)."""
        # Read, and not mapped, so that they are no part of what a process seems to hold.
        with (self._folder / _LEVELS).open("rb") as file:
            file.seek(first * self.dims)
            data = file.read((last - first) * self.dims)
        return from_levels(np.frombuffer(data, dtype=np.int8).reshape(-1, self.dims))

    def blocks(self, count: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The embeddings of the first ``count`` rows: number of the first one, and some of them."""
        for first in range(0, count, _ROWS):
            yield first, self.vectors(first, min(first + _ROWS, count))


def prepare(
    folder: Path,
    sessions: Sequence[Session],
    queries: NDArray[np.float32],
    count: int,
    random: np.random.Generator,
) -> Rows:
    """Write rows to a folder, and read them.

    Args:
        folder: An existing folder.
        sessions: The turns; those of one user come together, with ``number`` as metadata.
        queries: float32 of shape (q, K), unit rows.
        count: Number of rows; fewer than there are turns are the first ones.
        random: Chooses the embeddings of copies.
    """
    turns = list(_turns(sessions))
    vectors = np.stack([turn.source.chunks[0].embedding for turn in turns])
    levels = among(vectors, max(count, len(turns)), random)[:count]
    (folder / _TURNS).write_bytes(pickle.dumps(turns))
    np.save(folder / _QUERIES, queries)
    levels.tofile(folder / _LEVELS)
    return Rows(folder)


def _turns(sessions: Sequence[Session]) -> Iterator[Turn]:
    """The turns of one chunk; what a session has twice is there once."""
    for session in sessions:
        seen = set()
        for source in session.sources:
            if len(source.chunks) == 1 and source.content_hash not in seen:
                seen.add(source.content_hash)
                number = int(source.metadata["number"])
                yield Turn(session.user, session.name, number, source)
