"""Conversations that remember, for chat loops in any language; no state is kept of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from agentmem.memory import Memory
from agentmem.results import Receipt
from agentmem.service.answers import answer
from agentmem.service.caller import ApiCaller
from agentmem.service.exact import ExactRoute
from agentmem.wire.requests import ObserveRequest, SessionContextRequest

router = APIRouter(prefix="/v1/sessions", route_class=ExactRoute)


class Messages(BaseModel):
    """What to send to a model."""

    messages: list[Any] = Field(description="those of the request, and what is remembered")


@router.post("/context", response_model=Messages)
async def context(body: SessionContextRequest, caller: ApiCaller) -> Response:
    """The messages to send: the caller's own, and what the memory has for the last question."""

    def work(memory: Memory) -> Response:
        session = memory.session(**body.scope())
        found = session.context(body.messages, max_tokens=body.max_tokens, k=body.k)
        if session.error is not None:
            raise session.error
        return answer(Messages(messages=found))

    return await caller.run(work)


@router.post("/observe", status_code=201, response_model=Receipt)
async def observe(body: ObserveRequest, caller: ApiCaller) -> Response:
    """Store what is new of a conversation, and the reply to it."""

    def work(memory: Memory) -> Response:
        session = memory.session(**body.scope())
        receipt = session.observe(body.messages, body.reply)
        if receipt is None:
            assert session.error is not None
            raise session.error
        return answer(receipt.to_dict(), status=201)

    return await caller.run(work)
