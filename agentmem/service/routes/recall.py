"""Finding memories, and putting them into a prompt."""

from __future__ import annotations

from fastapi import APIRouter, Response

from agentmem.memory import Memory
from agentmem.service.answers import answer
from agentmem.service.caller import ApiCaller
from agentmem.service.exact import ExactRoute
from agentmem.wire.requests import ContextRequest, RecallHits
from agentmem.wire.results import ContextView, RecallView, context_view, recall_view

router = APIRouter(prefix="/v1", route_class=ExactRoute)


@router.post("/recall", response_model=RecallView)
async def recall(body: RecallHits, caller: ApiCaller) -> Response:
    """Find the memories of a scope that match a query best."""

    def work(memory: Memory) -> Response:
        found = memory.recall(body.query, **body.arguments())
        return answer(recall_view(found, full=body.detail == "full"))

    return await caller.run(work)


@router.post("/context", response_model=ContextView)
async def context(body: ContextRequest, caller: ApiCaller) -> Response:
    """Recall memories, and pack them into text and messages within a budget of tokens."""

    def work(memory: Memory) -> Response:
        found = memory.recall(body.query, **body.arguments())
        packed = found.pack(max_tokens=body.max_tokens, policy=body.policy)
        return answer(context_view(packed, found.relevance, body.format))

    return await caller.run(work)
