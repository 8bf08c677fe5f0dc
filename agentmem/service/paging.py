"""Pages of memories in the order of `Memory.list`, each after where the last one ended.

A page is told from the next by a cursor rather than by a number, so that nothing is seen twice or
missed if memories are added, replaced or forgotten in between. What is added after the first page
is not on any later one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from agentmem.context.hits import Chunk
from agentmem.errors import InputError
from agentmem.memory import Memory
from agentmem_storage.text import shown

_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})")


class Cursor(NamedTuple):
    """Where a page ends.

    Attributes:
        source: The source of its last memory.
        id: Its last memory.
        last: The last memory of that source: what has replaced it since has higher ids.
        newest: The newest source when the first page was read.
    """

    source: int
    id: int
    last: int
    newest: int

    def __str__(self) -> str:
        return "-".join(map(str, self))


@dataclass(frozen=True, slots=True)
class Page:
    """Some memories of a list.

    Attributes:
        chunks: The memories.
        next: The cursor of the next page; None if there is none.
    """

    chunks: tuple[Chunk, ...]
    next: Cursor | None


def parse_cursor(text: str) -> Cursor:
    """The cursor that a page came with.

    Raises:
        InputError: it is none.
    """
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise InputError(f"after={shown(text)} is no cursor: give the `next` of the page before")
    return Cursor(*map(int, found.groups()))


def read_page(
    memory: Memory,
    *,
    limit: int,
    after: Cursor | None,
    after_id: int | None = None,
    newest_first: bool = False,
    where: Mapping[str, Any] | None = None,
    **selection: Any,
) -> Page:
    """One page.

    Args:
        memory: The memory, in the scope that may be seen.
        limit: Maximum number of memories.
        after: Where the page before ended; None is the first page.
        after_id: The memory that the first page follows; later pages do not need it.
        newest_first: As in `Memory.list`, and so are where and selection.
        where: A filter.
        selection: Scope, source and times.

    Raises:
        FilterError: the filter is malformed.
        UnknownIdError: the scope does not have the memory that the first page follows.
    """
    conditions = [] if where is None else [where]
    if after is not None:
        conditions.append(_beyond(after, newest_first=newest_first))
    within = {"and": conditions} if conditions else None
    found = memory.list(
        where=within,
        newest_first=newest_first,
        after=after_id if after is None else None,
        limit=limit + 1,
        **selection,
    )
    chunks = tuple(found)
    if len(chunks) <= limit:
        return Page(chunks, None)
    end = chunks[limit - 1]
    if after is not None:
        newest = after.newest
    elif newest_first:
        newest = chunks[0].source.id
    else:
        last = next(memory.list(where=within, newest_first=True, limit=1, **selection), end)
        newest = last.source.id
    last_id = max(end.source.chunk_ids, default=end.id)
    return Page(chunks[:limit], Cursor(end.source.id, end.id, last_id, newest))


def _beyond(after: Cursor, *, newest_first: bool) -> Mapping[str, Any]:
    """A filter for what comes after a cursor."""
    if newest_first:
        rest = {"source_id": after.source, "id": {"lt": after.id}}
        return {"or": [{"source_id": {"lt": after.source}}, rest]}
    rest = {"source_id": after.source, "id": {"gt": after.id, "lte": after.last}}
    return {"or": [{"source_id": {"gt": after.source, "lte": after.newest}}, rest]}
