"""Every error that agentmem raises of its own accord has one root.

AgentMemError
├─ InputError(ValueError)             what was given cannot be stored or searched for
│  └─ FilterError                     a filter names an unknown operator or has a wrong shape
├─ StoreError
│  ├─ StoreNotFoundError              nothing at that path, and it was not to be created
│  ├─ NotAStoreError                  something else lies at that path
│  ├─ StoreBusyError                  another writer held the lock for longer than the timeout
│  ├─ StoreUnwritableError            read-only folder or file, or no space left
│  ├─ SchemaVersionError              written by a newer agentmem
│  ├─ CorruptRecordError              a row's bytes do not match their checksum
│  └─ UnknownIdError(KeyError)        no memory has that id
├─ IncompatibleModelError             the store belongs to another model bundle
└─ MissingExtraError(ImportError)     an optional package is not installed; carries .extra

Messages name the value with ``!r`` and the way out. Wrong argument types stay ``TypeError``.
"""

from __future__ import annotations


class AgentMemError(Exception):
    """The root of every error raised by agentmem."""


class InputError(AgentMemError, ValueError):
    """What was given cannot be stored or searched for; nothing was written."""


class FilterError(InputError):
    """A filter names an unknown operator or field, or has a wrong shape."""


class StoreError(AgentMemError):
    """The store cannot do what was asked."""


class StoreNotFoundError(StoreError):
    """There is no store at that place, and it was not to be created."""


class NotAStoreError(StoreError):
    """What lies at that place is not an agentmem store."""


class StoreBusyError(StoreError):
    """Another process held the write lock for longer than the timeout."""


class StoreUnwritableError(StoreError):
    """The folder or file is read-only, or its disk is full; nothing was written."""


class SchemaVersionError(StoreError):
    """The store was written by a newer agentmem."""


class CorruptRecordError(StoreError):
    """A stored row does not match its checksum; ``id`` names the chunk."""

    def __init__(self, message: str, *, id: int | None = None) -> None:
        super().__init__(message)
        self.id = id


class UnknownIdError(StoreError, KeyError):
    """No memory has that id (a ``KeyError`` too, so plain look-up code catches it)."""

    def __str__(self) -> str:
        return str(self.args[0])


class IncompatibleModelError(AgentMemError):
    """The store belongs to another model bundle."""


class MissingExtraError(AgentMemError, ImportError):
    """An optional dependency is not installed; ``extra`` names the pip extra that brings it."""

    def __init__(self, message: str, *, extra: str) -> None:
        super().__init__(message)
        self.extra = extra
