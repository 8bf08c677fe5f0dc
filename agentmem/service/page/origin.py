"""Forms are only taken from pages of this service."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from agentmem.errors import ServiceError
from agentmem.service.guards import same_origin


def _same_page(request: Request) -> None:
    if not same_origin(request.headers, certain=True):
        raise ServiceError(
            "this form was not sent by a page of this service: open it, and try again",
            status=403,
            code="other_origin",
        )


# A parameter of every route that takes a form.
SamePage = Annotated[None, Depends(_same_page)]
