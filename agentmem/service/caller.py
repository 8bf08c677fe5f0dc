"""What a route has: the memory as far as its caller may use it, and threads to use it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from agentmem.errors import AgentMemError, ServiceError
from agentmem.memory import Memory
from agentmem.service.metrics import Metrics
from agentmem.service.rate import Rate
from agentmem.service.sessions import Sessions
from agentmem.service.settings import Settings
from agentmem.service.tokens import Token
from agentmem.service.workers import Workers

R = TypeVar("R")

# For the description of the API only: `agentmem.service.access` has checked the token before.
BEARER = HTTPBearer(auto_error=False, description="a token of the service, if it has any")


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """What belongs to one service; ``app.state.service``.

    Attributes:
        memory: The open memory, in its whole.
        settings: How the service is run.
        workers: The threads that use the memory.
        metrics: What it has done.
        rate: How often each token may ask.
        sessions: Who has logged in to the page.
    """

    memory: Memory
    settings: Settings
    workers: Workers
    rate: Rate
    metrics: Metrics = field(default_factory=Metrics)
    sessions: Sessions = field(default_factory=Sessions)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        service: What is asked.
        token: Whose request it is.
    """

    service: Service
    token: Token

    async def run(self, work: Callable[[Memory], R]) -> R:
        """Have a thread do something with the memory, bound to the scope of the token.

        Raises:
            ServiceError: too many calls wait already, or an argument is of a type that the memory
                does not take.
            AgentMemError: as the memory.
        """
        memory = self.service.memory
        if self.token.scope:
            memory = memory.scoped(**dict(self.token.scope))

        def call() -> R:
            try:
                return work(memory)
            except AgentMemError:
                raise
            except TypeError as error:
                # What JSON has, and no argument is: as in a wrong call of the SDK.
                raise ServiceError(str(error), status=400, code="type") from error

        return await self.service.workers.run(call)

    def require_everything(self) -> None:
        """Check that the token is bound to no scope.

        Raises:
            ServiceError: it is.
        """
        if self.token.scope:
            raise ServiceError(
                f"token {self.token.name!r} is bound to a scope, and this is about the complete "
                f"store: use a token without ids",
                status=403,
                code="forbidden",
            )


def service_of(request: Request) -> Service:
    """The service that was asked."""
    service: Service = request.app.state.service
    return service


def _caller(request: Request) -> Caller:
    return Caller(service_of(request), request.state.token)


def _described_caller(request: Request, _: Annotated[object, Depends(BEARER)]) -> Caller:
    return _caller(request)


# In routes of the API, whose description says that they take a token; and in those of the page.
ApiCaller = Annotated[Caller, Depends(_described_caller)]
PageCaller = Annotated[Caller, Depends(_caller)]
