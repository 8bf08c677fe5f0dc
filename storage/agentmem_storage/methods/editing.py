"""`Editing`: the methods of a store that change a source which it has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agentmem_storage.metadata import metadata_json
from agentmem_storage.methods.base import StoreBase
from agentmem_storage.methods.reading import Reading
from agentmem_storage.records import UNSET, NewSource, SourceKey, SourceRecord, Unset, Written
from agentmem_storage.shield import shielded
from agentmem_storage.sql.reading.sources import read_sources
from agentmem_storage.sql.schema.rows import make_rows, storable
from agentmem_storage.sql.where.selection import as_id
from agentmem_storage.sql.writing import write
from agentmem_storage.timestamps import to_micros


class Editing(Reading, StoreBase):
    """Nothing of the old values remains in the files, as after `Forgetting.forget`."""

    @shielded
    def update_source(
        self,
        source_id: int,
        *,
        metadata: Mapping[str, Any] | Unset = UNSET,
        created_at: datetime | Unset = UNSET,
        title: str | None | Unset = UNSET,
        expires_at: datetime | None | Unset = UNSET,
    ) -> SourceRecord:
        """Change the given fields of a source.

        Nothing of the old values remains in the files, as after `forget`; but of ``expires_at``.

        Raises:
            UnknownIdError: No source has that id.
            InputError: Something cannot be stored; nothing was written.
        """
        values: dict[str, Any] = {}
        if not isinstance(metadata, Unset):
            values["metadata"] = metadata_json(metadata)
        if not isinstance(created_at, Unset):
            values["created_at"] = to_micros(created_at, "created_at")
        if not isinstance(title, Unset):
            values["title"] = storable(title, "title")
        if not isinstance(expires_at, Unset):
            values["expires_at"] = (
                None if expires_at is None else to_micros(expires_at, "expires_at")
            )
        # Before the change too: a process that dies after it leaves nothing of the old values.
        old = self.sources([source_id])[0] if values.keys() & {"created_at", "title"} else None
        if old is not None:
            self._states.erase(old.chunk_ids)
        with self._database.write() as connection:
            write.update_source(connection, as_id(source_id), values, now=self._now())
            updated = read_sources(connection, [source_id])[0]
        if old is not None:
            self._states.erase(old.chunk_ids)
        self._purge()
        return updated

    @shielded
    def redate_source(
        self,
        expected: SourceRecord,
        created_at: datetime,
        *,
        metadata: Mapping[str, Any],
        expires_at: datetime | None,
        key: SourceKey | None,
    ) -> Written:
        """Give a source a new time, and what it is recognized by from then on; its chunks stay.

        Args:
            expected: The source. If it is not equal to this any more, nothing is written.
            created_at: Its new time.
            metadata: Its new metadata.
            expires_at: When it expires from then on; None: never.
            key: What it is recognized by; None: as before.

        Returns:
            The source; or, as in `replace_source`, another one that already has the key.

        Raises:
            UnknownIdError: It has been forgotten.
            ChangedError: It is not the expected one; nothing was written.
            InputError: Something cannot be stored; nothing was written.
        """
        values: dict[str, Any] = {
            "metadata": metadata_json(metadata),
            "created_at": to_micros(created_at, "created_at"),
            "expires_at": None if expires_at is None else to_micros(expires_at, "expires_at"),
        }
        self._states.erase(expected.chunk_ids)
        with self._database.write() as connection:
            write.require_unchanged(connection, expected)
            if key is not None:
                found = write.new_key(connection, expected.id, key)
                if isinstance(found, Written):
                    return found
                values |= found
            write.update_source(connection, expected.id, values, now=self._now())
        self._states.erase(expected.chunk_ids)
        self._purge()
        return Written(expected.id, expected.chunk_ids, duplicate=False)

    @shielded
    def replace_source(
        self,
        source_id: int,
        new: NewSource,
        old_terms: Mapping[int, str],
        *,
        expected: SourceRecord | None = None,
    ) -> Written:
        """Replace the content of a source; it keeps its id and scope, its chunks get new ids.

        Nothing of the old content remains in the files, as after `forget`.

        Args:
            source_id: The source.
            new: The new content.
            old_terms: By old chunk id, the text that was indexed for it. If one is missing,
                `terms_stale` is true afterwards.
            expected: What the new content was made from. If the source is no longer equal to it,
                nothing is written, so that no change of another writer is lost.

        Returns:
            The new chunks. If another source of the scope already has the content, and the new
            one's identity allows only one, that source, with ``duplicate`` set; nothing was changed
            then.

        Raises:
            UnknownIdError: No source has that id.
            ChangedError: The source is not the expected one; nothing was written.
            InputError: Something cannot be stored; nothing was written.
        """
        rows = make_rows(new, self.embedding_dims)
        with self._database.write() as connection:
            if expected is not None:
                write.require_unchanged(connection, expected)
            written = write.replace(connection, as_id(source_id), rows, old_terms, now=self._now())
            if not written.duplicate:
                self._index.drop_files()
        self._purge()
        return written
