"""A model of a disk whose power is cut: what was not synced may be there, in part, or not at all.

It follows the calls of SQLite and of Python on the files of one folder, and writes the folder as a
restart might find it. Of each file, what was written before its last sync is there. Of what was
written later, sectors of 512 bytes are there or missing. Of the names in a folder, those as of its
last sync are there, or those of now.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SECTOR = 512
# Made anew from the log whenever SQLite finds nobody else there.
_SHARED_MEMORY = "-shm"
# SQLite syncs the folder when it first syncs a file that it has made with one of these names.
_WITH_FOLDER = ("-wal", "-journal")


@dataclass(eq=False)
class _File:
    """A file, whatever names it has.

    Attributes:
        durable: Its content as of its last sync.
        pending: What SQLite has written since: places and bytes, or new lengths.
        by_sqlite: Whether that is all that was written.
        named: Whether its folder was synced since it was made.
    """

    durable: bytes = b""
    pending: list[tuple[int, bytes] | int] = field(default_factory=list)
    by_sqlite: bool = False
    named: bool = False


class Disk:
    """The disk under one folder, whose files are durable when this is made.

    An observer for `benchmarks.torture.sqlite_calls.watch`.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._now: dict[str, _File] = {}
        for path in self._files():
            self._now[path] = _File(Path(path).read_bytes(), named=True)
        self._named = dict(self._now)
        self._follow_python()

    def before(self, call: str, path: str) -> None:
        """Nothing has happened yet."""

    def after(self, call: str, path: str) -> None:
        """What has happened was reported already."""

    def opened(self, path: str) -> None:
        """A file that was not there before is empty."""
        if self._is_inside(path):
            self._now.setdefault(path, _File()).by_sqlite = True

    def written(self, path: str, offset: int, data: bytes) -> None:
        """Not durable yet."""
        if self._is_inside(path):
            self._now[path].pending.append((offset, data))

    def truncated(self, path: str, size: int) -> None:
        """Not durable yet."""
        if self._is_inside(path):
            self._now[path].pending.append(size)

    def synced(self, path: str) -> None:
        """What was written is durable; the name of a new log, too."""
        if not self._is_inside(path):
            return
        file = self._now[path]
        content = bytearray(file.durable)
        for one in file.pending:
            _apply(content, one)
        file.durable, file.pending = bytes(content), []
        if path.endswith(_WITH_FOLDER) and not file.named:
            self._folder_synced(os.path.dirname(path))

    def deleted(self, path: str, *, synced: bool) -> None:
        """Its name is gone, as soon as the folder is synced."""
        self._now.pop(path, None)
        if synced and self._is_inside(path):
            self._folder_synced(os.path.dirname(path))

    def after_a_cut(self, target: Path, chance: random.Random) -> None:
        """Write the files to a new folder as they might be found when the power is back."""
        for path in self._files():  # those that Python made
            self._now.setdefault(path, _File())
        how = chance.choice(("lost", "kept", "some", "first"))
        folders = {os.path.dirname(path) for path in (*self._now, *self._named)}
        old = {folder for folder in folders if chance.random() < 0.5}
        for path in sorted({*self._now, *self._named}):
            names = self._named if os.path.dirname(path) in old else self._now
            file = names.get(path)
            if file is None or path.endswith(_SHARED_MEMORY):
                continue
            copy = target / os.path.relpath(path, self._root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(self._content(path, file, how, chance))
        target.mkdir(exist_ok=True)

    def _content(self, path: str, file: _File, how: str, chance: random.Random) -> bytes:
        if not file.by_sqlite:
            if self._now.get(path) is not file or how == "lost":
                return file.durable
            written = Path(path).read_bytes()
            if how != "first" or written == file.durable:
                return written
            return written[: chance.randrange(len(written) + 1)]
        content = bytearray(file.durable)
        kept = {"lost": 0, "kept": len(file.pending), "some": len(file.pending)}.get(how)
        if kept is None:
            kept = chance.randrange(len(file.pending) + 1)
        share = chance.random() if how == "some" else 1.0
        for one in file.pending[:kept]:
            if isinstance(one, int):
                if share == 1.0 or chance.random() < share:
                    _apply(content, one)
                continue
            offset, data = one
            for at in range(0, len(data), _SECTOR):
                if share == 1.0 or chance.random() < share:
                    _apply(content, (offset + at, data[at : at + _SECTOR]))
        return bytes(content)

    def _folder_synced(self, folder: str) -> None:
        for path in self._files():
            if os.path.dirname(path) == folder:
                self._now.setdefault(path, _File())
        for names in (self._named, self._now):
            for path in [one for one in names if os.path.dirname(one) == folder]:
                if path in self._now:
                    self._named[path] = self._now[path]
                    self._named[path].named = True
                else:
                    del self._named[path]

    def _follow_python(self) -> None:
        """Follow what Python does to files, which does not go by way of SQLite."""
        own: dict[str, Any] = {
            name: getattr(os, name) for name in ("fsync", "rename", "replace", "unlink", "remove")
        }

        def fsync(descriptor: int) -> None:
            own["fsync"](descriptor)
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if os.path.isdir(path):
                self._folder_synced(path)
            elif self._is_inside(path):
                file = self._now.setdefault(path, _File())
                file.durable = Path(path).read_bytes()
                file.pending = []

        def moved(name: str) -> Any:
            def move(source: Any, target: Any, **folders: Any) -> None:
                own[name](source, target, **folders)
                before, after = os.path.abspath(source), os.path.abspath(target)
                if self._is_inside(after):
                    self._now[after] = self._now.pop(before) if before in self._now else _File()

            return move

        def removed(name: str) -> Any:
            def remove(path: Any, **folder: Any) -> None:
                own[name](path, **folder)
                self.deleted(os.path.abspath(path), synced=False)

            return remove

        changed = {"fsync": fsync, **{name: moved(name) for name in ("rename", "replace")}}
        changed |= {name: removed(name) for name in ("unlink", "remove")}
        for name, call in changed.items():
            setattr(os, name, call)

    def _files(self) -> list[str]:
        return [
            os.path.join(folder, name) for folder, _, names in os.walk(self._root) for name in names
        ]

    def _is_inside(self, path: str) -> bool:
        return path.startswith(self._root + os.sep)


def _apply(content: bytearray, one: tuple[int, bytes] | int) -> None:
    if isinstance(one, int):
        del content[one:]
        content.extend(bytes(one - len(content)))
        return
    offset, data = one
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data
