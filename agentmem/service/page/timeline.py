"""The timeline: episodes, runs of memories that are close in time and topic."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from agentmem.memory import Memory
from agentmem.service.caller import PageCaller
from agentmem.service.page.render import render
from agentmem.service.page.scope import PageScope

router = APIRouter(include_in_schema=False)

EACH = 12


class TimelineQuery(PageScope):
    """Which episodes: those before a memory."""

    before: int | None = Field(None, ge=0, lt=2**63)


@router.get("/timeline")
async def timeline(asked: Annotated[TimelineQuery, Query()], caller: PageCaller) -> Response:
    """Episodes, the last one first."""

    def work(memory: Memory) -> Response:
        found = memory.episodes(limit=EACH + 1, before=asked.before, **asked.given)
        return render(
            "timeline.html",
            caller=caller,
            scope=asked.given,
            episodes=found[:EACH],
            next=found[EACH - 1].newest if len(found) > EACH else None,
            first=asked.before is None,
        )

    return await caller.run(work)
