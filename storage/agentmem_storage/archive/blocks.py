"""Blocks: a stream of bytes in compressed, checksummed pieces of bounded size.

After the header, a file has blocks, all numbers little-endian::

    uint32   length of the payload as it is stored; bit 31 is set on the final block
    uint32   length of the payload once decompressed, at most `BLOCK_BYTES`
    uint32   CRC-32 of the eight bytes before it and of the payload as it is stored
    bytes    the payload: compressed by zlib, then perhaps encrypted

The final block has the SHA-256 of all that the others carry. Nothing stands behind it.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import BinaryIO, Final, Protocol
from zlib import crc32

from agentmem_storage.archive.errors import damaged
from agentmem_storage.errors import ArchiveError

BLOCK_BYTES: Final = 2**18
# What zlib and encryption may add to a block that cannot be compressed.
_MOST_STORED: Final = BLOCK_BYTES + 2**10
_FINAL: Final = 2**31
_HEAD = struct.Struct("<II")
_SUM = struct.Struct("<I")


class Seal(Protocol):
    """Encrypts and decrypts payloads, each with its number and the head of its block."""

    def seal(self, payload: bytes, number: int, head: bytes) -> bytes:
        """The payload as it is stored."""

    def open(self, payload: bytes, number: int, head: bytes) -> bytes:
        """The inverse of `seal`.

        Raises:
            ArchiveError: the payload is not what was sealed with this key.
        """

    @property
    def overhead(self) -> int:
        """How many bytes a payload gets longer."""


class BlockWriter:
    """Writes a stream in blocks; `finish` completes the file."""

    def __init__(self, file: BinaryIO, seal: Seal | None) -> None:
        self._file = file
        self._seal = seal
        self._waiting = bytearray()
        self._digest = hashlib.sha256()
        self._number = 0

    def write(self, data: bytes) -> None:
        """Add bytes to the stream."""
        self._digest.update(data)
        self._waiting += data
        while len(self._waiting) >= BLOCK_BYTES:
            self._write_block(bytes(self._waiting[:BLOCK_BYTES]))
            del self._waiting[:BLOCK_BYTES]

    def finish(self) -> None:
        """Write what is left, and the final block."""
        if self._waiting:
            self._write_block(bytes(self._waiting))
            self._waiting.clear()
        self._write_block(self._digest.digest(), final=True)

    def _write_block(self, raw: bytes, *, final: bool = False) -> None:
        payload = zlib.compress(raw)
        extra = 0 if self._seal is None else self._seal.overhead
        head = _HEAD.pack(len(payload) + extra | (_FINAL if final else 0), len(raw))
        if self._seal is not None:
            payload = self._seal.seal(payload, self._number, head)
        self._file.write(b"".join((head, _SUM.pack(crc32(payload, crc32(head))), payload)))
        self._number += 1


class BlockReader:
    """Reads the stream of a file, block by block."""

    def __init__(self, file: BinaryIO, seal: Seal | None, label: str) -> None:
        self._file = file
        self._seal = seal
        self._label = label
        self._ready = bytearray()
        self._digest = hashlib.sha256()
        self._number = 0
        self._ended = False

    def read(self, length: int) -> bytes:
        """The next bytes of the stream, exactly as many.

        Raises:
            ArchiveError: the file is damaged, or its stream ends before.
        """
        while len(self._ready) < length:
            if self._ended:
                raise damaged(self._label, "it ends in the middle of a memory")
            self._read_block()
        data = bytes(self._ready[:length])
        del self._ready[:length]
        return data

    def finish(self) -> None:
        """Read to the end, where nothing may be left.

        Raises:
            ArchiveError: the file is damaged, or there is more in it.
        """
        while not self._ended and not self._ready:
            self._read_block()
        if self._ready or self._file.read(1):
            raise damaged(self._label, "there is more in it than its manifest says")

    def _read_block(self) -> None:
        head = self._take(_HEAD.size)
        stored, length = _HEAD.unpack(head)
        final, stored = bool(stored & _FINAL), stored & ~_FINAL
        if stored > _MOST_STORED or length > BLOCK_BYTES:
            raise damaged(self._label, f"block {self._number} claims to be too large")
        (checksum,) = _SUM.unpack(self._take(_SUM.size))
        payload = self._take(stored)
        if checksum != crc32(payload, crc32(head)):
            raise damaged(self._label, f"block {self._number} does not match its checksum")
        if self._seal is not None:
            payload = self._seal.open(payload, self._number, head)
        raw = self._decompressed(payload, length)
        self._number += 1
        if not final:
            self._digest.update(raw)
            self._ready += raw
        elif raw == self._digest.digest():
            self._ended = True
        else:
            raise damaged(self._label, "its content does not match the checksum of the whole")

    def _take(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise ArchiveError(
                f"{self._label!r} is cut off after {self._number} blocks: it was not written or "
                f"copied to its end; get another copy"
            )
        return data

    def _decompressed(self, payload: bytes, length: int) -> bytes:
        """Not more than the block says, whatever the payload would expand to."""
        expander = zlib.decompressobj()
        try:
            raw = expander.decompress(payload, length + 1)
        except zlib.error:
            raise damaged(self._label, f"block {self._number} cannot be decompressed") from None
        if len(raw) != length or not expander.eof or expander.unused_data:
            raise damaged(self._label, f"block {self._number} has another length than it says")
        return raw
