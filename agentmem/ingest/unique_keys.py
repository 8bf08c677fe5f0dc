"""Refuses JSON objects that have a key twice; imports nothing that takes time."""

from __future__ import annotations

from collections import Counter
from typing import Any

from agentmem_storage.errors import InputError
from agentmem_storage.text import shown


def keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys must be unique: of two values, one would be lost.

    Args:
        pairs: Its keys and values; this is an ``object_pairs_hook`` of `json.loads`.

    Raises:
        InputError: a key stands there twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, many in Counter(key for key, _ in pairs).items() if many > 1)
        raise InputError(f"the key {shown(twice)} stands twice in one object; keep one of them")
    return found
