"""What a store holds: scopes, counts, totals, and whether all of it is intact."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from agentmem.memory import Memory
from agentmem.results import ScopeUse, Verification
from agentmem.service.answers import answer
from agentmem.service.caller import ApiCaller
from agentmem.service.exact import ExactRoute
from agentmem.service.routes.memories import ReadQuery, Selected
from agentmem.wire.requests import MOST_EPISODES, ReadScope, VerifyRequest
from agentmem.wire.results import EpisodeList, StatsView, episode_view

router = APIRouter(prefix="/v1", route_class=ExactRoute)


class EpisodeQuery(ReadQuery):
    """What `Memory.episodes` takes."""

    limit: int = Field(20, ge=1, le=MOST_EPISODES)
    before: int | None = Field(None, ge=0, lt=2**63, description="`newest` of an episode")


class Count(BaseModel):
    """How many memories."""

    count: int


class ScopeList(BaseModel):
    """The users, agents and sessions that have memories, the last used first."""

    scopes: list[ScopeUse]


@router.get("/scopes", response_model=ScopeList)
async def scopes(asked: Annotated[ReadScope, Query()], caller: ApiCaller) -> Response:
    """The users, agents and sessions that have memories, the last used first."""

    def work(memory: Memory) -> Response:
        return answer(ScopeList(scopes=list(memory.scopes(**asked.reading()))))

    return await caller.run(work)


@router.get("/episodes", response_model=EpisodeList)
async def episodes(asked: Annotated[EpisodeQuery, Query()], caller: ApiCaller) -> Response:
    """Runs of memories that are close in time and topic, the last added first."""

    def work(memory: Memory) -> Response:
        found = memory.episodes(limit=asked.limit, before=asked.before, **asked.reading())
        full = asked.detail == "full"
        return answer(EpisodeList(episodes=[episode_view(one, full=full) for one in found]))

    return await caller.run(work)


@router.get("/count", response_model=Count)
async def count(asked: Annotated[Selected, Query()], caller: ApiCaller) -> Response:
    """How many memories a list would have."""

    def work(memory: Memory) -> Response:
        found = memory.count(
            source_id=asked.source_id,
            where=asked.where,
            since=asked.since,
            until=asked.until,
            **asked.reading(),
        )
        return answer(Count(count=found))

    return await caller.run(work)


@router.get("/stats", response_model=StatsView)
async def stats(asked: Annotated[ReadScope, Query()], caller: ApiCaller) -> Response:
    """Totals of a scope, or of the complete store."""
    return await caller.run(lambda memory: answer(memory.stats(**asked.reading()).to_dict()))


@router.post("/verify", response_model=Verification)
async def verify(body: VerifyRequest, caller: ApiCaller) -> Response:
    """Check rows and checksums, and that every text of a scope decodes exactly."""

    def work(memory: Memory) -> Response:
        return answer(memory.verify(decode=body.decode, **body.reading()).to_dict())

    return await caller.run(work)
