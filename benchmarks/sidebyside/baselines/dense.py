"""all-MiniLM-L6-v2 with exact inner-product search: the core of most memory SDKs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.sidebyside.baselines.encoder import DIMS, PACKAGE, Encoder
from benchmarks.sidebyside.baselines.ranking import best
from benchmarks.sidebyside.data import NumberedTurn


class Dense:
    """Embeddings in one array, in memory."""

    packages: ClassVar[tuple[str, ...]] = (PACKAGE,)
    as_vectors: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        """Load the encoder; ``folder`` stays empty."""
        self._encoder = Encoder()
        self._vectors: NDArray[np.float32] = np.zeros((0, DIMS), dtype=np.float32)
        self._numbers: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._places: dict[str, slice] = {}

    def add(self, conversation: str, turns: Sequence[NumberedTurn]) -> None:
        """Encode a conversation."""
        start = len(self._numbers)
        embedded = self._encoder.texts([turn.text for turn in turns])
        self._vectors = np.concatenate([self._vectors, embedded])
        self._numbers = np.append(self._numbers, [turn.number for turn in turns])
        self._places[conversation] = slice(start, len(self._numbers))

    def search(self, question: str, k: int, *, conversation: str | None) -> list[int]:
        """The turns nearest to the question."""
        place = slice(None) if conversation is None else self._places[conversation]
        scores = self._vectors[place] @ self._encoder.query(question)
        return [int(number) for number in self._numbers[place][best(scores, k)]]

    def close(self) -> None:
        """Nothing is on disk."""
