"""What every request passes before anything reads it: names, origins, sizes, times and headers.

They are plain ASGI middleware, so that nothing that is refused reaches the framework.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentmem.service.answers import problem

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Nobody else on the machine finds memories in a browser's cache.
    "Cache-Control": "no-store",
}


class Hardened:
    """Sets the headers of `HEADERS`, and accepts nothing but HTTP."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class KnownHosts:
    """Refuses requests under another name, and those that a page of another site makes.

    A page of a site whose name suddenly resolves to this machine (DNS rebinding) sends that name;
    a page that posts a form here sends its own origin.
    """

    def __init__(self, app: ASGIApp, *, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            if self._hosts is not None and _name(host) not in self._hosts:
                refusal = problem(
                    421,
                    "unknown_host",
                    f"this service is not known as {host!r:.200}: start it with --allow-host",
                )
                await refusal(scope, receive, send)
                return
            if scope["method"] not in SAFE_METHODS and not same_origin(headers):
                refusal = problem(403, "other_origin", "a page of another origin may not do that")
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Bounded:
    """Refuses bodies that are too large, and ends what takes too long.

    The body is read here, as a whole: routes get it at once, and a client that sends it slowly is
    subject to the same time limit.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._most = max_body_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = True
            # Of a long answer, each piece has that time: a client that takes none is cut off.
            limit.reschedule(asyncio.get_running_loop().time() + self._timeout_s)
            await send(message)

        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                await self._answer(scope, receive, noting)
        except TimeoutError:
            if started or not limit.expired():
                raise
            late = problem(
                504,
                "timeout",
                f"not finished within {self._timeout_s:g} s; what was to be written may yet be",
            )
            await late(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "0")
        body = None
        if declared.isdecimal() and len(declared) < 20 and int(declared) <= self._most:
            body = await _read(receive, self._most)
        if body is None:
            refusal = problem(
                413,
                "body_too_large",
                f"a body may have {self._most} bytes at most: send less at once, or start the "
                f"service with a larger --max-body",
            )
            await refusal(scope, receive, send)
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


def same_origin(headers: Headers, *, certain: bool = False) -> bool:
    """Whether a request comes from a page of this service, or from no page at all.

    Args:
        headers: Of the request.
        certain: Whether a request from no page does not count, as for forms.
    """
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    site = headers.get("sec-fetch-site")
    if site is None:
        return not certain
    return site in ("same-origin", "none")


def _name(host: str) -> str:
    """The name in a Host header, in lower case and without the port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _read(receive: Receive, most: int) -> bytes | None:
    """A whole body; None if it is too large."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""  # the client is gone
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > most:
            return None
        if not message.get("more_body", False):
            return b"".join(pieces)
