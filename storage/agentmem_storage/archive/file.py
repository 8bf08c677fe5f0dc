"""Files: the header, writing under another name first, and reading.

The header, all numbers little-endian::

    bytes 0-7    89 41 4D 45 4D 0D 0A 1A: as in PNG, it shows when line ends were converted
    byte 8       version of the file, `FORMAT`
    byte 9       0, or log2 of the cost of the passphrase of an encrypted file
    bytes 10-25  the salt of an encrypted file, otherwise zero
    bytes 26-29  CRC-32 of the bytes before it
"""

from __future__ import annotations

import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Self
from zlib import crc32

from agentmem_storage.archive.blocks import BlockReader, BlockWriter
from agentmem_storage.archive.errors import damaged
from agentmem_storage.archive.records import (
    ArchivedLink,
    ArchivedSource,
    Manifest,
    read_manifest,
    read_records,
    write_manifest,
)
from agentmem_storage.archive.sealing import COST, SALT_BYTES, PassphraseSeal, new_salt
from agentmem_storage.claims import claimed, remove_scratch, scratch_prefix
from agentmem_storage.disk import FILE_MODE, as_path, sync
from agentmem_storage.errors import ArchiveError, InputError
from agentmem_storage.text import shown

MAGIC: Final = b"\x89AMEM\r\n\x1a"
FORMAT: Final = 1
_HEADER = struct.Struct(f"<8sBB{SALT_BYTES}s")
_COST_AT: Final = 9
_PARTIAL: Final = ".partial"
_SUM = struct.Struct("<I")


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins like an archive.

    Raises:
        OSError: It cannot be read.
    """
    return _beginning(path).startswith(MAGIC)


def is_encrypted(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins like an archive that needs a passphrase.

    Raises:
        OSError: It cannot be read.
    """
    beginning = _beginning(path)
    return beginning.startswith(MAGIC) and beginning[_COST_AT] != 0


def _beginning(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb") as file:
        return file.read(_HEADER.size).ljust(_HEADER.size, b"\0")


@contextmanager
def writing(path: Path, manifest: Manifest, passphrase: str | None) -> Iterator[BlockWriter]:
    """Write an archive, which gets its name once it is complete and durable.

    The block writes the sources and links. If it raises, nothing is left; what a killed process
    left goes with the next file of this name.

    Raises:
        InputError: There is something at the path, or the passphrase is empty.
        MissingExtraError: A passphrase is given, and ``cryptography`` is not installed.
        OSError: It cannot be written.
    """
    _refuse_existing(path)
    cost, salt = (0, bytes(SALT_BYTES)) if passphrase is None else (COST, new_salt())
    header = _HEADER.pack(MAGIC, FORMAT, cost, salt)
    seal = None
    if passphrase is not None:
        seal = PassphraseSeal(passphrase, salt, cost, header, str(path))
    remove_scratch(path, _PARTIAL)
    descriptor, name = tempfile.mkstemp(
        dir=path.parent, prefix=scratch_prefix(path), suffix=_PARTIAL
    )
    partial = Path(name)
    try:
        with claimed(partial):
            with os.fdopen(descriptor, "wb") as file:
                partial.chmod(FILE_MODE)
                with _writing(file, header, manifest, seal) as writer:
                    yield writer
            sync(partial)
            _refuse_existing(path)
            partial.rename(path)
        sync(path.parent)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def writing_into(file: BinaryIO, manifest: Manifest) -> Iterator[BlockWriter]:
    """Write an archive without encryption into an open file; the block writes sources and links."""
    header = _HEADER.pack(MAGIC, FORMAT, 0, bytes(SALT_BYTES))
    with _writing(file, header, manifest, None) as writer:
        yield writer


@contextmanager
def _writing(
    file: BinaryIO, header: bytes, manifest: Manifest, seal: PassphraseSeal | None
) -> Iterator[BlockWriter]:
    file.write(header + _SUM.pack(crc32(header)))
    writer = BlockWriter(file, seal)
    write_manifest(writer, manifest)
    yield writer
    writer.finish()


class ArchiveReader:
    """An open archive; `records` may be called several times, and reads the file each time.

    Attributes:
        manifest: What the file says of itself.
    """

    def __init__(self, file: BinaryIO, label: str, passphrase: str | None, *, own: bool) -> None:
        self._file = file
        self._label = label
        self._own = own
        self._header, self._seal = self._open_header(passphrase)
        self.manifest = read_manifest(self._blocks(), label)

    @classmethod
    def open(cls, source: Path | BinaryIO, passphrase: str | None = None) -> Self:
        """Open a file.

        Args:
            source: Its path; or a file that is open and can seek, which stays open.
            passphrase: Of an encrypted file.

        Raises:
            ArchiveError: It is no archive, is of a later version, is encrypted and no passphrase is
                given, or is damaged where it begins.
            InputError: It is no file, or the passphrase is empty.
            OSError: It cannot be read.
        """
        label = archive_label(source)
        if not isinstance(source, Path):
            return cls(source, label, passphrase, own=False)
        if not stat.S_ISREG(source.stat().st_mode):
            raise InputError(f"{label!r} is not a file")
        file = source.open("rb")
        try:
            return cls(file, label, passphrase, own=True)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._own:
            self._file.close()

    def records(self) -> Iterator[ArchivedSource | ArchivedLink]:
        """The sources, in order, then the links between them.

        After the last, the file has been compared with its checksums.

        Raises:
            ArchiveError: It is damaged.
        """
        blocks = self._blocks()
        if read_manifest(blocks, self._label) != self.manifest:
            raise damaged(self._label, "it was changed while it was read")
        yield from read_records(blocks, self.manifest, self._label)

    def _blocks(self) -> BlockReader:
        self._file.seek(_HEADER.size + _SUM.size)
        return BlockReader(self._file, self._seal, self._label)

    def _open_header(self, passphrase: str | None) -> tuple[bytes, PassphraseSeal | None]:
        self._file.seek(0)
        header = self._file.read(_HEADER.size)
        checksum = self._file.read(_SUM.size)
        if not header.startswith(MAGIC):
            raise ArchiveError(f"{self._label!r} is not an .amem file: it begins in another way")
        if len(checksum) < _SUM.size or _SUM.unpack(checksum)[0] != crc32(header):
            raise damaged(self._label, "its header does not match its checksum")
        _, version, cost, salt = _HEADER.unpack(header)
        if version != FORMAT:
            raise ArchiveError(
                f"{self._label!r} has version {version}, and this agentmem reads {FORMAT}: upgrade "
                f"with: pip install -U latent-agentmem"
            )
        if not cost:
            return header, None
        if passphrase is None:
            raise ArchiveError(f"{self._label!r} is encrypted: give the passphrase")
        return header, PassphraseSeal(passphrase, salt, cost, header, self._label)


def archive_label(source: Path | BinaryIO) -> str:
    """What errors call an archive: its path, or what an open file calls itself."""
    if isinstance(source, Path):
        return str(source)
    name = getattr(source, "name", None)
    # That of a file without one is a number.
    return name if isinstance(name, str) else "<stream>"


def archive_path(path: str | os.PathLike[str]) -> Path:
    """A path for an archive, absolute.

    Raises:
        TypeError: It is neither a string nor a path.
        InputError: It cannot be a path.
    """
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(f"an archive is a file, given as a string or path, not {shown(path)}")
    if "://" in name:
        raise InputError(f"{shown(name)} is not the path of a file")
    return as_path(name, "the path of a file")


def _refuse_existing(path: Path) -> None:
    if path.is_symlink() or path.exists():
        raise InputError(f"{str(path)!r} exists already: give the path of a new file")
