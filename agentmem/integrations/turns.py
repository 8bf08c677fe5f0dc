"""Turns: requests of a wrapped client that are observed once, also by way of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from typing import Any

from agentmem.chat.async_session import AsyncSession
from agentmem.chat.session import Session
from agentmem.chat.session_checks import check_reply
from agentmem.errors import InputError
from agentmem.integrations.proxy import Proxy
from agentmem.integrations.streams import Received
from agentmem_storage.interruptions import is_interruption


class Turn:
    """One request, which is observed once."""

    def __init__(self, session: Session, messages: list[Any], received: Received) -> None:
        self._session, self._messages, self._received = session, messages, received
        self._open = True

    def add(self, event: object) -> None:
        """Take an event of its stream."""
        try:
            self._received.add(event)
        except Exception as error:  # an event of a kind that is not known must not end the stream
            if is_interruption(error):
                raise
            self._session.failed("reading a stream", error)

    def finish(self, reply: object = None) -> None:
        """Store it, with its reply or what was received of it."""
        if self._open:
            self._open = False
            reply = self._received.reply() if reply is None else reply
            self._session.observe_later(self._messages, _readable(reply, self._session))


class AsyncTurn:
    """`Turn` for asyncio. Once it is finished it is stored, even if the caller is cancelled."""

    # The event loop holds tasks weakly.
    _tasks: set[Awaitable[Any]] = set()

    def __init__(self, session: AsyncSession, messages: list[Any], received: Received) -> None:
        self._session, self._messages, self._received = session, messages, received
        self._open = True

    def add(self, event: object) -> None:
        """See `Turn`."""
        try:
            self._received.add(event)
        except Exception as error:
            if is_interruption(error):
                raise
            self._session.failed("reading a stream", error)

    async def finish(self, reply: object = None) -> None:
        """See `Turn`."""
        if self._open:
            self._open = False
            reply = self._received.reply() if reply is None else reply
            reply = _readable(reply, self._session)
            task = asyncio.ensure_future(self._session.observe_later(self._messages, reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.shield(task)


def _readable(reply: object, session: Session | AsyncSession) -> object:
    """A reply as it is; None if it is nothing like one, such as of a client that wraps another."""
    try:
        check_reply(reply)
    except InputError as error:
        session.failed("reading the reply", error)
        return None
    return reply


def _events(stream: Iterable[Any], turn: Turn) -> Iterator[Any]:
    """The events of a stream. It is over at its end, and if nobody reads on.

    A function, because a generator that its own stream refers to is not closed at once.
    """
    try:
        for event in stream:
            turn.add(event)
            yield event
    finally:
        turn.finish()


async def _async_events(stream: Any, turn: AsyncTurn) -> AsyncIterator[Any]:
    try:
        async for event in stream:
            turn.add(event)
            yield event
    finally:
        await turn.finish()


class Stream(Proxy):
    """A stream of an SDK that is observed when it ends, or is closed or abandoned."""

    __slots__ = ("_observed", "_turn")

    def __init__(self, target: Any, turn: Turn) -> None:
        super().__init__(target)
        self._turn, self._observed = turn, _events(target, turn)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._observed)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream, and store what was received."""
        try:
            self._target.close()
        finally:
            self._turn.finish()


class AsyncStream(Proxy):
    """`Stream` for asyncio."""

    __slots__ = ("_observed", "_turn")

    def __init__(self, target: Any, turn: AsyncTurn) -> None:
        super().__init__(target)
        self._turn, self._observed = turn, _async_events(target, turn)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._observed)

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the stream, and store what was received."""
        try:
            await self._target.close()
        finally:
            await self._turn.finish()


class StreamingResponse(Proxy):
    """A response that is still open: what is read of it by ``parse`` is observed."""

    __slots__ = ("_turn",)

    def __init__(self, target: Any, turn: Turn) -> None:
        super().__init__(target)
        self._turn = turn

    def parse(self, *args: Any, **arguments: Any) -> Any:
        """The reply, or its stream."""
        parsed = self._target.parse(*args, **arguments)
        if hasattr(parsed, "__next__"):
            return Stream(parsed, self._turn)
        self._turn.finish(parsed)
        return parsed


class AsyncStreamingResponse(Proxy):
    """`StreamingResponse` for asyncio."""

    __slots__ = ("_turn",)

    def __init__(self, target: Any, turn: AsyncTurn) -> None:
        super().__init__(target)
        self._turn = turn

    async def parse(self, *args: Any, **arguments: Any) -> Any:
        """See `StreamingResponse`."""
        parsed = await self._target.parse(*args, **arguments)
        if hasattr(parsed, "__anext__"):
            return AsyncStream(parsed, self._turn)
        await self._turn.finish(parsed)
        return parsed
