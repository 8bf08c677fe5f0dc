"""`wrap`: the client of a language model, with a memory around every request.

The wrapped client is used like the client itself. Requests of OpenAI's ``chat.completions`` and
``responses`` and of Anthropic's ``messages`` (``create``, ``parse`` and ``stream``) are sent with
what `Session.context` recalls, and their replies are stored by `Session.observe_later`, streams
when they end or are closed; so are those by ``with_streaming_response``, whose replies are stored
if they are read by ``parse``. Everything else is the client's own, also requests by
``with_raw_response``.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import (
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from agentmem.aio import AsyncMemory
from agentmem.chat.async_session import AsyncSession
from agentmem.chat.session import Session
from agentmem.chat.session_checks import check_options
from agentmem.context.pack import CountTokens
from agentmem.errors import InputError
from agentmem.ingest.checks import describe
from agentmem.integrations.proxy import Proxy
from agentmem.integrations.streams import (
    CompletionChunks,
    MessageEvents,
    Received,
    ResponseEvents,
)
from agentmem.integrations.turns import (
    AsyncStream,
    AsyncStreamingResponse,
    AsyncTurn,
    Stream,
    StreamingResponse,
    Turn,
)
from agentmem.scopes import ReadId
from agentmem_storage.records import UNSET

C = TypeVar("C")
R = TypeVar("R")


class Remembers(Protocol):
    """A memory that has sessions: a `Memory`, or a `agentmem.remote.RemoteMemory`."""

    def session(
        self, *, user_id: ReadId = UNSET, agent_id: ReadId = UNSET, session_id: ReadId = UNSET
    ) -> Session:
        """See `Memory.session`."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """Where a request has its messages, and how its streams are read.

    Attributes:
        key: The argument that they are.
        received: What reads a stream.
        optional: Whether a request may be without, such as one of a prompt that is kept elsewhere.
    """

    key: str
    received: Callable[[], Received]
    optional: bool = False

    def messages(self, arguments: Mapping[str, Any]) -> list[Any] | None:
        """The messages of a request; None if it brings none that can be read."""
        given = arguments.get(self.key)
        if isinstance(given, str):
            return [{"role": "user", "content": given}]
        if not isinstance(given, Iterable) or isinstance(given, Mapping):
            return [] if self.optional else None
        return list(given)


_ENDPOINTS = {
    ("chat", "completions"): _Endpoint("messages", CompletionChunks),
    ("beta", "chat", "completions"): _Endpoint("messages", CompletionChunks),
    ("responses",): _Endpoint("input", ResponseEvents, optional=True),
    ("beta", "responses"): _Endpoint("input", ResponseEvents, optional=True),
    ("messages",): _Endpoint("messages", MessageEvents),
    ("beta", "messages"): _Endpoint("messages", MessageEvents),
}
# Methods of a client that return another one with other settings.
_COPIES = ("with_options", "copy")
# The part of a client, and of each of its parts, whose ``create`` opens a response in a block.
_STREAMING = "with_streaming_response"
# Methods of Anthropic's that make something which sends one request after the other.
_LOOPS = ("tool_runner", "thread")


def wrap(
    client: C,
    *,
    memory: AsyncMemory | Remembers,
    user_id: ReadId = UNSET,
    agent_id: ReadId = UNSET,
    session_id: ReadId = UNSET,
    max_tokens: int = 600,
    k: int = 8,
    count_tokens: CountTokens | None = None,
) -> C:
    """A client of OpenAI or Anthropic that remembers, and is used like the one it wraps.

    ::

        client = agentmem.wrap(OpenAI(), memory=mem, user_id="ana", session_id="2026-05-03")
        client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        client.agentmem_session.error    # None, or why the memory failed

    Args:
        client: A client, synchronous or asynchronous, or anything with their methods.
        memory: A `Memory`, `agentmem.remote.RemoteMemory` or `AsyncMemory`. An asynchronous client
            may have any kind; the first two work in threads then.
        user_id: Whose memory it is; see `Memory.session`.
        agent_id: Likewise.
        session_id: The conversation.
        max_tokens: Budget for the recalled memories; see `Session.context`.
        k: Maximum number of memories.
        count_tokens: Counts the tokens of a text.

    Raises:
        InputError: the client has none of the methods, or is synchronous and the memory is not;
            or an argument is wrong, as in `Memory.session` and `Session.context`.
    """
    asynchronous = _is_asynchronous(client)
    if isinstance(memory, AsyncMemory) and not asynchronous:
        raise InputError(
            "an AsyncMemory cannot wait in a synchronous client: use Memory, or an async client"
        )
    if not callable(getattr(memory, "session", None)):
        raise InputError(f"memory= is a Memory, not {describe(memory)}: Memory('notes') opens one")
    check_options(max_tokens=max_tokens, k=k, count_tokens=count_tokens)
    options = {"max_tokens": max_tokens, "k": k, "count_tokens": count_tokens}
    session = memory.session(user_id=user_id, agent_id=agent_id, session_id=session_id)
    if asynchronous and isinstance(session, Session):
        session = AsyncSession(session, read=_in_thread, write=_in_thread)
    return cast(C, _Client(client, (), _Around(session, options, asynchronous)))


async def _in_thread(work: Callable[[], R]) -> R:
    return await asyncio.to_thread(work)


def _is_asynchronous(client: object) -> bool:
    for path in _ENDPOINTS:
        found: object = client
        for name in (*path, "create"):
            found = getattr(found, name, None)
        if callable(found):
            return inspect.iscoroutinefunction(inspect.unwrap(found))
    raise InputError(
        f"wrap() takes a client with chat.completions, responses or messages, such as OpenAI() or "
        f"Anthropic(), got {describe(client)}"
    )


class _Client(Proxy):
    """A client, or the part of one on the way to its endpoints."""

    __slots__ = ("_around", "_path")

    def __init__(self, target: Any, path: tuple[str, ...], around: _Around) -> None:
        super().__init__(target)
        self._path, self._around = path, around

    @property
    def agentmem_session(self) -> Any:
        """The session that remembers: a `Session` or an `AsyncSession`."""
        return self._around.session

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        path = (*self._path, name)
        to = tuple(one for one in path if one != _STREAMING)
        if any(known[: len(to)] == to for known in _ENDPOINTS):
            return _Client(value, path, self._around)
        if (endpoint := _ENDPOINTS.get(to[:-1])) is not None:
            if name in ("create", "parse") and _STREAMING in path:
                return self._around.response(value, endpoint)
            if name in ("create", "parse"):
                return self._around.call(value, endpoint)
            if name == "stream":
                return self._around.stream(value, endpoint)
            if name in _LOOPS and inspect.ismethod(value):
                asking = _Asking(self._target, _Client(self._target._client, (), self._around))
                return partial(value.__func__, asking)
        if not self._path and name in _COPIES:
            return lambda *args, **more: _Client(value(*args, **more), (), self._around)
        return value

    def __enter__(self) -> _Client:
        self._target.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._target.__exit__(*error)

    async def __aenter__(self) -> _Client:
        await self._target.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self._target.__aexit__(*error)


class _Asking(Proxy):
    """The part of a client whose loops send their requests by a wrapped client."""

    __slots__ = ("_client",)

    def __init__(self, target: Any, client: _Client) -> None:
        super().__init__(target)
        self._client = client


@dataclass(frozen=True, slots=True)
class _Around:
    """What is done around a request."""

    session: Any
    options: Mapping[str, Any]
    asynchronous: bool

    def call(self, method: Callable[..., Any], endpoint: _Endpoint) -> Callable[..., Any]:
        """``create`` or ``parse`` with a memory."""

        def create(*args: Any, **arguments: Any) -> Any:
            messages = endpoint.messages(arguments)
            if messages is None:
                return method(*args, **arguments)
            sent = self.session.context(messages, **self.options)
            result = method(*args, **_sending(arguments, endpoint, messages, sent))
            turn = Turn(self.session, messages, endpoint.received())
            if arguments.get("stream"):
                return Stream(result, turn)
            turn.finish(result)
            return result

        async def acreate(*args: Any, **arguments: Any) -> Any:
            messages = endpoint.messages(arguments)
            if messages is None:
                return await method(*args, **arguments)
            sent = await self.session.context(messages, **self.options)
            result = await method(*args, **_sending(arguments, endpoint, messages, sent))
            turn = AsyncTurn(self.session, messages, endpoint.received())
            if arguments.get("stream"):
                return AsyncStream(result, turn)
            await turn.finish(result)
            return result

        return acreate if self.asynchronous else create

    def stream(self, method: Callable[..., Any], endpoint: _Endpoint) -> Callable[..., Any]:
        """``stream``, which opens a stream in a block, with a memory."""
        if self.asynchronous:
            return lambda *args, **more: _AsyncBlock(self, method, endpoint, args, more)
        return lambda *args, **more: _Block(self, method, endpoint, args, more)

    def response(self, method: Callable[..., Any], endpoint: _Endpoint) -> Callable[..., Any]:
        """``create`` of `_STREAMING`, which opens a response in a block, with a memory."""
        if self.asynchronous:
            return lambda *args, **more: _AsyncResponseBlock(self, method, endpoint, args, more)
        return lambda *args, **more: _ResponseBlock(self, method, endpoint, args, more)


def _sending(
    arguments: dict[str, Any], endpoint: _Endpoint, messages: list[Any], sent: list[Any]
) -> dict[str, Any]:
    """The arguments of a request; as they were if nothing is added to its messages."""
    # What can be read once, such as a generator, has been read by now.
    given = arguments.get(endpoint.key)
    once = isinstance(given, Iterable) and not isinstance(given, Sequence)
    return (
        arguments if len(sent) == len(messages) and not once else {**arguments, endpoint.key: sent}
    )


@dataclass(slots=True)
class _Block:
    """What ``stream`` returns: a block in which the SDK's stream is read.

    That stream reads another, of the events as they arrive, which is the one that is observed.
    """

    around: _Around
    method: Callable[..., Any]
    endpoint: _Endpoint
    args: tuple[Any, ...]
    arguments: dict[str, Any]
    manager: Any = None
    turn: Turn | None = None

    def __enter__(self) -> Any:
        messages = self.endpoint.messages(self.arguments)
        arguments = self.arguments
        if messages is not None:
            sent = self.around.session.context(messages, **self.around.options)
            arguments = _sending(arguments, self.endpoint, messages, sent)
        self.manager = self.method(*self.args, **arguments)
        stream = self.manager.__enter__()
        if messages is not None:
            self.turn = Turn(self.around.session, messages, self.endpoint.received())
            return self.observed(stream, self.turn)
        return stream

    def observed(self, stream: Any, turn: Turn) -> Any:
        """What is opened, such that it is observed."""
        stream._raw_stream = Stream(stream._raw_stream, turn)
        return stream

    def __exit__(self, *error: object) -> Any:
        try:
            return self.manager.__exit__(*error)
        finally:
            if self.turn is not None:
                self.turn.finish()


@dataclass(slots=True)
class _AsyncBlock:
    """`_Block` for asyncio."""

    around: _Around
    method: Callable[..., Any]
    endpoint: _Endpoint
    args: tuple[Any, ...]
    arguments: dict[str, Any]
    manager: Any = None
    turn: AsyncTurn | None = None

    async def __aenter__(self) -> Any:
        messages = self.endpoint.messages(self.arguments)
        arguments = self.arguments
        if messages is not None:
            sent = await self.around.session.context(messages, **self.around.options)
            arguments = _sending(arguments, self.endpoint, messages, sent)
        self.manager = self.method(*self.args, **arguments)
        stream = await self.manager.__aenter__()
        if messages is not None:
            self.turn = AsyncTurn(self.around.session, messages, self.endpoint.received())
            return self.observed(stream, self.turn)
        return stream

    def observed(self, stream: Any, turn: AsyncTurn) -> Any:
        """See `_Block`."""
        stream._raw_stream = AsyncStream(stream._raw_stream, turn)
        return stream

    async def __aexit__(self, *error: object) -> Any:
        try:
            return await self.manager.__aexit__(*error)
        finally:
            if self.turn is not None:
                await self.turn.finish()


class _ResponseBlock(_Block):
    """A block in which a response is read."""

    def observed(self, stream: Any, turn: Turn) -> Any:
        """See `_Block`."""
        return StreamingResponse(stream, turn)


class _AsyncResponseBlock(_AsyncBlock):
    """`_ResponseBlock` for asyncio."""

    def observed(self, stream: Any, turn: AsyncTurn) -> Any:
        """See `_Block`."""
        return AsyncStreamingResponse(stream, turn)
