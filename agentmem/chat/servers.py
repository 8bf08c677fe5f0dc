"""A language model behind an HTTP API, called with the standard library.

One POST per answer. Nothing is retried, no redirect is followed (it would send the key to another
host), and replies are not streamed. Keys appear in no message and no ``repr``.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, Literal
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from agentmem._version import __version__
from agentmem.chat.protocols import (
    ChatMessages,
    anthropic_request,
    anthropic_text,
    excerpt,
    get,
    openai_request,
    openai_text,
)
from agentmem.errors import AnswererError
from agentmem_storage.interruptions import is_interruption

_ANTHROPIC_VERSION = "2023-06-01"
_MAX_REPLY_BYTES = 16 << 20
# Servers without keys get placeholders such as "ollama" or "EMPTY", which are not secrets.
_SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class Server:
    """A model on a server; call it with messages to get the model's reply.

    Attributes:
        spec: The spec as the user gave it.
        base: Its base URL, up to and including the version ("https://api.openai.com/v1").
        model: The model; None means the only one that the server has.
        protocol: The protocol that it speaks.
        key: The API key; None if the server needs none.
        key_from: Where a key can be set, for error messages.
        timeout_s: Seconds within which the whole reply must arrive.
        start: How to start the server, for error messages.
    """

    spec: str
    base: str
    model: str | None
    protocol: Literal["openai", "anthropic"]
    key: str | None = field(repr=False)
    key_from: str
    timeout_s: float
    start: str = "is the address right, and is the server running?"

    def __call__(self, messages: ChatMessages) -> str:
        """The model's reply.

        Raises:
            AnswererError: there is no reply, for whatever reason.
        """
        try:
            return self._reply(messages)
        except AnswererError as error:
            # Servers may quote the key, for instance in "Incorrect API key provided: ...".
            message = str(error)
            if self.key and len(self.key) >= _SHORTEST_SECRET:
                message = message.replace(self.key, "***")
            raise AnswererError(message, status=error.status) from None

    def _reply(self, messages: ChatMessages) -> str:
        model = self.model or self._only_model()
        if self.protocol == "anthropic":
            reply = self._fetch("/messages", anthropic_request(model, messages))
            return anthropic_text(reply, self.spec)
        reply = self._fetch("/chat/completions", openai_request(model, messages))
        return openai_text(reply, self.spec)

    def _only_model(self) -> str:
        listed = get(self._fetch("/models", None), "data")
        names = [str(get(model, "id")) for model in listed] if isinstance(listed, list) else []
        if len(names) == 1:
            return names[0]
        has = f"has {len(names)} models ({excerpt(', '.join(names))})" if names else "lists none"
        raise AnswererError(f"{self.spec} names no model, and the server {has}: give URL#MODEL")

    def _fetch(self, path: str, body: dict[str, Any] | None) -> Any:
        """POST ``body`` as JSON, or GET if it is None; returns the parsed reply."""
        url = self.base + path
        data = None if body is None else json.dumps(body).encode()
        try:
            raw = _read(Request(url, data, self._headers()), self.timeout_s)
        except HTTPError as error:
            with error:
                raise self._http_error(error, url) from None
        # UnicodeError: a host name that cannot be encoded for DNS.
        except (OSError, HTTPException, UnicodeError) as error:
            # urllib wraps what was raised while it connected.
            raised = error.reason if isinstance(error, URLError) else error
            if isinstance(raised, BaseException) and is_interruption(raised):
                raise raised from None
            raise self._no_reply(error, url) from None
        reply = _parsed(raw)
        if reply is None:
            sent = excerpt(raw.decode(errors="replace")) or "nothing"
            raise AnswererError(
                f"{self.spec}: {url} did not send JSON but {sent}; is the address that of the API?"
            )
        if failure := get(reply, "error"):
            raise AnswererError(f"{self.spec}: error from {url}: {_error_text(failure)}")
        return reply

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            # Some gateways block urllib's default user agent.
            "User-Agent": f"agentmem/{__version__}",
        }
        if self.protocol == "anthropic":
            headers["anthropic-version"] = _ANTHROPIC_VERSION
            if self.key:
                headers["x-api-key"] = self.key
        elif self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return headers

    def _http_error(self, error: HTTPError, url: str) -> AnswererError:
        try:
            text = _body(error, time.monotonic() + self.timeout_s).decode(errors="replace")
        except (OSError, HTTPException):
            text = ""
        reply = _parsed(text)
        if isinstance(reply, dict):
            message = _error_text(reply.get("error") or reply)
        else:
            is_page = text.lstrip().startswith("<")
            message = "" if is_page else excerpt(text)
        message = message or excerpt(str(error.reason)) or "no reason given"
        return AnswererError(
            f"{self.spec}: HTTP {error.code} from {url}: {message}{self._hint(error)}",
            status=error.code,
        )

    def _hint(self, error: HTTPError) -> str:
        if error.code in (401, 403):
            return f" ({'check' if self.key else 'give'} the key: {self.key_from})"
        if error.code == 404:
            ollama = self.spec.startswith("ollama:")
            pull = f"; `ollama pull {self.model}` downloads it" if ollama else ""
            return f" (check the model's name and the address{pull})"
        if 300 <= error.code < 400:
            location = error.headers.get("Location", "").partition("?")[0]
            return f" (a redirect to {location!r}, which is not followed: give the final address)"
        if error.code == 429 or error.code >= 500:
            return " (nothing is retried: try again later)"
        return ""

    def _no_reply(self, error: Exception, url: str) -> AnswererError:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            return AnswererError(
                f"{self.spec}: no full reply from {url} within {self.timeout_s:g} s; nothing is "
                "retried: try again later, or with a longer timeout_s=..."
            )
        if isinstance(reason, ssl.SSLError):
            what = f"no secure connection ({excerpt(str(reason))})"
        elif isinstance(reason, ConnectionRefusedError):
            what = "connection refused"
        elif isinstance(reason, (socket.gaierror, UnicodeError)):
            what = "unknown host"
        else:
            what = f"connection failed ({excerpt(str(reason)) or type(reason).__name__})"
        return AnswererError(f"{self.spec}: {what} at {url}; {self.start}")


def _parsed(raw: bytes | str) -> Any:
    """Parsed JSON; None if it is invalid."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _error_text(error: object) -> str:
    """The message of an error object, whose format differs by server."""
    message = get(error, "message") or get(error, "detail") or error
    return excerpt(message if isinstance(message, str) else json.dumps(message))


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _read(request: Request, timeout_s: float) -> bytes:
    deadline = time.monotonic() + timeout_s
    with build_opener(_NoRedirects).open(request, timeout=timeout_s) as response:
        return _body(response, deadline)


def _body(response: Any, deadline: float) -> bytes:
    """The whole body; raises `TimeoutError` if it is incomplete at the deadline.

    A socket's own timeout starts again with every piece that arrives.
    """
    pieces, size = [], 0
    while piece := response.read1(1 << 16):
        pieces.append(piece)
        size += len(piece)
        if size > _MAX_REPLY_BYTES:
            raise HTTPException(f"a reply of more than {_MAX_REPLY_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError
    return b"".join(pieces)
