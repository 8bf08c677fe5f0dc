"""A record as a document, and which records a search or a list is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from agentmem.types import Document

# The key of a record in the metadata of its memory, and that of its scope and those above it.
RECORD: Final = "crewai"
_SCOPES: Final = "crewai_scopes"
# Before the external ids of all records: other memories of the same scope are none.
HEAD: Final = "crewai:"
_RECORDS: Final = {"external_id": {"gte": HEAD, "lt": "crewai;"}, RECORD: {"exists": True}}


def document_of(record: Any) -> Document:
    """What is stored of a record."""
    own = record.model_dump(mode="json", exclude={"content"})
    return Document(
        record.content,
        external_id=HEAD + record.id,
        created_at=utc(record.created_at),
        metadata={RECORD: own, _SCOPES: _with_parents(record.scope)},
    )


def where_of(scope_prefix: str | None, categories: list[str] | None) -> dict[str, Any]:
    """A filter of `Memory` that all records fulfill which `condition` accepts, and a few others.

    It compares strings in composed form; `condition` compares them exactly.
    """
    conditions: list[Any] = [_RECORDS]
    if scope_prefix is not None:
        conditions.append({_SCOPES: {"contains": path_of(scope_prefix)}})
    if categories:
        conditions.append(
            {"or": [{f"{RECORD}.categories": {"contains": one}} for one in categories]}
        )
    return {"and": conditions}


def condition(
    scope_prefix: str | None,
    categories: list[str] | None,
    metadata: Mapping[str, Any] | None,
) -> Callable[[Any], bool]:
    """Whether a record fulfills the conditions of a search."""

    def fits(record: Any) -> bool:
        return (
            (scope_prefix is None or path_of(scope_prefix) in _with_parents(record.scope))
            and (not categories or not set(categories).isdisjoint(record.categories))
            and all(record.metadata.get(key) == one for key, one in (metadata or {}).items())
        )

    return fits


def path_of(scope: str) -> str:
    """A scope with one slash before each of its names."""
    return "/" + "/".join(name for name in scope.split("/") if name)


def _with_parents(scope: str) -> list[str]:
    """A scope and all above it, from ``/``."""
    names = [name for name in scope.split("/") if name]
    return ["/" + "/".join(names[:depth]) for depth in range(len(names) + 1)]


def child_scopes(parent: str, records: Iterable[Any]) -> list[str]:
    """The scopes directly below one, of which there are records."""
    depth = len(_with_parents(parent))
    paths = (_with_parents(record.scope) for record in records)
    return sorted({path[depth] for path in paths if len(path) > depth})


def utc(time: datetime) -> datetime:
    """A time with a zone: CrewAI's own have none, and are UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
