"""`AnyIndexSync`: what a store asks of its vector index, wherever that is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from agentmem_storage.records import ANY_SCOPE, Ranked, Scope
from agentmem_storage.sql.logs.changes import Mark


class AnyIndexSync(Protocol):
    """A vector index that follows the change log of a store; safe to use from several threads.

    Attributes:
        erases: Whether nothing of what was forgotten is left in its files after `erase`.
    """

    erases: bool

    def search(
        self,
        connection: Connection,
        newest: Mark,
        query: NDArray[np.float32],
        k: int,
        among: NDArray[np.int64] | None,
        scope: Scope = ANY_SCOPE,
    ) -> Ranked:
        """Search the state that a transaction sees; see `VectorIndex.search`.

        Args:
            connection: The transaction.
            newest: The last change that it sees.
            query: As in `VectorIndex.search`.
            k: Likewise.
            among: The ids to consider; None for all that the transaction sees.
            scope: Which all of them belong to, as far as known; it makes no difference but to the
                time that this takes.
        """

    def load(self) -> None:
        """Bring it up to date now, and not at the first search."""

    def rebuild(self) -> None:
        """Make it anew from the rows."""

    def added(self) -> None:
        """What there is to do after chunks were added; a failure is logged."""

    def erase(self) -> bool:
        """Remove what was forgotten; a failure is logged.

        Returns:
            Whether it was done.
        """

    def save_if_due(self) -> None:
        """What there is to do after a search; a failure is logged."""

    def save_if_small(self) -> None:
        """What there is to do after a purge; a failure is logged."""

    def drop_files(self) -> None:
        """Delete its files beside the store's, before rows are deleted, under the write lock.

        Raises:
            StoreUnwritableError: A file cannot be deleted.
        """

    def sweep(self) -> None:
        """Delete what killed processes left beside the store; a failure is logged."""

    def stop(self) -> None:
        """Give up what is done in the background; the store gets another index."""

    def close(self) -> None:
        """Save what is not saved yet."""
