"""What an adapter may be given as a memory: a `Memory`, or what has its verbs."""

from __future__ import annotations

from typing import cast

from agentmem.aio import AsyncMemory
from agentmem.errors import InputError
from agentmem.memory import Memory
from agentmem_storage.text import shown

_VERBS = ("add", "recall", "list", "forget")


def is_memory(given: object) -> bool:
    """Whether something is a `Memory`, or like `agentmem.remote.RemoteMemory` has its verbs."""
    verbs = all(callable(getattr(given, verb, None)) for verb in _VERBS)
    return verbs and not isinstance(given, AsyncMemory)


def check_memory(given: object) -> Memory:
    """A memory as it is.

    Raises:
        InputError: it is none.
    """
    if not is_memory(given):
        raise InputError(f"memory must be an open Memory or RemoteMemory, got {shown(given)}")
    return cast("Memory", given)
