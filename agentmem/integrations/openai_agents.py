"""Sessions of the OpenAI Agents SDK in agentmem.

::

    from agentmem import Memory
    from agentmem.integrations.openai_agents import AgentMemSession

    session = AgentMemSession("thread-1", Memory("notes").scoped(user_id="ana"))
    result = await Runner.run(agent, "When is my train?", session=session)

The SDK gets back exactly the items it added. Each item is also a memory with a text of its own, so
`Memory.recall` finds what was said in this and all other sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, get_args

from agentmem.chat.questions import QUESTION_KEY, is_only_question
from agentmem.errors import BlankError, InputError, MissingExtraError, UnknownIdError
from agentmem.ingest.checks import check_metadata
from agentmem.ingest.normalize import normalize
from agentmem.types import Message, Part, Role
from agentmem_storage.numbers import as_count
from agentmem_storage.text import shown

try:
    from agents.memory import SessionABC, SessionSettings
except ImportError as error:
    raise MissingExtraError(
        "AgentMemSession needs openai-agents: pip install 'latent-agentmem[openai-agents]'",
        extra="openai-agents",
    ) from error

if TYPE_CHECKING:
    from agentmem.context.hits import Chunk
    from agentmem.memory import Memory

# The key of an item in the metadata of its memory.
_ITEM: Final = "openai_agents"
_ROLES: Final[tuple[Role, ...]] = get_args(Role)
_TICK = timedelta(microseconds=1)
# Writing takes turns anyway; an item must not be popped twice, or be added between two of one call.
_WRITING = Lock()


class AgentMemSession(SessionABC):  # type: ignore[misc]
    """The items of one session, in a `Memory`.

    Items come back verbatim and in order, equal ones too. What is added in one call is stored as a
    whole or not at all. The work is done in a thread. Safe to use from several threads.

    Attributes:
        session_id: The session, which is the ``session_id`` of its memories.
        session_settings: Its ``limit`` is that of `get_items` if none is given there.
    """

    def __init__(
        self,
        session_id: str,
        memory: Memory,
        *,
        session_settings: SessionSettings | None = None,
    ) -> None:
        """The session of that id; there is nothing to create.

        Args:
            session_id: Any non-blank string.
            memory: An open `Memory`, which the caller closes. A scoped handle, such as
                ``mem.scoped(user_id="ana")``, keeps sessions of one id apart.
            session_settings: The SDK's settings.

        Raises:
            InputError: the id is blank, or ``memory`` is bound to another session.
        """
        self._memory = memory.scoped(session_id=session_id)
        self.session_id = session_id
        self.session_settings = session_settings or SessionSettings()

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The items, oldest first.

        Args:
            limit: Only as many, the latest ones; None for that of the settings, or all.

        Raises:
            InputError: the limit is negative.
        """
        limit = self.session_settings.limit if limit is None else limit
        limit = None if limit is None else as_count(limit, "limit")
        return await asyncio.to_thread(self._get, limit)

    async def add_items(self, items: Sequence[Any]) -> None:
        """Add items after those that are there.

        Args:
            items: Items of the Responses API, as dicts.

        Raises:
            InputError: one of them is no dict that JSON can express; nothing was added.
        """
        await asyncio.to_thread(self._add, list(items))

    async def pop_item(self) -> Any | None:
        """Remove the latest item, so that no byte of it remains, and return it; None if empty."""
        return await asyncio.to_thread(self._pop)

    async def clear_session(self) -> None:
        """Remove all items of the session, and nothing else that the memory has of it."""
        await asyncio.to_thread(self._clear)

    def _get(self, limit: int | None) -> list[Any]:
        return [chunk.metadata[_ITEM] for chunk in islice(self._newest(), limit)][::-1]

    def _add(self, items: Sequence[Any]) -> None:
        checked = [_checked(item, place) for place, item in enumerate(items)]
        if not checked:
            return
        with _WRITING:
            # Every item has a time of its own: equal ones would be taken for repetitions.
            now = datetime.now(UTC)
            if (latest := next(self._newest(), None)) is not None:
                now = max(now, latest.created_at + _TICK)
            self._memory.add(
                [_message(item, now + place * _TICK) for place, item in enumerate(checked)]
            )

    def _pop(self) -> Any | None:
        with _WRITING:
            while (latest := next(self._newest(), None)) is not None:
                try:
                    self._memory.forget(latest.source.chunk_ids)
                except UnknownIdError:
                    continue  # another process popped it
                return latest.metadata[_ITEM]
        return None

    def _clear(self) -> None:
        with _WRITING:
            self._memory.forget(where={_ITEM: {"exists": True}})

    def _newest(self) -> Iterator[Chunk]:
        """One chunk of each item, newest first."""
        last = None
        for chunk in self._memory.list(where={_ITEM: {"exists": True}}, newest_first=True):
            if chunk.source.id != last:
                last = chunk.source.id
                yield chunk


def _checked(item: object, place: int) -> dict[str, Any]:
    """An item as JSON has it."""
    where = f"item {place}"
    if not isinstance(item, Mapping):
        raise InputError(f"{where} must be a dict, as of model_dump(), got {shown(item)}")
    checked: dict[str, Any] = check_metadata({_ITEM: dict(item)}, where)[_ITEM]
    return checked


def _message(item: Mapping[str, Any], created_at: datetime) -> Message:
    """The memory of an item: what it says, and whose words they are; a question is marked."""
    parts = _parts(item)
    said = parts[0].role if parts else item.get("role")
    role: Role = next((one for one in _ROLES if one == said), "assistant")
    # What says nothing, such as an image, is found by what it is; its bytes are no text.
    text = "\n".join(part.text for part in parts) or f"[{item.get('type') or 'message'}]"
    metadata: dict[str, Any] = {_ITEM: item}
    if role == "user" and is_only_question(text.strip()):
        metadata[QUESTION_KEY] = True
    return Message(text, role, created_at=created_at, metadata=metadata)


def _parts(item: Mapping[str, Any]) -> tuple[Part, ...]:
    """The texts of an item; none of one that has none, or that only the SDK knows."""
    try:
        return normalize(item).parts
    except (BlankError, InputError):
        return ()
