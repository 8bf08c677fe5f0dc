"""Brings the documents of a folder into a memory, and keeps them as they are in the folder.

A document is known by its path, which is its external id: what has changed takes the place of what
was stored, and the same again is not written. What changed while nobody watched is noticed
by that, too, so nothing is kept beside the store.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import InputError, UnknownIdError
from agentmem_cli.content import Defaults

if TYPE_CHECKING:
    from agentmem.memory import Memory
    from agentmem_cli.output import Bar

_IDS = ("user_id", "agent_id", "session_id")


@dataclass(slots=True)
class Changes:
    """What one look at a folder found; paths are those within the folder.

    Attributes:
        files: Number of documents.
        added: Those that are new in the store.
        changed: Those that took the place of what was stored.
        forgotten: Those that are no longer in the folder, or empty there, and were deleted.
        missing: Those that are no longer in the folder, or empty there, and were kept.
        unreadable: What cannot be read, each with its path and why; reported once.
    """

    files: int = 0
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return any((self.added, self.changed, self.forgotten, self.missing, self.unreadable))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Watcher:
    """Looks at a folder again and again."""

    def __init__(self, memory: Memory, folder: Path, defaults: Defaults, *, delete: bool) -> None:
        """A watcher that has not looked yet.

        Args:
            memory: The open memory.
            folder: The folder.
            defaults: Scope, time and metadata of the documents.
            delete: Whether to forget what is no longer in the folder.
        """
        self._memory, self._folder, self._delete = memory, folder.resolve(), delete
        self._defaults = defaults
        # Time and size of each file when it was read last; None if it only is in the store.
        self._seen: dict[str, tuple[int, int] | None] = dict.fromkeys(self._stored())
        # Files without any text, which count as gone.
        self._blank: set[str] = set()
        # What has been reported, and need not be at every look.
        self._missing: set[str] = set()
        self._unreadable: dict[str, str] = {}

    def look(self, bar: Bar) -> Changes:
        """Take over what has changed since the last look.

        Raises:
            InputError: the folder is gone. Nothing is forgotten then.
        """
        from agentmem.ingest.importers.documents import document_files

        if not self._folder.is_dir():
            raise InputError(f"the folder {str(self._folder)!r} is gone; nothing was forgotten")
        found = Changes()
        failed: list[OSError] = []
        files = list(document_files(self._folder, failed.append))
        present = set()
        for done, file in enumerate(files, start=1):
            path = file.relative_to(self._folder).as_posix()
            try:
                self._read(file, path, found)
            except FileNotFoundError:  # since it was listed
                continue
            except OSError as error:
                # Nothing else about it has to change for it to be readable.
                self._seen[path] = None
                self._fail(path, str(error.strerror), found)
            except InputError as error:
                self._fail(path, str(error), found)
            if path not in self._blank:
                present.add(path)
            bar(done, len(files), f"{len(found.added) + len(found.changed):,} stored")
        for one in failed:
            self._fail(str(one.filename), str(one.strerror), found)
        found.files = len(present)
        self._missing -= present
        if not failed:  # what is in a folder that cannot be read is not gone
            self._remove(sorted(self._seen.keys() - present), found)
        return found

    def _read(self, file: Path, path: str, found: Changes) -> None:
        """Store a file if it has changed."""
        from agentmem.ingest.importers.documents import has_no_text

        # Taken before it is read: what changes meanwhile is read at the next look.
        status = file.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if self._seen.get(path) == stamp:
            return
        self._seen[path] = stamp
        if has_no_text(file):
            self._blank.add(path)
            return
        self._blank.discard(path)
        self._add(file, path, found)
        self._unreadable.pop(path, None)

    def _fail(self, path: str, why: str, found: Changes) -> None:
        if self._unreadable.get(path) != why:
            self._unreadable[path] = why
            found.unreadable.append({"path": path, "why": why})

    def _add(self, file: Path, path: str, found: Changes) -> None:
        from agentmem.types import Document

        document = replace(Document.from_file(file), uri=path)
        receipt = self._memory.add(
            document,
            **self._defaults.scope,
            id=self._id(path),
            created_at=self._defaults.created_at,
            metadata=self._defaults.metadata,
        )
        if receipt.replaced:
            found.changed.append(path)
        elif receipt.ids != receipt.duplicates:
            found.added.append(path)

    def _remove(self, paths: list[str], found: Changes) -> None:
        """Forget documents that are gone; or say once that they are kept."""
        for path in paths:
            where = self._where(external_id=self._id(path))
            ids = [chunk.id for chunk in self._memory.list(where=where)]
            if not ids:
                del self._seen[path]
            elif self._delete:
                del self._seen[path]
                with suppress(UnknownIdError):  # somebody else forgot it
                    self._memory.forget(ids)
                found.forgotten.append(path)
            elif path not in self._missing:
                self._missing.add(path)
                found.missing.append(path)

    def _stored(self) -> list[str]:
        """The paths in the folder that the store has documents of."""
        first, end = self._id(""), self._id("")[:-1] + "0"  # the character after the slash
        where = self._where(external_id={"gte": first, "lt": end})
        named = (chunk.source.external_id or "" for chunk in self._memory.list(where=where))
        return list(dict.fromkeys(id.removeprefix(first) for id in named))

    def _id(self, path: str) -> str:
        return f"{self._folder.as_posix()}/{path}"

    def _where(self, **conditions: Any) -> dict[str, Any]:
        """A filter for exactly the scope that documents are written to."""
        ids: dict[str, Any] = dict(self._defaults.scope)
        return {**{name: ids.get(name) for name in _IDS}, **conditions}
