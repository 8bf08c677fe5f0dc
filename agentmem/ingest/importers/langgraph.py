"""Rows of a LangGraph store: items with a namespace, a key and a value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.importers.items import Imported, Item, Message, text_of
from agentmem_storage.text import shown

FORM = "LangGraph store"
# Under one of these, a value has its text; the rest of it is metadata.
_TEXTS = ("text", "content", "memory", "data")


def fits(value: object) -> bool:
    """Whether a JSON value is a row of a LangGraph store."""
    return isinstance(value, Mapping) and {"namespace", "key", "value"} <= value.keys()


def read(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Imported:
    """Rows, as what their user said; namespace and key are in the metadata.

    Raises:
        InputError: a namespace is not a list of strings, or a key not a string.
    """
    return Imported(FORM, (Item(values[0][0], list(_messages(values))),))


def _messages(values: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Message]:
    for where, row in values:
        namespace, key, value = row["namespace"], row["key"], row["value"]
        # Some stores join the names with dots.
        names = namespace.split(".") if isinstance(namespace, str) else namespace
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"{where}: its namespace is not a list of strings: {shown(namespace)}")
        if not isinstance(key, str):
            raise InputError(f"{where}: its key is not a string: {shown(key)}")
        text, rest = _text(value)
        yield {
            "role": "user",
            "content": text,
            "id": "/".join((*names, key)),
            "created_at": row.get("updated_at") or row.get("created_at"),
            "metadata": {**rest, "namespace": names, "key": key},
        }


def _text(value: object) -> tuple[str, Mapping[str, Any]]:
    """The text of a value, and what else is in it; the value as JSON if it has no text alone."""
    if isinstance(value, Mapping):
        found = [name for name in _TEXTS if text_of(value.get(name)) is not None]
        if len(found) == 1:
            rest = {name: one for name, one in value.items() if name != found[0]}
            return str(value[found[0]]), rest
    return json.dumps(value, ensure_ascii=False), {}
