"""An item as a document, and a stored document as an item."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from langgraph.store.base import Item, SearchItem, get_text_at_path

from agentmem.errors import InputError
from agentmem.ingest.checks import check_metadata
from agentmem.integrations.langgraph.names import (
    NamespaceError,
    item_id,
    namespace_and_key,
    path_of,
)
from agentmem.types import Document
from agentmem_storage.text import is_blank, shown

if TYPE_CHECKING:
    from agentmem.context.hits import Chunk

# Keys of the metadata of an item.
VALUE: Final = "langgraph_value"
SEARCHED: Final = "langgraph_searched"
_UPDATED_AT: Final = "langgraph_updated_at"
_TTL: Final = "langgraph_ttl"


@dataclass(frozen=True, slots=True)
class Put:
    """What a PutOp asks for.

    Attributes:
        id: The external id of the item.
        document: What is stored; None if the item is to be deleted.
        life: How long it lives after the last access; None for ever.
    """

    id: str
    document: Document | None = None
    life: timedelta | None = None


def read_put(op: Any) -> Put:
    """A PutOp, checked.

    Raises:
        NamespaceError: The namespace or the key cannot be one.
        InputError: The value, the index or the ttl cannot be one.
    """
    id = item_id(op.namespace, op.key)
    if op.value is None:
        return Put(id)
    if op.namespace[0] == "langgraph":
        raise NamespaceError(f"LangGraph keeps the namespace 'langgraph', got {op.namespace!r}")
    if not isinstance(op.value, Mapping):
        raise InputError(f"the value of {shown(op.key)} must be a mapping, got {shown(op.value)}")
    value = check_metadata({VALUE: dict(op.value)}, f"the value of {shown(op.key)}")[VALUE]
    texts = [text for text in _texts(value, op.index) if not is_blank(text)]
    metadata = {
        SEARCHED: bool(texts),
        _UPDATED_AT: datetime.now(UTC).isoformat(),
        VALUE: value,
    }
    life = None
    if op.ttl is not None:
        life = minutes(op.ttl, f"the ttl of {shown(op.key)}")
        metadata[_TTL] = float(op.ttl)
    # A memory has a text. Of an item that is not to be found by any, it is where the item is.
    text = "\n".join(texts) or path_of(id)
    document = Document(text, external_id=id, metadata=metadata)
    return Put(id, document, life)


def minutes(ttl: object, what: str) -> timedelta:
    """A time to live, in minutes as LangGraph gives it.

    Raises:
        InputError: It is no number above 0, or too large.
    """
    if isinstance(ttl, int | float) and not isinstance(ttl, bool) and math.isfinite(ttl):
        try:
            life = timedelta(minutes=ttl)
        except OverflowError:
            life = timedelta(0)
        if life > timedelta(0):
            return life
    raise InputError(f"{what} is a number of minutes above 0, or None, got {shown(ttl)}")


def life_of(chunk: Chunk) -> timedelta | None:
    """How long an item lives after an access; None if it does not expire."""
    ttl = chunk.metadata.get(_TTL)
    return None if ttl is None else minutes(ttl, "the ttl")


def updated_at(chunk: Chunk) -> datetime:
    """When an item was put last."""
    return datetime.fromisoformat(chunk.metadata[_UPDATED_AT])


def as_item(chunk: Chunk) -> Any:
    """An `Item` from a chunk of its document."""
    return Item(**_fields(chunk))


def as_search_item(chunk: Chunk, score: float | None) -> Any:
    """A `SearchItem` likewise."""
    return SearchItem(**_fields(chunk), score=score)


def namespace_of(chunk: Chunk) -> tuple[str, ...]:
    """The namespace of an item."""
    return namespace_and_key(chunk.source.external_id or "")[0]


def _fields(chunk: Chunk) -> dict[str, Any]:
    namespace, key = namespace_and_key(chunk.source.external_id or "")
    return {
        "namespace": namespace,
        "key": key,
        "value": chunk.metadata[VALUE],
        "created_at": chunk.created_at,
        # The put is read a moment before its item is stored.
        "updated_at": max(updated_at(chunk), chunk.created_at),
    }


def _texts(value: object, index: object) -> Iterator[str]:
    """The texts of a value that it is found by."""
    if index is None:
        yield from _strings(value)
    elif isinstance(index, list | tuple) and all(isinstance(one, str) for one in index):
        for field in index:
            yield from get_text_at_path(value, field)
    elif index is not False:
        raise InputError(
            f"index is a list of fields such as ['title', 'notes[*].text'], False or None, got "
            f"{shown(index)}"
        )


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
