"""From the options that say where the memory is to an open one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentmem.errors import StoreNotFoundError

if TYPE_CHECKING:
    from agentmem.memory import Memory


@contextmanager
def open_memory(
    store: str, model: Path | None, *, create: bool = False, **storing: Any
) -> Iterator[Memory]:
    """An open memory, closed at the end; ``storing`` as the arguments of `Memory` so named.

    Raises:
        StoreNotFoundError: nothing is there and ``create`` is False.
    """
    from agentmem.memory import Memory

    try:
        memory = Memory(store, model=model, create=create, **storing)
    except StoreNotFoundError as error:
        raise StoreNotFoundError(
            f"{error}: `agentmem add` makes one, --store names another"
        ) from error
    with memory:
        yield memory
