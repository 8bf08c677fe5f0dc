"""Every error of agentmem, in one place; the tree of the store's part is drawn where it stands.

AgentMemError
├─ …                                  see `agentmem_storage.errors`
├─ ConfigError(ValueError)            a setting is wrong; names file, key and value
└─ ModelError
   └─ ModelNotFoundError              no model bundle at that path
"""

from __future__ import annotations

from agentmem_storage.errors import (
    AgentMemError,
    CorruptRecordError,
    FilterError,
    IncompatibleModelError,
    InputError,
    MissingExtraError,
    NotAStoreError,
    SchemaVersionError,
    StoreBusyError,
    StoreError,
    StoreNotFoundError,
    StoreUnwritableError,
    UnknownIdError,
)

__all__ = [
    "AgentMemError",
    "ConfigError",
    "CorruptRecordError",
    "FilterError",
    "IncompatibleModelError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "NotAStoreError",
    "SchemaVersionError",
    "StoreBusyError",
    "StoreError",
    "StoreNotFoundError",
    "StoreUnwritableError",
    "UnknownIdError",
]


class ConfigError(AgentMemError, ValueError):
    """A setting is wrong; the message names the file, the key and the value."""


class ModelError(AgentMemError):
    """A model bundle cannot do what was asked."""


class ModelNotFoundError(ModelError):
    """There is no model bundle at that path, or a file of it is missing."""
