"""Searching, with every part of the score."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from agentmem.memory import Memory
from agentmem.service.caller import PageCaller
from agentmem.service.page.render import render
from agentmem.service.page.scope import PageScope, Word

router = APIRouter(include_in_schema=False)

FOUND = 20


class SearchQuery(PageScope):
    """What is searched for, and where."""

    q: Word = None


@router.get("/search")
async def search(asked: Annotated[SearchQuery, Query()], caller: PageCaller) -> Response:
    """What a recall finds, and why."""

    def work(memory: Memory) -> Response:
        query = (asked.q or "").strip()
        found = memory.recall(query, k=FOUND, **asked.selection) if query else None
        largest: dict[str, float] = {}
        for hit in found or ():
            for name, part in hit.explain.items():
                # Most parts are 0 to 1; what is not is shown beside the largest of its kind.
                largest[name] = max(1.0, largest.get(name, 1.0), part)
        return render(
            "search.html",
            caller=caller,
            scope=asked.fields,
            query=query,
            found=found,
            largest=largest,
        )

    return await caller.run(work)
