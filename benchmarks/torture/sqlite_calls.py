"""Watches every file call of this process's SQLite, through a VFS that forwards to its own.

SQLite asks its VFS for each write, truncation, sync and deletion. The one that is registered here
tells an `Observer` before and after, so that a process can be killed at a chosen call, or a disk be
modelled that loses what was not synced. It is the library that Python's `sqlite3` uses, found by
ctypes; the VFS stays for the rest of the process.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_int64, c_void_p, cast
from ctypes.util import find_library
from typing import Any, ClassVar, Protocol

from agentmem.errors import InputError


class Observer(Protocol):
    """What observes the calls; paths are as SQLite has them, absolute."""

    def before(self, call: str, path: str) -> None:
        """A call is about to be made."""

    def opened(self, path: str) -> None:
        """A file was opened, and created if necessary."""

    def written(self, path: str, offset: int, data: bytes) -> None:
        """Bytes were written."""

    def truncated(self, path: str, size: int) -> None:
        """A file was cut."""

    def synced(self, path: str) -> None:
        """All that was written to a file is durable."""

    def deleted(self, path: str, *, synced: bool) -> None:
        """A file was deleted; if ``synced``, and its folder synced before it returned."""

    def after(self, call: str, path: str) -> None:
        """A call has been made."""


class _File(Structure):
    _fields_: ClassVar = [("methods", c_void_p)]


class _Methods(Structure):
    _fields_: ClassVar = [
        ("version", c_int),
        *((name, c_void_p) for name in ("close", "read", "write", "truncate", "sync")),
        *((f"other{n}", c_void_p) for n in range(13)),
    ]


class _Vfs(Structure):
    _fields_: ClassVar = [
        ("version", c_int),
        ("file_size", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        *((f"other{n}", c_void_p) for n in range(14)),
    ]


_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
# What must live as long as the process.
_kept: list[Any] = []


def watch(observer: Observer) -> None:
    """Have all connections that are opened from now on watched.

    Raises:
        InputError: this Python's SQLite is not a shared library.
    """
    library = ctypes.CDLL(find_library("sqlite3") or "libsqlite3.so.0")
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    own = library.sqlite3_vfs_find(None)
    watched = _Vfs.from_buffer_copy(own.contents)
    watched.name = b"watched"
    calls = _Calls(own, observer)
    watched.open = cast(calls.open, c_void_p)
    watched.delete = cast(calls.delete, c_void_p)
    _kept.extend((library, watched, calls))
    library.sqlite3_vfs_register(byref(watched), 1)
    if not _reaches(calls):
        raise InputError(
            f"the SQLite {sqlite3.sqlite_version} of this Python is built into it, so that its "
            f"file calls cannot be watched: use a Python with a shared SQLite"
        )


def _reaches(calls: _Calls) -> bool:
    """Whether `sqlite3` uses the library in which the VFS was registered."""
    before = calls.count
    sqlite3.connect(f"file:{os.devnull}?mode=ro&immutable=1", uri=True).close()
    return calls.count > before


class _Calls:
    """The functions that SQLite calls."""

    def __init__(self, own: Any, observer: Observer) -> None:
        self.count = 0
        self._own = own
        self._observer = observer
        self._paths: dict[int, str] = {}
        self._methods: dict[int, _Methods] = {}
        self._originals: dict[int, _Methods] = {}
        self._open = _OPEN(own.contents.open)
        self._delete = _DELETE(own.contents.delete)
        self.open = _OPEN(self._on_open)
        self.delete = _DELETE(self._on_delete)
        self._own_close = _CLOSE(self._on_close)
        self._own_write = _WRITE(self._on_write)
        self._own_truncate = _TRUNCATE(self._on_truncate)
        self._own_sync = _SYNC(self._on_sync)

    def _on_open(self, _: int, name: int | None, file: int, flags: int, out: int) -> int:
        self.count += 1
        # The very pointer: behind the name stand the parameters of a URI.
        result: int = self._open(cast(self._own, c_void_p), name, file, flags, out)
        own = _File.from_address(file)
        if result or not name or not own.methods:
            return result
        path = os.fsdecode(ctypes.string_at(name))
        self._paths[file] = path
        own.methods = ctypes.addressof(self._watched(own.methods))
        self._observer.opened(path)
        return 0

    def _watched(self, methods: int) -> _Methods:
        """The functions for a file, of which SQLite has several sets."""
        if methods not in self._methods:
            original = _Methods.from_address(methods)
            made = _Methods.from_buffer_copy(original)
            made.close = cast(self._own_close, c_void_p)
            made.write = cast(self._own_write, c_void_p)
            made.truncate = cast(self._own_truncate, c_void_p)
            made.sync = cast(self._own_sync, c_void_p)
            self._methods[methods] = made
            self._originals[ctypes.addressof(made)] = original
        return self._methods[methods]

    def _original(self, file: int) -> _Methods:
        return self._originals[_File.from_address(file).methods]

    def _on_close(self, file: int) -> int:
        self._paths.pop(file, None)
        result: int = _CLOSE(self._original(file).close)(file)
        return result

    def _on_write(self, file: int, data: int, length: int, offset: int) -> int:
        path = self._paths[file]
        self._observer.before("write", path)
        result: int = _WRITE(self._original(file).write)(file, data, length, offset)
        if not result:
            self._observer.written(path, offset, ctypes.string_at(data, length))
        self._observer.after("write", path)
        return result

    def _on_truncate(self, file: int, size: int) -> int:
        path = self._paths[file]
        self._observer.before("truncate", path)
        result: int = _TRUNCATE(self._original(file).truncate)(file, size)
        if not result:
            self._observer.truncated(path, size)
        self._observer.after("truncate", path)
        return result

    def _on_sync(self, file: int, flags: int) -> int:
        path = self._paths[file]
        self._observer.before("sync", path)
        result: int = _SYNC(self._original(file).sync)(file, flags)
        if not result:
            self._observer.synced(path)
        self._observer.after("sync", path)
        return result

    def _on_delete(self, _: int, name: bytes, sync_folder: int) -> int:
        path = os.fsdecode(name)
        self._observer.before("delete", path)
        result: int = self._delete(cast(self._own, c_void_p), name, sync_folder)
        if not result:
            self._observer.deleted(path, synced=bool(sync_folder & 1))
        self._observer.after("delete", path)
        return result
