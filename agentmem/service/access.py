"""Who may ask, and how often: everything but `PUBLIC` needs a token, if the service has any."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from agentmem.service.answers import problem
from agentmem.service.rate import Rate
from agentmem.service.sessions import COOKIE, Sessions
from agentmem.service.tokens import ANYBODY, Token, Tokens

# Whether the process lives; the form that asks for a token, and how it looks.
PUBLIC = (
    *("/health", "/login"),
    *("/static/page.js", "/static/style.css", "/static/icon.svg"),
)
_API = ("/v1/", "/metrics", "/openapi.json")


class Access:
    """Finds out whose request it is, for routes as ``request.state.token``.

    The API takes ``Authorization: Bearer SECRET``, and the page a cookie too; the API does not, so
    that no page of another site can use it with the cookie of a visitor.
    """

    def __init__(self, app: ASGIApp, *, tokens: Tokens, sessions: Sessions, rate: Rate) -> None:
        self._app = app
        self._tokens = tokens
        self._sessions = sessions
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        path = path_within(scope)
        if scope["type"] != "http" or path in PUBLIC:
            await self._app(scope, receive, send)
            return
        token = self._token(scope)
        if token is None:
            if is_api(path) or scope["method"] != "GET":
                refusal = problem(
                    401,
                    "unauthorized",
                    "no token of this service: send `Authorization: Bearer SECRET`",
                    headers={"WWW-Authenticate": "Bearer"},
                )
                await refusal(scope, receive, send)
            else:
                form = f"{scope.get('root_path', '')}/login"
                await RedirectResponse(form, 303)(scope, receive, send)
            return
        if wait_s := self._rate.wait_s(token.name):
            limited = problem(
                429,
                "rate_limited",
                f"too many requests at once: ask again in {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )
            await limited(scope, receive, send)
            return
        scope.setdefault("state", {})["token"] = token
        await self._app(scope, receive, send)

    def _token(self, scope: Scope) -> Token | None:
        if not self._tokens:
            return ANYBODY
        headers = Headers(scope=scope)
        kind, _, secret = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self._tokens.find(secret.strip())
        if is_api(path_within(scope)):
            return None
        id = session_id(headers)
        return None if id is None else self._sessions.find(id)


def path_within(scope: Scope) -> str:
    """The path of a request within the service, which another application may have mounted."""
    path: str = scope.get("path", "")
    mounted_at: str = scope.get("root_path", "")
    return path.removeprefix(mounted_at) if path.startswith(f"{mounted_at}/") else path


def is_api(path: str) -> bool:
    """Whether programs ask there, and not people with a browser."""
    return path.startswith(_API)


def session_id(headers: Headers) -> str | None:
    """The id in a browser's cookie."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value
