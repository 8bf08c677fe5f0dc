"""`Archiving`: the methods of a store that write archives and load them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from agentmem_storage.methods.base import StoreBase
from agentmem_storage.records import EVERYTHING, ChunkRecord, Exported, ModelBinding, Selection
from agentmem_storage.shield import shielded

# What reads and writes archives is imported when one is read or written.
if TYPE_CHECKING:
    from agentmem_storage.archive.loading import Loaded, Loading, Ready
    from agentmem_storage.archive.records import ArchivedSource


class Archiving(StoreBase):
    """The format of the file is in `agentmem_storage.archive`."""

    @shielded
    def export(
        self,
        target: str | os.PathLike[str],
        selection: Selection = EVERYTHING,
        *,
        without: Selection | None = None,
        latents: str,
        embedder: str,
        passphrase: str | None = None,
        on_progress: Callable[[int, int], object] | None = None,
    ) -> Exported:
        """Write memories to an archive, in the state the store has now; others may go on writing.

        Args:
            target: A new file. If writing it fails, there is none.
            selection: Which chunks; their sources are written as wholes.
            without: Chunks whose sources are left out.
            latents: Fingerprint of what encoded the latents.
            embedder: Display name of what made the embeddings.
            passphrase: Encrypts the file; None: it is not encrypted.
            on_progress: Called with the number of chunks written so far and the total.

        Raises:
            InputError: There is something at the target, or the passphrase is empty.
            FilterError: A filter is malformed.
            CorruptRecordError: A source is damaged.
            StoreUnwritableError: The file cannot be written.
            MissingExtraError: A passphrase is given, and ``cryptography`` is not installed.
        """
        from agentmem_storage.sql.copies.export import export

        return export(
            self._database,
            ModelBinding(self.model, self.embedding_dims, latents),
            target,
            selection,
            without=without,
            embedder=embedder,
            passphrase=passphrase,
            now=self._now(),
            on_progress=on_progress,
        )

    @staticmethod
    def archived_records(source: ArchivedSource, embedding_dims: int) -> list[ChunkRecord]:
        """The chunks of a source of a file, checked apart from what their latents decode to.

        Args:
            source: The source.
            embedding_dims: K of the file.

        Returns:
            Records whose ids are 0.

        Raises:
            InputError: It has a value that cannot be stored.
            CorruptRecordError: A blob of it is damaged.
        """
        from agentmem_storage.sql.copies.archive_checks import archived_records

        return archived_records(source, embedding_dims)

    @shielded
    def find_archived(self, ready: Sequence[Ready], done: Loading) -> list[bool]:
        """Which sources of a file the store has, by `agentmem_storage.sql.copies.loading`.

        Args:
            ready: Sources of the file, in order, each already checked by `archived_records`.
            done: What was loaded of it before.
        """
        from agentmem_storage.sql.copies import loading

        with self._database.read() as connection:
            return [
                id is not None for id in loading.match(connection, ready, done.used, self._now())
            ]

    @shielded
    def load(self, ready: Sequence[Ready], done: Loading) -> Loaded:
        """Write those sources of a file that the store does not have, all or none.

        Args:
            ready: As for `find_archived`; with terms, if it did not find them.
            done: As for `find_archived`; what is loaded now is added to it.

        Raises:
            InputError: Embeddings have another number of dims; nothing was written.
            UnknownIdError: A source without terms has been forgotten; nothing was written.
        """
        from agentmem_storage.sql.copies import loading

        with self._database.write() as connection:
            loaded, more = loading.load(connection, ready, done, self._now())
        done.used |= more.used
        done.episodes |= more.episodes
        self._index.added()
        return loaded

    @shielded
    def load_links(self, found: Iterable[tuple[int, int, float | None, int]]) -> None:
        """Write the links of a file that the store does not have and does not contradict.

        Args:
            found: Of each, the ids of the old and of the new source, the score, and when it was
                made, in microseconds since 1970.
        """
        from agentmem_storage.sql.copies import loading

        with self._database.write() as connection:
            loading.load_links(connection, found)
