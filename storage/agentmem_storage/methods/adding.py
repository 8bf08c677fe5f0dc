"""`Adding`: the methods of a store that find and write new sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from sqlalchemy import Connection

from agentmem_storage.errors import ChangedError, UnknownIdError
from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import NewSource, Scope, SourceKey, Written
from agentmem_storage.shield import shielded
from agentmem_storage.sql.reading.sources import scope_id_of
from agentmem_storage.sql.schema.rows import check_scope, make_rows
from agentmem_storage.sql.where.selection import as_id
from agentmem_storage.sql.writing import duplicates, links, write


class Adding(StoreBase):
    """`find` says what `add` would find, so that what a scope has already need not be encoded."""

    @shielded
    def find(
        self, keys: Sequence[SourceKey], scope: Scope, *, alone: bool = False
    ) -> list[Written | None]:
        """What `add` would find of new sources in exactly this scope; None for what is new.

        What would be replaced is found, too, with ``replaced`` set; what would live longer than
        before, with ``prolonged``.

        Args:
            keys: The new sources for this scope, in order.
            scope: The scope.
            alone: Whether `add` will be called with only one source, over all scopes.
        """
        check_scope(scope)
        with self._database.read() as connection:
            scope_id = scope_id_of(connection, scope)
            if scope_id is None:
                return [None] * len(keys)
            conversation, now = scope.session_id is not None, self._now()
            known = duplicates.find(
                connection, keys, scope_id, conversation=conversation, alone=alone, now=now
            )
            held = known.written(connection)
            return [None if id is None else held[id] for id in known.ids]

    @shielded
    def add(
        self,
        new: Sequence[NewSource | SourceKey],
        scope: Scope | Sequence[Scope],
        old_terms: Mapping[int, str | None] = MappingProxyType({}),
        *,
        supersedes: int | None = None,
    ) -> list[Written]:
        """Write sources; when this returns, they are durable and visible to every process.

        A source that exactly its scope has already is not written again; the rules are in
        `agentmem_storage.sql.writing.duplicates`. One with an external id that its scope has takes
        the place of what is there, and nothing of that remains in the files, as after `forget`.

        Args:
            new: The sources, in order. For those that `find` found, and that replace nothing, their
                keys are enough.
            scope: The scope of all of them, or one scope for each.
            old_terms: By chunk id, the text that was indexed for the chunks that are replaced. None
                where it can no longer be reconstructed: `terms_stale` is true afterwards.
            supersedes: Id of the source that the only one of them supersedes.

        Returns:
            The outcome for each source, in order.

        Raises:
            InputError: Something cannot be stored, or the source cannot supersede that other one;
                nothing was written.
            UnknownIdError: A source given by its key has been forgotten; nothing was written.
            ChangedError: What is to be replaced is not what `find` found, or that which is to be
                superseded is gone; nothing was written.
        """
        scopes = [scope] * len(new) if isinstance(scope, Scope) else scope
        rows = [
            one if isinstance(one, SourceKey) else make_rows(one, self.embedding_dims)
            for one in new
        ]
        by_scope: dict[Scope, list[int]] = {}
        for number, (own, _) in enumerate(zip(scopes, rows, strict=True)):
            by_scope.setdefault(check_scope(own), []).append(number)
        written: dict[int, Written] = {}
        if rows:
            with self._database.write() as connection:
                for own, numbers in by_scope.items():
                    part = [rows[number] for number in numbers]
                    done = write.add(
                        connection,
                        part,
                        own,
                        self._now(),
                        alone=len(rows) == 1,
                        old_terms=old_terms,
                    )
                    written.update(zip(numbers, done, strict=True))
                if supersedes is not None:
                    (only,) = written.values()
                    _supersede(connection, supersedes, only.source_id, self._now())
                if any(one.replaced for one in written.values()):
                    self._index.drop_files()
        if any(one.replaced for one in written.values()):
            self._purge()
        self._index.added()
        return [written[number] for number in range(len(rows))]


def _supersede(connection: Connection, old: int, new: int, now: int) -> None:
    try:
        links.state(connection, as_id(old), new, now)
    except UnknownIdError as error:
        raise ChangedError(
            f"source {old}, which was to be superseded, has been forgotten by another writer in "
            f"the meantime; nothing was written: add it without supersedes="
        ) from error
