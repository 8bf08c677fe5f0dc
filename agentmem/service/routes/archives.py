"""Archives: the memories of a scope as one file, and the memories of a file."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from agentmem.errors import IncompatibleModelError, ServiceError
from agentmem.memory import Memory
from agentmem.results import ExportReceipt, LoadReceipt
from agentmem.service.answers import answer
from agentmem.service.caller import ApiCaller
from agentmem.service.exact import ExactRoute
from agentmem.wire.requests import JsonWhere, ReadScope

router = APIRouter(prefix="/v1", route_class=ExactRoute)

MEDIA_TYPE = "application/octet-stream"
_PIECE = 2**18
_CONTENT: dict[str, Any] = {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}


class ExportQuery(ReadScope):
    """What `Memory.export` takes, without a passphrase: it would stand in the logs of proxies."""

    where: JsonWhere | None = Field(None, description="a filter, as JSON")
    without: JsonWhere | None = Field(None, description="a filter of what is left out, as JSON")
    since: str | None = Field(None, description="only memories from this time or later, ISO 8601")
    until: str | None = Field(None, description="only memories from before this time, ISO 8601")


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": _CONTENT, "description": "An .amem file"}},
)
async def export(asked: Annotated[ExportQuery, Query()], caller: ApiCaller) -> Response:
    """The memories of a scope as an .amem file, as they are at one moment."""

    def work(memory: Memory) -> tuple[ExportReceipt, BinaryIO]:
        # The file is complete before the answer begins, so that what fails is an error, and not
        # half a file. Its name is gone once it is open.
        with TemporaryDirectory(prefix="agentmem-") as folder:
            made = memory.export(
                Path(folder) / "export.amem",
                where=asked.where,
                without=asked.without,
                since=asked.since,
                until=asked.until,
                **asked.reading(),
            )
            return made, made.path.open("rb")

    made, file = await caller.run(work)
    headers = {
        "Content-Length": str(made.file_bytes),
        "Content-Disposition": 'attachment; filename="memories.amem"',
    }
    return StreamingResponse(_pieces(file), media_type=MEDIA_TYPE, headers=headers)


@router.post(
    "/import",
    response_model=LoadReceipt,
    openapi_extra={"requestBody": {"required": True, "content": _CONTENT}},
)
async def load(request: Request, caller: ApiCaller) -> Response:
    """Add the memories of an .amem file, each in its own scope, which the token must allow."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # As for JSON: a page of another site could send a form without asking first.
    if kind != MEDIA_TYPE:
        raise ServiceError(
            f"the body must be an .amem file, sent as Content-Type: {MEDIA_TYPE}",
            status=415,
            code="media_type",
        )
    content = await request.body()

    def work(memory: Memory) -> Response:
        try:
            return answer(memory.load(io.BytesIO(content)).to_dict())
        except IncompatibleModelError as error:
            # It is the file that does not fit here, and not the service that does not work.
            raise ServiceError(str(error), status=409, code="incompatible_model") from error

    return await caller.run(work)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
