"""All exceptions of agentmem; those of the store are defined in `agentmem_storage.errors`.

AgentMemError
├─ …                                  see `agentmem_storage.errors`
├─ InputError
│  └─ BlankError                      a message has no text; among others it is only counted
├─ AnswererError                      a language model gave no answer; carries .status
├─ ServiceError                       an HTTP service refused or was not reached; carries .status
├─ ConfigError(ValueError)            an invalid setting; names file, key and value
└─ ModelError
   └─ ModelNotFoundError              there is no model bundle at that path
"""

from __future__ import annotations

from agentmem_storage.errors import (
    AgentMemError,
    ArchiveError,
    ChangedError,
    CorruptRecordError,
    FilterError,
    IncompatibleModelError,
    InputError,
    KeyRequiredError,
    KeyRingError,
    MissingExtraError,
    NotAStoreError,
    SchemaVersionError,
    StoreBusyError,
    StoreError,
    StoreIncompleteError,
    StoreKeyError,
    StoreMovedError,
    StoreNotFoundError,
    StoreUnwritableError,
    UnknownIdError,
    WrongKeyError,
)

__all__ = [
    "AgentMemError",
    "AnswererError",
    "ArchiveError",
    "BlankError",
    "ChangedError",
    "ConfigError",
    "CorruptRecordError",
    "FilterError",
    "IncompatibleModelError",
    "InputError",
    "KeyRequiredError",
    "KeyRingError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "NotAStoreError",
    "SchemaVersionError",
    "ServiceError",
    "StoreBusyError",
    "StoreError",
    "StoreIncompleteError",
    "StoreKeyError",
    "StoreMovedError",
    "StoreNotFoundError",
    "StoreUnwritableError",
    "UnknownIdError",
    "WrongKeyError",
]


class AnswererError(AgentMemError):
    """A language model gave no answer; ``status`` is the HTTP status, None if there was none."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ServiceError(AgentMemError):
    """An HTTP service of agentmem refused a request, or could not be reached.

    ``status`` is the HTTP status, None if there was no answer; ``code`` is the kind of error, see
    `agentmem.wire.problems`.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class BlankError(InputError):
    """There is nothing but messages without text; among others they are only counted."""


class ConfigError(AgentMemError, ValueError):
    """A setting is invalid; the message names the file, the key and the value."""


class ModelError(AgentMemError):
    """A model bundle is damaged or lacks a requested part."""


class ModelNotFoundError(ModelError):
    """There is no model bundle at that path, or a file of it is missing."""
