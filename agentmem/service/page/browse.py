"""Lists of memories, one memory, and one message or document."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from agentmem.errors import CorruptRecordError
from agentmem.memory import Memory
from agentmem.service.caller import PageCaller
from agentmem.service.page.difference import difference
from agentmem.service.page.render import exact, render
from agentmem.service.page.scope import PageScope, Word
from agentmem.service.paging import parse_cursor, read_page

router = APIRouter(include_in_schema=False)

EACH = 25

Id = Annotated[int, Path(ge=0, lt=2**63)]


class ListQuery(PageScope):
    """A page of a list."""

    after: Word = None


@router.get("/memories")
async def memories(asked: Annotated[ListQuery, Query()], caller: PageCaller) -> Response:
    """The memories of a scope, what was added last first."""

    def work(memory: Memory) -> Response:
        page = read_page(
            memory,
            limit=EACH,
            after=None if asked.after is None else parse_cursor(asked.after),
            newest_first=True,
            **asked.selection,
        )
        return render(
            "memories.html",
            caller=caller,
            scope=asked.fields,
            chunks=page.chunks,
            next=page.next,
            total=memory.count(**asked.selection),
            first=asked.after is None,
        )

    return await caller.run(work)


@router.get("/memories/{id}")
async def one_memory(id: Id, caller: PageCaller) -> Response:
    """One memory, and what its vectors regenerate."""

    def work(memory: Memory) -> Response:
        chunk = memory.get(id)
        text = exact(chunk)
        try:
            parts = None if text is None else difference(text, memory.regenerated(id))
        except CorruptRecordError:
            parts = None
        return render(
            "memory.html", caller=caller, chunk=chunk, source=chunk.source, text=text, parts=parts
        )

    return await caller.run(work)


@router.get("/sources/{id}")
async def one_source(id: Id, caller: PageCaller) -> Response:
    """A message or document as a whole."""
    return await caller.run(
        lambda memory: render("source.html", caller=caller, source=memory.get_source(id))
    )
