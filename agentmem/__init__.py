"""Long-term memory for agents: text becomes a few small vectors that decode to the exact text.

::

    from agentmem import Memory

    mem = Memory("notes")
    mem.add("Booked the 9:40 to Lyon", user_id="ana")
    mem.recall("when is my train?", user_id="ana")[0].text
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from agentmem._version import __version__

if TYPE_CHECKING:
    from agentmem.aio import AsyncMemory
    from agentmem.chat.answerers import ChatAnswerer, connect
    from agentmem.chat.async_session import AsyncSession
    from agentmem.chat.reader import Answer, MemoryReader
    from agentmem.chat.session import Session
    from agentmem.context.hits import Chunk, Hit, Occurrence
    from agentmem.context.pack import Context, pack
    from agentmem.context.recall import Recall
    from agentmem.context.source import Source
    from agentmem.context.timeline import Episode
    from agentmem.dossier import Dossier
    from agentmem.errors import AgentMemError
    from agentmem.integrations.clients import wrap
    from agentmem.memory import Memory
    from agentmem.results import (
        BackupReceipt,
        Conflict,
        Damage,
        ExportReceipt,
        ForgetReceipt,
        IncrementReceipt,
        LoadReceipt,
        Migration,
        Preparation,
        Receipt,
        Repair,
        ScopeUse,
        Stats,
        Verification,
    )
    from agentmem.scopes import ANY
    from agentmem.types import Document, Message

__all__ = [
    "ANY",
    "AgentMemError",
    "Answer",
    "AsyncMemory",
    "AsyncSession",
    "BackupReceipt",
    "ChatAnswerer",
    "Chunk",
    "Conflict",
    "Context",
    "Damage",
    "Document",
    "Dossier",
    "Episode",
    "ExportReceipt",
    "ForgetReceipt",
    "Hit",
    "IncrementReceipt",
    "LoadReceipt",
    "Memory",
    "MemoryReader",
    "Message",
    "Migration",
    "Occurrence",
    "Preparation",
    "Recall",
    "Receipt",
    "Repair",
    "ScopeUse",
    "Session",
    "Source",
    "Stats",
    "Verification",
    "__version__",
    "connect",
    "pack",
    "wrap",
]

# Names are imported on first use, so that `import agentmem` loads neither SQL nor torch.
_HOMES = {
    "ANY": "agentmem.scopes",
    "AgentMemError": "agentmem.errors",
    "Answer": "agentmem.chat.reader",
    "AsyncMemory": "agentmem.aio",
    "AsyncSession": "agentmem.chat.async_session",
    "BackupReceipt": "agentmem.results",
    "ChatAnswerer": "agentmem.chat.answerers",
    "Chunk": "agentmem.context.hits",
    "Conflict": "agentmem.results",
    "Context": "agentmem.context.pack",
    "Damage": "agentmem.results",
    "Document": "agentmem.types",
    "Dossier": "agentmem.dossier",
    "Episode": "agentmem.context.timeline",
    "ExportReceipt": "agentmem.results",
    "ForgetReceipt": "agentmem.results",
    "Hit": "agentmem.context.hits",
    "IncrementReceipt": "agentmem.results",
    "LoadReceipt": "agentmem.results",
    "Memory": "agentmem.memory",
    "MemoryReader": "agentmem.chat.reader",
    "Message": "agentmem.types",
    "Migration": "agentmem.results",
    "Occurrence": "agentmem.context.hits",
    "Preparation": "agentmem.results",
    "Recall": "agentmem.context.recall",
    "Receipt": "agentmem.results",
    "Repair": "agentmem.results",
    "ScopeUse": "agentmem.results",
    "Session": "agentmem.chat.session",
    "Source": "agentmem.context.source",
    "Stats": "agentmem.results",
    "Verification": "agentmem.results",
    "connect": "agentmem.chat.answerers",
    "pack": "agentmem.context.pack",
    "wrap": "agentmem.integrations.clients",
}

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
