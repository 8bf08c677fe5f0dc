"""Archives of a service's memories: written here from what it sends, and sent to it from here.

A passphrase stays on this machine: what travels is not encrypted by it, but by TLS, if by anything.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

from agentmem.errors import InputError, StoreUnwritableError
from agentmem.remote.client import Client
from agentmem.remote.payload import read
from agentmem.results import ExportReceipt, LoadReceipt
from agentmem_storage.archive.blocks import BlockWriter
from agentmem_storage.archive.file import (
    ArchiveReader,
    archive_label,
    archive_path,
    writing,
    writing_into,
)
from agentmem_storage.archive.records import ArchivedLink, write_link, write_source
from agentmem_storage.records import Scope


def export(
    client: Client, path: str | os.PathLike[str], asked: Mapping[str, Any], passphrase: str | None
) -> ExportReceipt:
    """Write what a service exports to a new file; see `agentmem.Memory.export`.

    Args:
        client: Asks the service.
        path: The file.
        asked: What is exported, as parameters of the request.
        passphrase: Encrypts the file.
    """
    place = archive_path(path)
    with TemporaryFile() as file:
        client.download("/v1/export", params=asked, into=file)
        with ArchiveReader.open(file) as archive:
            manifest = archive.manifest
            try:
                with writing(place, manifest, passphrase) as writer:
                    _copy(archive, writer)
            except OSError as error:
                raise StoreUnwritableError(
                    f"cannot write {str(place)!r}: {error.strerror}"
                ) from error
    return ExportReceipt(place, manifest.chunks, manifest.sources, place.stat().st_size)


def load(
    client: Client,
    source: str | os.PathLike[str] | BinaryIO,
    passphrase: str | None,
    *,
    admit: Callable[[Scope], None],
) -> LoadReceipt:
    """Have a service load a file; see `agentmem.Memory.load`.

    Args:
        client: Asks the service.
        source: The file: its path, or an open one.
        passphrase: Of an encrypted file.
        admit: Raises InputError for a scope that may not be written.
    """
    place = _place(source)
    plain = io.BytesIO()
    try:
        # Checked here to its end, so that nothing that is damaged is sent.
        with (
            ArchiveReader.open(place, passphrase) as archive,
            writing_into(plain, archive.manifest) as writer,
        ):
            _copy(archive, writer, admit)
    except OSError as error:
        raise InputError(f"cannot read {archive_label(place)!r}: {error.strerror}") from error
    return read(LoadReceipt, client.upload("/v1/import", plain.getvalue()))


def _copy(
    archive: ArchiveReader, writer: BlockWriter, admit: Callable[[Scope], None] | None = None
) -> None:
    for record in archive.records():
        if isinstance(record, ArchivedLink):
            write_link(writer, record)
            continue
        if admit is not None:
            admit(Scope(record.user_id, record.agent_id, record.session_id))
        write_source(writer, record)


def _place(source: str | os.PathLike[str] | BinaryIO) -> Path | BinaryIO:
    if hasattr(source, "seek"):
        return cast("BinaryIO", source)
    return archive_path(source)
