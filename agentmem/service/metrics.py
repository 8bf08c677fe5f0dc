"""What the service has done, for Prometheus."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Of whatever has no route of its own, so that clients cannot make up names without end.
_NO_ROUTE = "none"
_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS")


class Metrics:
    """Counts of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("agentmem_requests", "Requests.", labels, registry=self._registry)
        self._seconds = Histogram(
            "agentmem_request_seconds",
            "Time until a request was answered.",
            ("route",),
            registry=self._registry,
        )
        self._pending = Gauge(
            "agentmem_pending_calls",
            "Calls of the store that run or wait.",
            registry=self._registry,
        )
        self._memories = Gauge(
            "agentmem_memories", "Memories in the store.", registry=self._registry
        )

    def seen(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self, *, pending: int, memories: int) -> bytes:
        """All metrics as text."""
        self._pending.set(pending)
        self._memories.set(memories)
        return generate_latest(self._registry)


class Measured:
    """Counts requests by route, method and status."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # unless something is answered
        begun = perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", _NO_ROUTE)
            self._metrics.seen(scope["method"], route, status, perf_counter() - begun)
