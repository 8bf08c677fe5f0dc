"""Archives for tests: their stream of bytes, and files with another one and valid checksums."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from agentmem_storage.archive.blocks import BlockWriter
from agentmem_storage.archive.file import FORMAT, MAGIC

HEADER_BYTES = 30


def stream(path: Path) -> bytes:
    """All that the blocks of a file carry, but the last."""
    content = path.read_bytes()
    at, found = HEADER_BYTES, b""
    while True:
        (stored,) = struct.unpack_from("<I", content, at)
        final, length = bool(stored >> 31), stored & 2**31 - 1
        if final:
            return found
        found += zlib.decompress(content[at + 12 : at + 12 + length])
        at += 12 + length


def write_stream(path: Path, content: bytes) -> None:
    """A file with any stream, as somebody makes it who knows the format."""
    head = struct.pack("<8sBB16s", MAGIC, FORMAT, 0, bytes(16))
    with path.open("wb") as file:
        file.write(head + struct.pack("<I", zlib.crc32(head)))
        writer = BlockWriter(file, None)
        writer.write(content)
        writer.finish()
