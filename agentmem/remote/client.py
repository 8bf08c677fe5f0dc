"""Asks a service, and raises what it answers if that is an error."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from weakref import WeakSet

from pydantic import ValidationError

from agentmem.errors import InputError, MissingExtraError, ServiceError
from agentmem.wire.problems import Problem, restore
from agentmem_storage.text import shown

try:
    import httpx
except ImportError as error:
    raise MissingExtraError(
        "RemoteMemory needs httpx: pip install 'latent-agentmem[remote]'", extra="remote"
    ) from error


_clients: WeakSet[Client] = WeakSet()


def _after_fork() -> None:
    for client in _clients:
        client.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Client:
    """Connections to one service; safe to use from several threads, and after a fork.

    A child process opens connections of its own: on one that it shares with its parent, each might
    read the answer to the other. A client that is pickled takes its token along, and no connection.

    Args:
        url: Of the service, such as ``http://127.0.0.1:7717``.
        token: A token of the service; None if it has none.
        timeout_s: How long to wait for an answer, in seconds.

    Raises:
        InputError: ``url`` is none of HTTP, a token cannot be sent, or ``timeout_s`` is not
            positive.
    """

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        if not isinstance(url, str):
            raise TypeError(f"the URL of a service must be a string, not {shown(url)}")
        if not _is_url(url):
            raise InputError(
                f"{shown(url)} is no URL of a service: give one such as http://127.0.0.1:7717"
            )
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise InputError("the token has characters that no token has, or none")
        if not (timeout_s > 0 and math.isfinite(timeout_s)):
            raise InputError(f"timeout_s={timeout_s!r} must be greater than 0")
        self.url = url.rstrip("/")
        self._token, self._timeout_s = token, timeout_s
        self._http = self._connect()
        self._closed = False
        # Not to be closed here: TLS would end the connection of the parent, too.
        self._inherited: list[httpx.Client] = []
        _clients.add(self)

    def __reduce__(self) -> tuple[type[Client], tuple[str, str | None, float]]:
        return Client, (self.url, self._token, self._timeout_s)

    def _connect(self) -> httpx.Client:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        # No proxy or certificate of the environment gets to see memories.
        return httpx.Client(
            base_url=self.url, headers=headers, timeout=self._timeout_s, trust_env=False
        )

    def after_fork(self) -> None:
        """In the child: leave the parent its connections."""
        if not self._closed:
            self._inherited.append(self._http)
            self._http = self._connect()

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Send a request, and return the body of the answer.

        Raises:
            ServiceError: the service cannot be reached, does not answer in time, or refuses.
            AgentMemError: what the memory of the service raised, and TypeError likewise.
        """
        content, headers = None, {}
        if body is not None:
            content, headers = _json(body), {"Content-Type": "application/json"}
        with self._reaching():
            answer = self._http.request(
                method, path, params=params, content=content, headers=headers
            )
        return _content(answer)

    def upload(self, path: str, content: bytes) -> bytes:
        """Send a file, and return the body of the answer; it raises what `ask` does."""
        headers = {"Content-Type": "application/octet-stream"}
        with self._reaching():
            answer = self._http.post(path, content=content, headers=headers)
        return _content(answer)

    def download(self, path: str, *, params: Mapping[str, Any], into: BinaryIO) -> None:
        """Ask for a file, and write it as it comes; it raises what `ask` does."""
        with self._reaching(), self._http.stream("GET", path, params=params) as answer:
            if answer.is_success:
                for piece in answer.iter_bytes():
                    into.write(piece)
                return
            answer.read()
        _content(answer)

    def close(self) -> None:
        """Close the connections; closing twice is harmless."""
        self._closed = True
        self._http.close()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say what keeps a service from being asked.

        Raises:
            ServiceError: it cannot be reached, or does not answer in time.
            InputError: what is asked for is too long for a URL.
        """
        try:
            yield
        except httpx.InvalidURL as error:
            raise InputError(
                f"the filter is too long to be sent ({error}): ask for less at once"
            ) from error
        except httpx.TimeoutException as error:
            raise ServiceError(
                f"{self.url} did not answer in time; what was to be written may be"
            ) from error
        except httpx.RemoteProtocolError:
            # What is wrong with it is told with bytes of the answer, which may be of a memory.
            raise ServiceError(
                f"{self.url} broke off its answer, or gave none of HTTP; what was to be written "
                f"may be; is `agentmem serve` running there?"
            ) from None
        except httpx.HTTPError as error:
            raise ServiceError(
                f"cannot reach {self.url}: {error}; is `agentmem serve` running there?"
            ) from error
        except RuntimeError as error:
            raise ServiceError(f"this RemoteMemory of {self.url} is closed") from error


def _content(answer: httpx.Response) -> bytes:
    """The body of an answer that has been read, if it is no error."""
    if answer.is_success:
        return answer.content
    if answer.has_redirect_location:
        place = shown(answer.headers["location"])
        raise ServiceError(
            f"the service is at another address, {place}: give its URL", status=answer.status_code
        )
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        problem = None
    raise restore(answer.status_code, problem)


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query
    except ValueError:
        return False


def _json(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"there is a character that is not valid Unicode: {error}") from None
    except ValueError as error:
        raise InputError(f"a value has no form in JSON: {error}") from None
    except RecursionError:
        raise InputError("it is nested too deeply: flatten it") from None
