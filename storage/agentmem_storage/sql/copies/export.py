"""Writes the memories of a store to an archive, in one state of the store."""

from __future__ import annotations

import os
from collections.abc import Callable

from agentmem_storage.archive.file import archive_path, writing
from agentmem_storage.archive.records import Manifest, write_link, write_source
from agentmem_storage.records import Exported, ModelBinding, Selection
from agentmem_storage.sql.connection.base import AnyDatabase
from agentmem_storage.sql.connection.sqlite_errors import unwritable
from agentmem_storage.sql.copies.archived import (
    chosen_sources,
    count_chunks,
    links_among,
    read_archived,
)
from agentmem_storage.sql.where import expiry


def export(
    database: AnyDatabase,
    binding: ModelBinding,
    target: str | os.PathLike[str],
    selection: Selection,
    *,
    without: Selection | None,
    embedder: str,
    passphrase: str | None,
    now: int,
    on_progress: Callable[[int, int], object] | None,
) -> Exported:
    """Write an archive; see `agentmem_storage.store.Store.export`."""
    path = archive_path(target)
    with database.read() as connection:
        ids = chosen_sources(connection, selection, without, expiry.moment(connection, now))
        total = count_chunks(connection, ids)
        links = links_among(connection, ids)
        manifest = Manifest(
            model=binding.model,
            latents=str(binding.latents),
            embedder=embedder,
            dims=binding.embedding_dims,
            sources=len(ids),
            chunks=total,
            links=len(links),
        )
        done = 0
        try:
            with writing(path, manifest, passphrase) as writer:
                for source in read_archived(connection, ids):
                    write_source(writer, source)
                    done += len(source.chunks)
                    if on_progress is not None:
                        on_progress(done, total)
                for link in links:
                    write_link(writer, link)
            size = path.stat().st_size
        except OSError as error:
            raise unwritable(error, os.fspath(target), what="the file") from error
    return Exported(path, len(ids), total, size)
