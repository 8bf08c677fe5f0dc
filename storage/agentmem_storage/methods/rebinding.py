"""`Rebinding`: the methods of a store that bring it from one model to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import ModelBinding, StagedChunk, Switched
from agentmem_storage.shield import shielded
from agentmem_storage.sql.writing import staging


class Rebinding(StoreBase):
    """Chunks are staged in any number of calls, and then put in place in one transaction.

    ::

        while (left := store.switch(target).left):
            store.stage(target, encode_again(left))

    The store is read and written as before until the switch. Other processes that have it open are
    refused from then on, with IncompatibleModelError, before they read or write anything.
    """

    @shielded
    def unstaged(self, target: ModelBinding) -> NDArray[np.int64]:
        """Ids of the chunks that `stage` still has to be called with, ascending, int64 (n,)."""
        with self._database.read() as connection:
            return np.array(staging.missing(connection, target), dtype=np.int64)

    @shielded
    def stage(self, target: ModelBinding, new: Sequence[StagedChunk]) -> None:
        """Keep what another model has made of chunks, until `switch` puts it in their place.

        What was kept for a third model is deleted. Of chunks that are gone, nothing is kept.

        Args:
            target: The model.
            new: The chunks as it encodes them.

        Raises:
            InputError: Something cannot be stored; nothing was written.
        """
        with self._database.write() as connection:
            staging.stage(connection, target, new)

    @shielded
    def switch(self, target: ModelBinding) -> Switched:
        """Put all that is staged in its place, and bind the store to its model.

        Ids, sources, scopes and places stay. A chunk of several parts keeps its id for the first
        and gets new ones for the others; `terms_stale` is true then. Nothing of the old latents and
        embeddings remains in the files, unless another process reads an older state.

        Args:
            target: The model.

        Returns:
            The chunks that were split; or, if some are not staged, those, and nothing was done.
        """
        with self._database.write() as connection:
            if left := staging.missing(connection, target):
                return Switched(left=tuple(left))
            split = staging.switch(connection, target)
            self._index.drop_files()
        self._rebind(target)
        self._purge()
        return Switched(split=tuple(split))
