"""Answers as JSON, and errors as `agentmem.wire.problems.Problem`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from agentmem.wire.problems import INVALID, describe
from agentmem_storage.text import shown

JSON = "application/json"


def answer(value: BaseModel | Mapping[str, Any], *, status: int = 200) -> Response:
    """A result as a response, its JSON ready: called by the thread that made the result."""
    if isinstance(value, BaseModel):
        content = value.model_dump_json()
    else:
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(content.encode(), status, media_type=JSON)


def problem(
    status: int,
    code: str,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """An error as a response. What a client sent may stand in it, so it is plain ASCII."""
    body = {"error": {"code": code, "message": message, **more}}
    content = json.dumps(body, separators=(",", ":")).encode()
    return Response(content, status, headers, media_type=JSON)


def problem_of(error: Exception) -> Response:
    """An error of the SDK as a response."""
    status, detail = describe(error)
    headers = {"Retry-After": "1"} if detail["code"] in ("store_busy", "overloaded") else None
    return problem(status, headers=headers, **detail)


def invalid(error: RequestValidationError) -> Response:
    """What is wrong with a request that does not have the form of the API, in words."""
    said = []
    for one in error.errors()[:10]:
        if one["loc"] == ("body",) and isinstance(one.get("input"), bytes):
            said.append("body: not sent as JSON: send it with Content-Type: application/json")
            continue
        place = ".".join(str(part) for part in one["loc"])
        reason = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
        given = "" if one["type"] == "missing" else f", not {shown(one.get('input'))}"
        said.append(f"{place[:200]}: {reason}{given}")
    return problem(422, INVALID, "; ".join(said))
