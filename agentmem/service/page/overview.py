"""The first page: how much there is, of whom, and what was added last."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from agentmem.memory import Memory
from agentmem.service.caller import PageCaller
from agentmem.service.page.render import render

router = APIRouter(include_in_schema=False)

SCOPES = 50
NEWEST = 10


@router.get("/")
async def overview(caller: PageCaller, page: Annotated[int, Query(ge=1, le=10**9)] = 1) -> Response:
    """Scopes, and the newest memories."""

    def work(memory: Memory) -> Response:
        scopes = memory.scopes()
        first = (page - 1) * SCOPES
        return render(
            "overview.html",
            caller=caller,
            memories=sum(one.memories for one in scopes),
            scopes=len(scopes),
            uses=scopes[first : first + SCOPES],
            first=first,
            page=page,
            pages=max(1, -(-len(scopes) // SCOPES)),
            newest=tuple(memory.list(newest_first=True, limit=NEWEST)),
        )

    return await caller.run(work)
