"""`Forgetting`: the methods of a store that delete chunks, and say which they would."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agentmem_storage.errors import StoreUnwritableError
from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import Forgotten, Selection
from agentmem_storage.shield import shielded
from agentmem_storage.sql.where.filters import selects_everything
from agentmem_storage.sql.where.selection import as_id
from agentmem_storage.sql.writing import deletion


class Forgetting(StoreBase):
    """What is deleted leaves no byte in any file of the store."""

    @shielded
    def forget(
        self,
        chosen: Iterable[int] | Selection,
        terms: Mapping[int, str],
        *,
        seen: Container[int] | None = None,
    ) -> Forgotten:
        """Delete chunks so that no byte of them remains in any file of the store.

        Sources without remaining chunks are deleted too, with their metadata, and so are scopes.

        Args:
            chosen: Chunk ids, of which unknown ones are ignored; or a selection, which is made when
                the chunks are deleted, so that none escapes that was changed just before.
            terms: By chunk id, the text that was indexed for it. If one can no longer be
                reconstructed, leave it out and call `rebuild_terms` soon afterwards.
            seen: The ids for which ``terms`` was made. If others are selected by now, nothing is
                deleted.

        Returns:
            What was deleted, and whether the lexical index has to be rebuilt.

        Raises:
            UnknownIdError: An id of the selection is not in its scope; nothing was deleted.
            InputError: Several scopes have one of its external ids; nothing was deleted.
            ChangedError: Chunks are selected that were not seen; nothing was deleted.
            FilterError: The selection's filter is malformed.
        """
        if not isinstance(chosen, Selection):
            chosen = tuple(as_id(one) for one in chosen)
        try:
            done = self._forget(chosen, terms, seen, in_place=True)
        except StoreUnwritableError:
            # On a full disk, what can be spared makes room for what the deletion has to write.
            self._index.drop_files()
            self._database.empty_log()
            done = self._forget(chosen, terms, seen, in_place=False)
        return replace(done, purged=self._purge())

    @shielded
    def chosen(self, selection: Selection) -> tuple[int, ...]:
        """Ids of the chunks that `forget` would delete now, ascending.

        Raises:
            UnknownIdError: An id of the selection is not in its scope.
            InputError: Several scopes have one of its external ids.
            FilterError: The selection's filter is malformed.
        """
        with self._database.read() as connection:
            now = self._expired_by(connection)
            return tuple(deletion.choose(connection, selection, None, now))

    @shielded
    def sweep(self) -> None:
        """Delete what killed processes left beside the files of the store."""
        self._index.sweep()

    @staticmethod
    def selects_everything(where: Mapping[str, Any]) -> bool:
        """Whether a filter has no condition that a chunk could fail, such as ``{"and": []}``.

        Raises:
            FilterError: The filter is malformed.
        """
        return selects_everything(where)

    def _forget(
        self,
        chosen: Sequence[int] | Selection,
        terms: Mapping[int, str],
        seen: Container[int] | None,
        *,
        in_place: bool,
    ) -> Forgotten:
        with self._database.write() as connection:
            expired = isinstance(chosen, Selection) and chosen.expired is True
            ids: Sequence[int]
            if isinstance(chosen, Selection):
                ids = deletion.choose(connection, chosen, seen, self._expired_by(connection))
            else:
                ids = chosen
            deleted, sources, stale = deletion.forget(
                connection,
                ids,
                terms,
                now=self._now(),
                op="erased" if expired else "forgotten",
                in_place=in_place,
            )
            if deleted:
                self._index.drop_files()
        return Forgotten(tuple(deleted), sources, terms_stale=stale, purged=False)
