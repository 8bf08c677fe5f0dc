"""`AsyncSession`: a conversation that remembers, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, Self, TypeVar

from agentmem.chat.session import Session
from agentmem.chat.session_checks import check_messages, check_reply
from agentmem.context.pack import CountTokens
from agentmem.errors import StoreError
from agentmem.results import Receipt

R = TypeVar("R")


class Run(Protocol):
    """Runs something elsewhere, and waits for it without blocking the event loop."""

    def __call__(self, work: Callable[[], R], /) -> Awaitable[R]:
        """What ``work`` returns, or raises."""


class AsyncSession:
    """`Session` for asyncio; made by `AsyncMemory.session`."""

    def __init__(self, session: Session, *, read: Run, write: Run) -> None:
        """Make one of a session.

        Args:
            session: Does the work.
            read: Runs elsewhere what only reads.
            write: Runs elsewhere what writes.
        """
        self._session, self._read, self._write = session, read, write

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `Session.__exit__`."""
        await self.flush()

    def __repr__(self) -> str:
        return f"Async{self._session!r}"

    @property
    def error(self) -> Exception | None:
        """See `Session`."""
        return self._session.error

    def failed(self, doing: str, error: Exception) -> None:
        """See `Session.failed`."""
        self._session.failed(doing, error)

    async def context(
        self,
        messages: Sequence[Any],
        *,
        max_tokens: int = 600,
        k: int = 8,
        count_tokens: CountTokens | None = None,
    ) -> list[Any]:
        """See `Session.context`."""
        given = check_messages(messages)
        try:
            return await self._read(
                lambda: self._session.context(
                    given, max_tokens=max_tokens, k=k, count_tokens=count_tokens
                )
            )
        except StoreError as error:  # closed: nothing runs there any more
            self._session.failed("recalling", error)
            return given

    async def observe(self, messages: Sequence[Any], reply: object = None) -> Receipt | None:
        """See `Session.observe`."""
        # As they are now: the caller may go on with the list.
        given = check_messages(messages)
        check_reply(reply)
        try:
            return await self._write(lambda: self._session.observe(given, reply))
        except StoreError as error:
            self._session.failed("storing", error)
            return None

    async def observe_later(self, messages: Sequence[Any], reply: object = None) -> None:
        """See `Session.observe_later`."""
        given = check_messages(messages)
        check_reply(reply)
        try:
            await self._write(lambda: self._session.observe_later(given, reply))
        except StoreError as error:
            self._session.failed("storing", error)

    async def flush(self) -> None:
        """See `Session.flush`."""
        # Beside what else is written, and also if the memory is closed, which has waited already.
        await asyncio.to_thread(self._session.flush)
