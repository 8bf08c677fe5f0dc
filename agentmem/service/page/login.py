"""Logging in to the page with a token, and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from agentmem.service.access import session_id
from agentmem.service.caller import service_of
from agentmem.service.page.origin import SamePage
from agentmem.service.page.render import render
from agentmem.service.sessions import COOKIE, LASTS_S

router = APIRouter(include_in_schema=False)


@router.get("/login")
async def form(request: Request) -> Response:
    """The form; without tokens there is nothing to log in to."""
    if not service_of(request).settings.tokens:
        return RedirectResponse("/", 303)
    return render("login.html", caller=None, failed=False)


@router.post("/login")
async def login(request: Request, token: Annotated[str, Form()], _: SamePage) -> Response:
    """Begin a session, if the token is one."""
    service = service_of(request)
    # Anybody may try, so all of them share one rate; no token has that name.
    found = None if service.rate.wait_s("") else service.settings.tokens.find(token.strip())
    if found is None:
        return render("login.html", status=401, caller=None, failed=True)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE,
        service.sessions.begin(found),
        max_age=LASTS_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
async def logout(request: Request, _: SamePage) -> Response:
    """End the session."""
    if id := session_id(request.headers):
        service_of(request).sessions.end(id)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer
