"""Which memories supersede others, and which seem to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from agentmem.memory import Memory
from agentmem.results import Conflict
from agentmem.service.answers import answer
from agentmem.service.caller import ApiCaller
from agentmem.service.exact import ExactRoute
from agentmem.service.routes.memories import PathId, ReadQuery
from agentmem.wire.requests import ReadScope, SupersedeRequest
from agentmem.wire.results import HistoryView, source_view

router = APIRouter(prefix="/v1", route_class=ExactRoute)


class Linked(BaseModel):
    """The link that there is now, or is no longer."""

    old: int
    new: int
    linked: bool


class ConflictList(BaseModel):
    """Pairs of memories that seem to contradict each other, the likeliest first."""

    conflicts: list[Conflict]


@router.post("/supersede", response_model=Linked)
async def supersede(body: SupersedeRequest, caller: ApiCaller) -> Response:
    """State that one memory takes the place of another, which is kept; or undo that."""

    def work(memory: Memory) -> Response:
        memory.supersede(body.old, body.new, undo=body.undo, **body.reading())
        return answer(Linked(old=body.old, new=body.new, linked=not body.undo))

    return await caller.run(work)


@router.get("/memories/{id}/history", response_model=HistoryView)
async def history(id: PathId, asked: Annotated[ReadQuery, Query()], caller: ApiCaller) -> Response:
    """The messages or documents that one superseded, and that supersede it, in order."""

    def work(memory: Memory) -> Response:
        full = asked.detail == "full"
        found = memory.history(id, **asked.reading())
        return answer(HistoryView(sources=[source_view(one, full=full) for one in found]))

    return await caller.run(work)


@router.get("/conflicts", response_model=ConflictList)
async def conflicts(asked: Annotated[ReadScope, Query()], caller: ApiCaller) -> Response:
    """Pairs of memories that seem to contradict each other, the likeliest first."""

    def work(memory: Memory) -> Response:
        return answer(ConflictList(conflicts=list(memory.conflicts(**asked.reading()))))

    return await caller.run(work)
