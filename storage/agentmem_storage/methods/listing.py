"""`Listing`: the methods of a store that go through all selected chunks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.errors import InputError
from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import EVERYTHING, ChunkRecord, Page, Selection
from agentmem_storage.shield import shielded_steps
from agentmem_storage.sql.reading.chunks import ids_in_place, selected_chunks
from agentmem_storage.sql.reading.state import list_ids
from agentmem_storage.sql.schema.tables import chunks
from agentmem_storage.sql.where.selection import selected


class Listing(StoreBase):
    """Reads list by list, without a transaction that stays open in between."""

    @shielded_steps
    def iterate(
        self,
        selection: Selection = EVERYTHING,
        batch_size: int = 256,
        *,
        keep_damaged: bool = False,
        page: Page | None = None,
    ) -> Iterator[list[ChunkRecord]]:
        """Selected chunks by ascending id, in lists of up to ``batch_size``.

        No transaction stays open between two lists: the caller may write in between, and chunks
        added after the current position are included, unless ``page`` is given.

        Args:
            selection: Which chunks.
            batch_size: Maximum length of a list.
            keep_damaged: As in `chunks`.
            page: By source and position in it, so that a replaced source keeps its place, or a part
                of that; only chunks that exist when the first list is read, so that a caller who
                replaces each comes to an end.

        Raises:
            FilterError: The selection's filter is malformed.
            UnknownIdError: The chunk that the page follows is not in the selection's scope.
            CorruptRecordError: A row is damaged; the rows before it in its list are not
                returned.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, got {batch_size!r}")
        if page is not None:
            with self._database.read() as connection:
                now = self._expired_by(connection)
                placed = ids_in_place(connection, selection, page, now)
            for first in range(0, len(placed), batch_size):
                part = placed[first : first + batch_size]
                with self._database.read() as connection:
                    now = self._expired_by(connection)
                    records = selected_chunks(
                        connection, selection, part, now, keep_damaged=keep_damaged
                    )
                if records:
                    found = {record.id: record for record in records}
                    yield [found[id] for id in part if id in found]
            return
        last = 0
        # Listed once rather than for each list; then again, for what was added in the meantime.
        while (ids := self._ids_after(selection, last)).size:
            last = int(ids[-1])
            for first in range(0, ids.size, batch_size):
                part = ids[first : first + batch_size].tolist()
                with self._database.read() as connection:
                    now = self._expired_by(connection)
                    records = selected_chunks(
                        connection, selection, part, now, keep_damaged=keep_damaged
                    )
                if records:
                    yield records

    def _ids_after(self, selection: Selection, last: int) -> NDArray[np.int64]:
        """Ids of the selected chunks above one, ascending."""
        with self._database.read() as connection:
            query = selected(selection, now=self._expired_by(connection))
            return list_ids(connection, query.where(chunks.c.id > last)).ids
