"""What mem0 returns from ``get_all``: a list of memories, alone or as ``results``."""

from __future__ import annotations

from collections import Counter
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
        return fits(next((one for one in results if one is not None), None))
    # mem0 writes null for a memory that has lost its text.
    has_text = isinstance(value.get("memory", 0), str | None)
    return has_text and "role" not in value


def read(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Imported:
    """Memories, as what their user said; ``run_id`` is the session. Those of null are counted.

    Raises:
        InputError: one is no memory.
    """
    where = values[0][0]
    skipped: Counter[str] = Counter()
    items = by_scope(where, list(_messages(values, skipped)))
    return Imported(FORM, tuple(items), dict(skipped))


def _messages(
    values: Sequence[tuple[str, Mapping[str, Any]]], skipped: Counter[str]
) -> Iterator[Message]:
    for where, value in values:
        results = value.get("results")
        for number, one in enumerate(results if isinstance(results, list) else [value]):
            if one is None or (isinstance(one, Mapping) and one.get("memory", 0) is None):
                skipped["blank"] += 1
                continue
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
