"""What passes between a file that is loaded and the store it is loaded into."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.archive.records import ArchivedSource
from agentmem_storage.records import Scope


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A source of a file, ready to be written.

    Attributes:
        source: The source.
        timeless: Whether it is the same as one of equal content whenever that was said, because it
            has an id of its own, or is a document.
        terms: The text to index for each chunk; None if the store has it, as far as known.
        embeddings: float32 of shape (n, K), unit norm, for its n chunks in place of those in the
            file, which another embedder made; None to keep those.
    """

    source: ArchivedSource
    timeless: bool
    terms: tuple[str, ...] | None = None
    embeddings: NDArray[np.float32] | None = None


@dataclass(slots=True)
class Loading:
    """What was loaded of one file so far, so that each batch goes on where the last ended.

    Attributes:
        used: Ids of the sources in the store that are those of the file.
        episodes: The number of an episode in the store, by scope and number in the file.
    """

    used: set[int] = field(default_factory=set)
    episodes: dict[tuple[Scope, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The outcome of loading a batch.

    Attributes:
        sources: Number of sources that were written.
        chunks: Number of their chunks.
        duplicates: Number of sources that the store had.
        ids: The id of each source of the batch in the store.
    """

    sources: int
    chunks: int
    duplicates: int
    ids: tuple[int, ...]
