"""Adding, listing, reading, changing and forgetting memories."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from agentmem.memory import Memory
from agentmem.results import ForgetReceipt, Receipt
from agentmem.service.answers import answer
from agentmem.service.caller import ApiCaller
from agentmem.service.exact import ExactRoute
from agentmem.service.paging import parse_cursor, read_page
from agentmem.wire.requests import (
    MOST_LISTED,
    AddRequest,
    Detail,
    ExternalId,
    ForgetRequest,
    JsonWhere,
    ReadScope,
    UpdateRequest,
)
from agentmem.wire.results import ListView, MemoryView, SourceView, memory_view, source_view

router = APIRouter(prefix="/v1", route_class=ExactRoute)

NamedQuery = Annotated[ExternalId, Query()]
PathId = Annotated[int, Path(ge=0, lt=2**63, description="id of a memory")]


class ReadQuery(ReadScope):
    """What is read of one memory, and in which scope."""

    detail: Detail = "plain"


class Selected(ReadScope):
    """What `Memory.count` takes."""

    source_id: int | None = Field(None, ge=0, lt=2**63)
    where: JsonWhere | None = Field(None, description="a filter, as JSON")
    since: str | None = Field(None, description="only memories from this time or later, ISO 8601")
    until: str | None = Field(None, description="only memories from before this time, ISO 8601")


class ListQuery(Selected):
    """What `Memory.list` takes, and a page of it."""

    newest_first: bool = False
    detail: Detail = "plain"
    limit: int = Field(50, ge=1, le=MOST_LISTED)
    after: str | None = Field(None, description="the `next` of the page before")
    after_id: int | None = Field(
        None, ge=0, lt=2**63, description="the memory that the first page follows"
    )


class Regenerated(BaseModel):
    """What a memory's latents regenerate, beside what it is."""

    id: int
    text: str = Field(description="the exact text")
    regenerated: str = Field(description="what the latents alone regenerate, without the patch")
    fidelity: float


@router.post("/memories", status_code=201, response_model=Receipt)
async def add(body: AddRequest, caller: ApiCaller) -> Response:
    """Store messages or documents, all or none; they are durable when this answers."""

    def work(memory: Memory) -> Response:
        receipt = memory.add(
            body.contents(),
            user_id=body.user_id,
            agent_id=body.agent_id,
            session_id=body.session_id,
            id=body.id,
            created_at=body.created_at,
            expires_at=body.expires_at,
            ttl=body.ttl,
            metadata=body.metadata,
            supersedes=body.supersedes,
        )
        return answer(receipt.to_dict(), status=201)

    return await caller.run(work)


@router.get("/memories", response_model=ListView)
async def list_memories(asked: Annotated[ListQuery, Query()], caller: ApiCaller) -> Response:
    """One page of the memories of a scope, in the order they were added."""

    def work(memory: Memory) -> Response:
        page = read_page(
            memory,
            limit=asked.limit,
            after=None if asked.after is None else parse_cursor(asked.after),
            after_id=asked.after_id,
            newest_first=asked.newest_first,
            where=asked.where,
            source_id=asked.source_id,
            since=asked.since,
            until=asked.until,
            **asked.reading(),
        )
        memories = [memory_view(one, full=asked.detail == "full") for one in page.chunks]
        return answer(ListView(memories=memories, next=page.next and str(page.next)))

    return await caller.run(work)


@router.get("/memories/{id}", response_model=MemoryView)
async def get(id: PathId, asked: Annotated[ReadQuery, Query()], caller: ApiCaller) -> Response:
    """One memory."""

    def work(memory: Memory) -> Response:
        found = memory.get(id, **asked.reading())
        return answer(memory_view(found, full=asked.detail == "full"))

    return await caller.run(work)


@router.get("/memories/{id}/regenerated", response_model=Regenerated)
async def regenerated(
    id: PathId, asked: Annotated[ReadScope, Query()], caller: ApiCaller
) -> Response:
    """A memory's text as its latents alone regenerate it, beside the exact text."""

    def work(memory: Memory) -> Response:
        found = memory.get(id, **asked.reading())
        text = memory.regenerated(id, **asked.reading())
        return answer(
            Regenerated(id=id, text=found.text, regenerated=text, fidelity=found.fidelity)
        )

    return await caller.run(work)


@router.patch("/memories/{id}", response_model=Receipt)
async def update(id: PathId, body: UpdateRequest, caller: ApiCaller) -> Response:
    """Replace text, metadata, time or expiry of the message or document of a memory."""
    return await _update(id, body, caller)


@router.patch("/sources", response_model=Receipt)
async def update_source(
    external_id: NamedQuery, body: UpdateRequest, caller: ApiCaller
) -> Response:
    """The same for a message or document by its external id."""
    return await _update(external_id, body, caller)


@router.post("/forget", response_model=ForgetReceipt)
async def forget(body: ForgetRequest, caller: ApiCaller) -> Response:
    """Delete memories so that no byte of them remains, or report what would be deleted."""

    def work(memory: Memory) -> Response:
        return answer(memory.forget(**body.arguments(), dry_run=body.dry_run).to_dict())

    return await caller.run(work)


@router.get("/sources/{id}", response_model=SourceView)
async def get_source(
    id: Annotated[int, Path(ge=0, lt=2**63, description="id of a message or document")],
    asked: Annotated[ReadQuery, Query()],
    caller: ApiCaller,
) -> Response:
    """A message or document as a whole."""
    return await _get_source(id, asked, caller)


class NamedSource(ReadQuery):
    """A message or document by its external id."""

    external_id: ExternalId


@router.get("/sources", response_model=SourceView)
async def get_named_source(asked: Annotated[NamedSource, Query()], caller: ApiCaller) -> Response:
    """The same by its external id."""
    return await _get_source(asked.external_id, asked, caller)


async def _update(id: int | str, body: UpdateRequest, caller: ApiCaller) -> Response:
    def work(memory: Memory) -> Response:
        return answer(memory.update(id, **body.arguments()).to_dict())

    return await caller.run(work)


async def _get_source(id: int | str, asked: ReadQuery, caller: ApiCaller) -> Response:
    def work(memory: Memory) -> Response:
        found = memory.get_source(id, **asked.reading())
        return answer(source_view(found, full=asked.detail == "full"))

    return await caller.run(work)
