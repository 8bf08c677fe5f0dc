"""The timeline: episodes, runs of memories that are close in time and topic."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from agentmem.context.timeline import Episode
from agentmem.memory import Memory
from agentmem.service.caller import PageCaller
from agentmem.service.page.render import render
from agentmem.service.page.scope import PageScope

router = APIRouter(include_in_schema=False)

EACH = 12
# How often so many are read until as many are found that lack an id.
MOST_READ = 100


class TimelineQuery(PageScope):
    """Which episodes: those before a memory."""

    before: int | None = Field(None, ge=0, lt=2**63)


def _found(memory: Memory, asked: TimelineQuery) -> list[Episode]:
    """One episode more than are shown, if there are so many."""
    found: list[Episode] = []
    before = asked.before
    for _ in range(MOST_READ if asked.none else 1):
        some = memory.episodes(limit=EACH + 1, before=before, **asked.given)
        # An episode is of one scope.
        found += [
            one
            for one in some
            if all(getattr(one.chunks[0].scope, name) is None for name in asked.lacking)
        ]
        if len(found) > EACH or len(some) <= EACH:
            break
        before = some[-1].newest
    return found


@router.get("/timeline")
async def timeline(asked: Annotated[TimelineQuery, Query()], caller: PageCaller) -> Response:
    """Episodes, the last one first."""

    def work(memory: Memory) -> Response:
        found = _found(memory, asked)
        return render(
            "timeline.html",
            caller=caller,
            scope=asked.fields,
            episodes=found[:EACH],
            next=found[EACH - 1].newest if len(found) > EACH else None,
            first=asked.before is None,
        )

    return await caller.run(work)
