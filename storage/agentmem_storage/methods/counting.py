"""`Counting`: the methods of a store that return totals."""

from __future__ import annotations

from sqlalchemy import Select

from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import (
    ANY_SCOPE,
    EVERYTHING,
    Scope,
    ScopeStats,
    Selection,
    SelectionSums,
    StoreStats,
)
from agentmem_storage.shield import shielded
from agentmem_storage.sql.reading import totals
from agentmem_storage.sql.where.selection import selected


class Counting(StoreBase):
    """Totals are computed in SQL, without loading a chunk."""

    @shielded
    def count(self, selection: Selection = EVERYTHING) -> int:
        """Number of selected chunks.

        Raises:
            FilterError: The selection's filter is malformed.
        """
        with self._database.read() as connection:
            now = self._expired_by(connection)
            ids = selected(selection, now=now)
            return totals.count(connection, self._whole(ids))

    @shielded
    def sums(self, selection: Selection = EVERYTHING) -> SelectionSums:
        """Totals of the selected chunks, computed without loading them.

        Raises:
            FilterError: The selection's filter is malformed.
        """
        with self._database.read() as connection:
            now = self._expired_by(connection)
            ids = selected(selection, now=now)
            return totals.sums(connection, self._whole(ids))

    @shielded
    def scopes(self, scope: Scope = ANY_SCOPE) -> list[ScopeStats]:
        """The scopes within one, by default all, with what they have, in order of first use."""
        with self._database.read() as connection:
            return totals.scope_list(
                connection,
                scope,
                now=self._expired_by(connection),
                gaps=self._database.has_gaps(),
            )

    @shielded
    def stats(self, scope: Scope = ANY_SCOPE) -> StoreStats:
        """Totals of a scope, by default of the whole store."""
        whole = scope == ANY_SCOPE
        # Not inside the transaction, which those who keep states wait for.
        states_bytes = self._states.stored_bytes() if whole else None
        with self._database.read() as connection:
            file_bytes = self._database.stored_bytes(connection) if whole else None
            return totals.stats(
                connection,
                scope,
                now=self._expired_by(connection),
                gaps=self._database.has_gaps(),
                file_bytes=file_bytes,
                states_bytes=states_bytes,
            )

    def _whole(self, ids: Select[tuple[int]]) -> Select[tuple[int]]:
        """Of a query for chunks, those that can be listed."""
        return totals.of_whole(ids) if self._database.has_gaps() else ids
