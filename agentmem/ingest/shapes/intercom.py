"""Conversations of Intercom: what began it, and its parts, each with its author and its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

_PARTS = "conversation_parts"
_PROGRAMS = ("bot", "operator")


def intercom_messages(item: Mapping[str, Any], skipped: Counter[str]) -> list[Any] | None:
    """The messages of a conversation; None if it is none.

    Args:
        item: A dict.
        skipped: Counts parts that nobody wrote, such as an assignment, by type.
    """
    source = item.get("source")
    if item.get("type") != "conversation" or not isinstance(source, Mapping):
        return None
    if not isinstance(source.get("author"), Mapping):
        return None
    parts = item.get(_PARTS)
    if isinstance(parts, Mapping):
        parts = parts.get(_PARTS)
    first = {"created_at": item.get("created_at"), **source}
    given = [first, *(parts if isinstance(parts, list | tuple) else ())]
    return list(_said([one for one in given if isinstance(one, Mapping)], skipped))


def _said(parts: list[Mapping[str, Any]], skipped: Counter[str]) -> Iterator[dict[str, Any]]:
    for part in parts:
        body = part.get("body")
        if not isinstance(body, str) or not body.strip():
            skipped[str(part.get("part_type") or part.get("type") or "blank")] += 1
            continue
        author = part.get("author")
        author = author if isinstance(author, Mapping) else {}
        role = "assistant" if author.get("type") in _PROGRAMS else "user"
        name = {"name": author["name"]} if author.get("name") else {}
        time = {key: part[key] for key in ("id", "created_at") if part.get(key) is not None}
        yield {"role": role, "content": body, **name, **time}
