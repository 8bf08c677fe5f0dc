"""Overwrites the unused space of a database file with zeros; a program of its own.

With ``secure_delete``, SQLite overwrites what is deleted where it is deleted. But when it moves
rows between pages, copies of them stay in the unused part of a page, where a later delete does not
reach them. What of a file is unused, its format says ("Database File Format" in SQLite's
documentation):

- of a page of a B-tree, what is between the array of pointers to its cells and the first cell, and
  what is in a free block after the first four bytes;
- of a page in the list of free pages, everything; of one that lists others, what is behind them.

Nothing else is written to, and those bytes mean nothing to any reader, so a crash does no harm
whenever it happens. What else makes it safe:

- Nobody else writes to the file: the write-ahead log is empty, so that there is nothing to copy
  from it, and this program holds the lock that appending to it takes.
- Nobody brings back what he has read before: the commit at the end makes every other connection
  drop the pages that it keeps.
- The locks are held for as long as something is written, whatever happens to the process that has
  started this one: they end with this process. It is one of its own since a process that closes a
  file gives up all locks that it has on it, those of SQLite's connections among them.

It starts without the packages beside it, with the standard library alone.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import sys
from collections.abc import Iterator
from io import FileIO
from typing import NoReturn

# What it prints, with a reason after the last two.
DONE, BUSY, UNSUITABLE = "erased", "busy", "unsuitable"

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
# Kind, first free block, number of cells, where the first of them begins.
_PAGE = struct.Struct(">BHHH")
# Bytes of that header by kind: pages with and without children, of indexes and of tables.
_KINDS = {2: 12, 5: 12, 10: 8, 13: 8}
_BLOCK = struct.Struct(">HH")
_TRUNK = struct.Struct(">II")
# Pages that begin with their kind are told from those that begin with the number of another page.
_MOST_PAGES = 2**25
_READ_BYTES = 4 * 2**20
_ATTEMPTS = 10

Range = tuple[int, int]


class UnsuitableError(Exception):
    """The reason why a file is left as it is."""


class Header:
    """What the beginning of a file says of it.

    Args:
        start: Its first bytes.
        file_bytes: Its size.

    Raises:
        UnsuitableError: It is no whole database file of the common kind.
    """

    def __init__(self, start: bytes, file_bytes: int) -> None:
        if len(start) < _HEADER_BYTES or not start.startswith(_MAGIC):
            raise UnsuitableError("it is not a database")
        size = int.from_bytes(start[16:18], "big")
        self.page_bytes = 65536 if size == 1 else size
        self.usable_bytes = self.page_bytes - start[20]
        self.pages, self.first_free, self.free = struct.unpack(">III", start[28:40])
        if self.page_bytes < 512 or self.usable_bytes < 480:
            raise UnsuitableError("the size of its pages is wrong")
        if self.pages * self.page_bytes != file_bytes or start[24:28] != start[92:96]:
            raise UnsuitableError("it is not as large as it says")
        if self.pages >= _MOST_PAGES:
            raise UnsuitableError("it is too large")
        if any(start[52:56]):
            raise UnsuitableError("it has pages that tell where others are pointed to")


def erase(file: FileIO) -> int:
    """Overwrite what is unused in a file that nobody else writes to.

    Args:
        file: The file, opened for reading and writing, without a buffer.

    Returns:
        How many ranges were not zero.

    Raises:
        UnsuitableError: It is not as a database file should be; unused ranges that were found
            before are zero.
    """
    header = Header(_read(file, 0, _HEADER_BYTES), os.fstat(file.fileno()).st_size)
    free = dict(_free_pages(file, header))
    zeros = bytes(header.page_bytes)
    size, written = header.page_bytes, 0
    at_once = max(1, _READ_BYTES // size)
    for first in range(0, header.pages, at_once):
        begin = first * size
        block = _read(file, begin, min(at_once, header.pages - first) * size)
        for at in range(0, len(block), size):
            number = (begin + at) // size + 1
            if number in free:
                ranges: Iterator[Range] = iter([free[number]])
            else:
                ranges = _unused(block, at, header.usable_bytes, first=number == 1)
            for start, end in ranges:
                if block[at + start : at + end] != zeros[: end - start]:
                    _write(file, begin + at + start, zeros[: end - start])
                    written += 1
    return written


def _unused(block: bytes, at: int, usable: int, *, first: bool) -> Iterator[Range]:
    """The unused ranges of a page, counted from its beginning.

    Args:
        block: Bytes of several pages.
        at: Where in them the page begins.
        usable: How many bytes of a page are used.
        first: Whether it is the first page of the file.
    """
    head = _HEADER_BYTES if first else 0
    kind, free_block, cells, content = _PAGE.unpack_from(block, at + head)
    if kind not in _KINDS:
        return  # of a value that is too long for one page
    begin = head + _KINDS[kind] + 2 * cells
    content = content or 65536
    if not begin <= content <= usable:
        raise UnsuitableError("a page has its cells in the wrong place")
    yield begin, content
    after = content
    while free_block:
        if not after <= free_block <= usable - _BLOCK.size:
            raise UnsuitableError("a page has a free block in the wrong place")
        following, length = _BLOCK.unpack_from(block, at + free_block)
        after = free_block + length
        if length < _BLOCK.size or after > usable:
            raise UnsuitableError("a page has a free block of the wrong size")
        yield free_block + _BLOCK.size, after
        free_block = following


def _free_pages(file: FileIO, header: Header) -> Iterator[tuple[int, Range]]:
    """Each page that is free or lists others, by its number, and what of it is unused."""
    left, trunk = header.free, header.first_free
    while trunk:
        if not 1 < trunk <= header.pages or left < 1:
            raise UnsuitableError("its list of free pages is damaged")
        page = _read(file, (trunk - 1) * header.page_bytes, header.page_bytes)
        following, count = _TRUNK.unpack_from(page)
        begin = _TRUNK.size + 4 * count
        left -= 1 + count
        if begin > header.usable_bytes or left < 0:
            raise UnsuitableError("its list of free pages is damaged")
        yield trunk, (begin, header.usable_bytes)
        for leaf in struct.unpack_from(f">{count}I", page, _TRUNK.size):
            if not 1 < leaf <= header.pages:
                raise UnsuitableError("its list of free pages is damaged")
            yield leaf, (0, header.usable_bytes)
        trunk = following
    if left:
        raise UnsuitableError("its list of free pages is too short")


def _read(file: FileIO, at: int, size: int) -> bytes:
    file.seek(at)
    read = file.read(size)
    if read is None or len(read) != size:
        raise UnsuitableError("it ends too soon")
    return read


def _write(file: FileIO, at: int, zeros: bytes) -> None:
    file.seek(at)
    while zeros:
        zeros = zeros[file.write(zeros) :]


def main(path: str, inode: str, timeout_s: float) -> NoReturn:
    """Lock a database, overwrite what is unused in its file, print how that went, and end.

    Args:
        path: The file.
        inode: Its device and inode, as `identity` gives them.
        timeout_s: How long to wait for others, in seconds.
    """
    try:
        file = FileIO(path, "r+b")
        connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
        said = _run(file, connection, path, inode)
    except UnsuitableError as error:
        said = f"{UNSUITABLE}: {error}"
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        said = BUSY
    sys.stdout.write(said)
    sys.stdout.flush()
    # Nothing is closed. The last connection that is closed takes the log away; and if others have
    # lost their locks, as by reading the file themselves, this one would be taken for the last.
    os._exit(0)


def _run(file: FileIO, connection: sqlite3.Connection, path: str, inode: str) -> str:
    connection.execute("PRAGMA synchronous = FULL")
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        raise UnsuitableError("it has no write-ahead log")
    # After connecting: what was there before and after was there in between.
    if not identity(os.fstat(file.fileno())) == identity(os.stat(path)) == inode:
        raise UnsuitableError("another file is in its place")
    if not _lock(connection, path):
        return BUSY
    erase(file)
    os.fsync(file.fileno())
    # A change to everybody who looks for one. The file has everything, so it needs no mark that it
    # lacks a log (`log_mark`), which a writer who was killed may have left.
    connection.execute("PRAGMA user_version = 0")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return DONE


def identity(found: os.stat_result) -> str:
    """The device and inode of a file."""
    return f"{found.st_dev}:{found.st_ino}"


def _lock(connection: sqlite3.Connection, path: str) -> bool:
    """Empty the log, and see to it that it stays empty; whether that was possible."""
    for _ in range(_ATTEMPTS):
        (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            return False
        connection.execute("BEGIN IMMEDIATE")
        if _is_empty(f"{path}-wal"):
            return True
        connection.execute("ROLLBACK")  # somebody has written in between
    return False


def _is_empty(log: str) -> bool:
    try:
        return os.stat(log).st_size == 0
    except FileNotFoundError:
        return True


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
