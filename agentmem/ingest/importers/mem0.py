"""What mem0 returns from ``get_all``: a list of memories, alone or as ``results``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Message, by_scope
from agentmem_storage.text import shown

FORM = "mem0 memories"


def fits(value: object) -> bool:
    """Whether a JSON value is a memory of mem0, or an answer with some."""
    if not isinstance(value, Mapping):
        return False
    results = value.get("results")
    if isinstance(results, list):
        return bool(results) and fits(results[0])
    return isinstance(value.get("memory"), str) and "role" not in value


def read(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Imported:
    """Memories, as what their user said; ``run_id`` is the session.

    Raises:
        InputError: one has no text.
    """
    where = values[0][0]
    return Imported(FORM, tuple(by_scope(where, list(_messages(values)))))


def _messages(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Message]:
    for where, value in values:
        results = value.get("results")
        for number, one in enumerate(results if isinstance(results, list) else [value]):
            if not isinstance(one, Mapping) or not isinstance(one.get("memory"), str):
                raise InputError(f"{where}, memory {number}: it has no text: {shown(one)}")
            session = one.get("run_id") or one.get("session_id")
            yield {
                "role": "user",
                "content": one["memory"],
                "id": one.get("id"),
                "created_at": one.get("created_at"),
                "metadata": one.get("metadata"),
                "user_id": one.get("user_id"),
                "agent_id": one.get("agent_id"),
                "session_id": session,
            }
