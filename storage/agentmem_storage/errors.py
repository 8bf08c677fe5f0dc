"""The exception hierarchy of the storage package; all agentmem errors share one root.

AgentMemError
├─ InputError(ValueError)             the input cannot be stored or searched for
│  └─ FilterError                     a filter has an unknown operator or is malformed
├─ StoreError
│  ├─ StoreNotFoundError              there is no store at that location, and create=False
│  ├─ NotAStoreError                  the location holds something else
│  ├─ StoreBusyError                  another writer held the lock for longer than the timeout
│  │  └─ ChangedError                 another writer changed what was to be changed
│  ├─ StoreUnwritableError            read-only folder or file, or no space left
│  ├─ StoreMovedError                 its files were moved, deleted or replaced while it was open
│  ├─ StoreIncompleteError            a file of it is missing, or of another time than the others
│  ├─ SchemaVersionError              written by a newer agentmem
│  ├─ StoreKeyError                   an encrypted store cannot be opened with what was given
│  │  ├─ KeyRequiredError             it is encrypted, and no key was given
│  │  ├─ WrongKeyError                it has another key
│  │  └─ KeyRingError                 its key ring is missing, damaged or an older copy
│  ├─ CorruptRecordError              a row's bytes do not match their checksum
│  └─ UnknownIdError(KeyError)        no memory has that id
├─ ArchiveError(ValueError)           a file is no archive, damaged, or cannot be decrypted
├─ IncompatibleModelError             the store is bound to another model bundle
└─ MissingExtraError(ImportError)     an optional package is not installed; carries .extra

Messages name the offending value with ``!r`` and say what to do. Wrong argument types raise
``TypeError``.
"""

from __future__ import annotations

from typing import Any

# Characters of a message; what is between its beginning and its end may be a value of any size.
_LONGEST = 2_000
_END = 500


class AgentMemError(Exception):
    """The root of every error raised by agentmem; all of them can be pickled and copied."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(_shortened(one) if isinstance(one, str) else one for one in args))

    def __reduce__(self) -> tuple[Any, ...]:
        """As an exception does, but without calling the constructor, which may need keywords."""
        return _restored, (type(self), self.args), self.__dict__


class InputError(AgentMemError, ValueError):
    """The input cannot be stored or searched for; nothing was written."""


class FilterError(InputError):
    """A filter has an unknown operator or field, or is malformed."""


class StoreError(AgentMemError):
    """The store cannot perform the operation."""


class StoreNotFoundError(StoreError):
    """There is no store at that location, and it was not to be created."""


class NotAStoreError(StoreError):
    """The location holds something that is not an agentmem store."""


class StoreBusyError(StoreError):
    """Another process held the write lock for longer than the timeout."""


class ChangedError(StoreBusyError):
    """Another writer changed what was to be changed, since it was read; nothing was written."""


class StoreUnwritableError(StoreError):
    """The folder or file is read-only, or its disk is full; nothing was written."""


class StoreMovedError(StoreError):
    """The files of an open store were moved, deleted or replaced; nothing more is stored there."""


class StoreIncompleteError(StoreError):
    """A file of the store is missing, older than the others, or cut; nothing was changed."""


class SchemaVersionError(StoreError):
    """The store was written by a newer agentmem."""


class StoreKeyError(StoreError):
    """An encrypted store cannot be opened with the key that was given; nothing was changed."""


class KeyRequiredError(StoreKeyError):
    """The store is encrypted, and no key was given."""


class WrongKeyError(StoreKeyError):
    """The store has another master key; it may have been changed while the store was open."""


class KeyRingError(StoreKeyError):
    """The key ring of an encrypted store is missing, damaged, or an older copy."""


class CorruptRecordError(StoreError):
    """A stored row does not match its checksum; ``id`` names the chunk."""

    def __init__(self, message: str, *, id: int | None = None) -> None:
        super().__init__(message)
        self.id = id


class UnknownIdError(StoreError, KeyError):
    """No memory has that id; also a ``KeyError``, so that generic lookup code catches it.

    ``became`` has the ids of the memories that replaced it, if its text was updated.
    """

    def __init__(self, message: str, *, became: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.became = became

    def __str__(self) -> str:
        return str(self.args[0])


class ArchiveError(AgentMemError, ValueError):
    """A file is not an .amem archive, is damaged, or cannot be decrypted."""


class IncompatibleModelError(AgentMemError):
    """The store is bound to another model bundle, or to another embedder.

    ``model`` is the fingerprint that it is bound to, and ``latents`` that of what its latents
    depend on; None where that is not known.
    """

    def __init__(
        self, message: str, *, model: str | None = None, latents: str | None = None
    ) -> None:
        super().__init__(message)
        self.model = model
        self.latents = latents


class MissingExtraError(AgentMemError, ImportError):
    """An optional dependency is not installed; ``extra`` names the pip extra that provides it."""

    def __init__(self, message: str, *, extra: str) -> None:
        super().__init__(message)
        self.extra = extra


def _shortened(message: str) -> str:
    """A message of which the middle is left out if it is long: the way out stands at the end."""
    if len(message) <= _LONGEST:
        return message
    return f"{message[: _LONGEST - _END - 5]} ... {message[-_END:]}"


def _restored(kind: type[AgentMemError], args: tuple[object, ...]) -> AgentMemError:
    error = kind.__new__(kind, *args)
    super(AgentMemError, error).__init__(*args)  # an ImportError keeps its message separately
    return error
