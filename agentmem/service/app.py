"""Puts a service together: routes, guards, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from agentmem._version import __version__
from agentmem.errors import AgentMemError
from agentmem.memory import Memory
from agentmem.service.access import Access, is_api, path_within
from agentmem.service.answers import invalid, problem, problem_of
from agentmem.service.caller import Service
from agentmem.service.guards import Bounded, Hardened, KnownHosts
from agentmem.service.metrics import Measured
from agentmem.service.page import (
    browse,
    forgetting,
    login,
    map,
    overview,
    search,
    static,
    timeline,
)
from agentmem.service.page.render import render_error
from agentmem.service.rate import Rate
from agentmem.service.routes import archives, health, links, memories, recall, sessions, store
from agentmem.service.settings import Settings
from agentmem.service.workers import Workers
from agentmem.wire.problems import INVALID, Problem

# The modules whose routes a service has.
PARTS = (
    *(health, memories, recall, links, sessions, store, archives),
    *(overview, browse, search, timeline, map, forgetting, login, static),
)
_NAMES = {404: "not_found", 405: "method_not_allowed"}


def create_app(memory: Memory, settings: Settings | None = None) -> FastAPI:
    """An ASGI application over an open memory.

    ::

        app = create_app(Memory("notes", preload=True))

    Args:
        memory: The memory. It stays open when the application ends.
        settings: Who may use it, and how much; by default everybody on this machine.
    """
    settings = settings or Settings()
    service = Service(
        memory,
        settings,
        Workers(settings.workers, settings.queue),
        Rate(settings.rate),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            service.workers.close()

    app = FastAPI(
        title="agentmem",
        version=__version__,
        summary="Long-term memory for agents.",
        lifespan=lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        responses={"default": {"model": Problem, "description": "An error"}},
    )
    app.state.service = service
    for part in PARTS:
        app.include_router(part.router)
    # The last that is added is the first that a request passes.
    app.add_middleware(
        Bounded, max_body_bytes=settings.max_body_bytes, timeout_s=settings.timeout_s
    )
    app.add_middleware(Access, tokens=settings.tokens, sessions=service.sessions, rate=service.rate)
    app.add_middleware(KnownHosts, hosts=settings.hosts)
    app.add_middleware(Measured, metrics=service.metrics)
    app.add_middleware(Hardened)
    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every error is answered by a `Problem`, or for people by a page that says the same."""

    def shown(request: Request, answered: Response) -> Response:
        return answered if is_api(path_within(request.scope)) else render_error(answered)

    @app.exception_handler(AgentMemError)
    async def ours(request: Request, error: AgentMemError) -> Response:
        return shown(request, problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return shown(request, invalid(error))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        code = _NAMES.get(error.status_code, INVALID)
        answered = problem(error.status_code, code, str(error.detail), headers=error.headers)
        return shown(request, answered)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        # The server logs it with its traceback.
        what = f"unexpected {type(error).__name__}: see the service's log"
        return shown(request, problem(500, "internal", what))
