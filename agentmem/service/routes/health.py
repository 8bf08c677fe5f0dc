"""Whether the service lives, and what it has done."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from agentmem._version import __version__
from agentmem.service.caller import ApiCaller
from agentmem.service.metrics import CONTENT_TYPE

router = APIRouter()


class Health(BaseModel):
    """The service lives."""

    status: str
    version: str


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> Health:
    """Whether the service lives; needs no token and reads no store."""
    return Health(status="ok", version=__version__)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(caller: ApiCaller) -> Response:
    """Counts and times for Prometheus; for tokens that are bound to no scope."""
    caller.require_everything()
    memories = await caller.run(lambda memory: memory.count())
    service = caller.service
    text = service.metrics.render(pending=service.workers.pending, memories=memories)
    return Response(text, headers={"Content-Type": CONTENT_TYPE})
