"""The memory service of Google's Agent Development Kit in agentmem.

::

    from google.adk.runners import Runner
    from google.adk.tools import load_memory

    from agentmem import Memory
    from agentmem.integrations.google_adk import AgentMemMemoryService

    service = AgentMemMemoryService(Memory("notes"))
    agent = LlmAgent(model="gemini-2.5-flash", name="helper", tools=[load_memory])
    runner = Runner(app_name="trips", agent=agent, memory_service=service, ...)

The name of the app is the ``agent_id`` of its memories, and ADK's user and session are theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from agentmem.chat.questions import QUESTION_KEY, answers_only, is_only_question
from agentmem.context.format import split_blocks
from agentmem.errors import BlankError, InputError, MissingExtraError, UnknownIdError
from agentmem.types import MESSAGE_ID
from agentmem_storage.text import is_blank, shown

try:
    from google.adk.memory.base_memory_service import BaseMemoryService, SearchMemoryResponse
    from google.adk.memory.memory_entry import MemoryEntry
    from google.genai import types
except ImportError as error:
    raise MissingExtraError(
        "AgentMemMemoryService needs google-adk: pip install 'latent-agentmem[google-adk]'",
        extra="google-adk",
    ) from error

if TYPE_CHECKING:
    from agentmem.context.hits import Hit
    from agentmem.memory import Memory

# ADK's own tool that searches the memory.
_LOAD_MEMORY: Final = "load_memory"
# The key that marks what was recalled, in the metadata of an entry.
_RECALLED: Final = "agentmem"


class AgentMemMemoryService(BaseMemoryService):  # type: ignore[misc]
    """Stores the events of sessions, and finds them again for the same app and user.

    An event is stored once, however often its session is added, and is known by its id. What the
    model looked up in the memory is not stored again, and messages of the user that only ask
    something are in no result. The work is done in a thread.
    """

    def __init__(self, memory: Memory, *, k: int = 8) -> None:
        """A service over a memory.

        Args:
            memory: An open `Memory`, which the caller closes. A scoped handle refuses other apps
                and users than its own.
            k: Maximum number of memories that a search returns.
        """
        self._memory, self._k = memory, k

    async def add_session_to_memory(self, session: Any) -> None:
        """Store the events of a session that are new; see `add_events_to_memory`."""
        await self.add_events_to_memory(
            app_name=session.app_name,
            user_id=session.user_id,
            events=session.events,
            session_id=session.id,
        )

    async def add_events_to_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        events: Sequence[Any],
        session_id: str | None = None,
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Store the texts of events, and their calls of tools with the results.

        Events without a text, such as images, and those of a stream that are not complete, are left
        out. An event that was deleted does not come back with the others of its session.

        Args:
            app_name: The app, which is the agent of the memories.
            user_id: The user.
            events: ADK's events.
            session_id: The session.
            custom_metadata: JSON values to filter by, for each memory.

        Raises:
            InputError: one of them cannot be stored; none was.
        """
        messages = list(_messages(events))
        await asyncio.to_thread(self._add, messages, app_name, user_id, session_id, custom_metadata)

    async def add_memory(
        self,
        *,
        app_name: str,
        user_id: str,
        memories: Sequence[Any],
        custom_metadata: Mapping[str, object] | None = None,
    ) -> None:
        """Store memories that were written by the caller.

        Args:
            app_name: The app, which is the agent of the memories.
            user_id: The user.
            memories: ADK's entries; the texts of one are one memory.
            custom_metadata: JSON values to filter by, beside those of each entry.

        Raises:
            InputError: one of them has no text, or cannot be stored; none was.
        """
        messages = [_written(entry, place) for place, entry in enumerate(memories)]
        await asyncio.to_thread(self._add, messages, app_name, user_id, None, custom_metadata)

    async def search_memory(self, *, app_name: str, user_id: str, query: str) -> Any:
        """The memories of an app and a user that fit a query best, from all of their sessions.

        Args:
            app_name: The app.
            user_id: The user.
            query: A question or keywords; a blank one finds nothing.

        Returns:
            ADK's SearchMemoryResponse. The id of an entry is that of its event.
        """
        _check_scope(app_name, user_id)
        if is_blank(query):
            return SearchMemoryResponse()
        found = await asyncio.to_thread(self._recall, query, app_name, user_id)
        return SearchMemoryResponse(memories=found)

    async def delete_memory(
        self, *, app_name: str, user_id: str, memory_id: str | None = None
    ) -> None:
        """Delete a memory so that no byte of it remains.

        Args:
            app_name: The app.
            user_id: The user.
            memory_id: The id of its event or entry, as a search returns it.

        Raises:
            InputError: the id is missing.
            UnknownIdError: the app and the user have no memory with that id.
        """
        _check_scope(app_name, user_id)
        if not isinstance(memory_id, str) or is_blank(memory_id):
            raise InputError(f"memory_id must be the id of a memory, got {shown(memory_id)}")
        await asyncio.to_thread(self._forget, memory_id, app_name, user_id)

    def _add(
        self,
        messages: list[dict[str, Any]],
        app_name: str,
        user_id: str,
        session_id: str | None,
        metadata: Mapping[str, object] | None,
    ) -> None:
        _check_scope(app_name, user_id)
        if not messages:
            return
        with suppress(BlankError):
            self._memory.add(
                messages,
                user_id=user_id,
                agent_id=app_name,
                session_id=session_id,
                metadata=metadata,
            )

    def _recall(self, query: str, app_name: str, user_id: str) -> list[Any]:
        hits = self._memory.recall(
            query, k=self._k, user_id=user_id, agent_id=app_name, where=answers_only()
        )
        return [_entry(hit) for hit in hits]

    def _forget(self, memory_id: str, app_name: str, user_id: str) -> None:
        where = {MESSAGE_ID: memory_id}
        if not self._memory.forget(user_id=user_id, agent_id=app_name, where=where).ids:
            raise UnknownIdError(
                f"user {shown(user_id)} of the app {shown(app_name)} has no memory with the id "
                f"{shown(memory_id)}"
            )


def _check_scope(app_name: object, user_id: object) -> None:
    """Refuse what `Memory` would take for no scope at all."""
    for name, given in (("app_name", app_name), ("user_id", user_id)):
        if not isinstance(given, str) or is_blank(given):
            raise InputError(f"{name} must be a non-blank string, got {shown(given)}")


def _messages(events: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """What is to be stored of events, as messages of Google's API."""
    complete = [one for one in events if one.content and one.content.parts and not one.partial]
    looked_up = {
        part.function_response.id
        for event in complete
        for part in event.content.parts
        if part.function_response is not None and _is_lookup(part.function_response)
    }
    for event in complete:
        parts = [said for part in event.content.parts if (said := _said(part, looked_up))]
        if not parts:
            continue
        by_user = event.author == "user"
        message = {
            "role": "user" if by_user else "model",
            "name": None if by_user else event.author,
            "parts": parts,
            "id": event.id,
            "created_at": event.timestamp,
        }
        asked = " ".join(part["text"] for part in parts if isinstance(part, dict))
        if by_user and is_only_question(asked.strip()):
            message["metadata"] = {QUESTION_KEY: True}
        yield message


def _said(part: Any, looked_up: set[str | None]) -> Any:
    """A part as it is stored; None if it is not."""
    call = part.function_call
    if call is not None and (call.name == _LOAD_MEMORY or (call.id and call.id in looked_up)):
        return None
    if part.function_response is not None and _is_lookup(part.function_response):
        return None
    if part.text is None or part.thought:
        return part
    text, _ = split_blocks(part.text)
    return None if is_blank(text) else {"text": text}


def _is_lookup(response: Any) -> bool:
    """Whether a tool returned memories, which must not be stored again."""
    return response.name == _LOAD_MEMORY or _has_entries(response.response)


def _has_entries(value: object) -> bool:
    if isinstance(value, MemoryEntry):
        return _RECALLED in value.custom_metadata
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, Mapping):
        about = value.get("custom_metadata")
        return (isinstance(about, Mapping) and _RECALLED in about) or any(
            map(_has_entries, value.values())
        )
    return isinstance(value, list | tuple) and any(map(_has_entries, value))


def _written(entry: Any, place: int) -> dict[str, Any]:
    """The message of an entry that the caller wrote."""
    text = "\n".join(part.text for part in entry.content.parts or () if part.text)
    if is_blank(text):
        raise InputError(f"memory {place} has no text; leave it out")
    by_model = entry.content.role == "model"
    message = {
        "role": "model" if by_model else "user",
        "name": entry.author if entry.author != "user" else None,
        "content": text,
        "id": entry.id,
        "created_at": entry.timestamp,
        "metadata": {k: v for k, v in entry.custom_metadata.items() if k != _RECALLED},
    }
    return {key: value for key, value in message.items() if value is not None}


def _entry(hit: Hit) -> Any:
    by_user = hit.role == "user"
    own = {key: value for key, value in hit.metadata.items() if key != MESSAGE_ID}
    # Few, because ADK shows them to the model.
    about = {"session_id": hit.scope.session_id, "relevance": round(hit.relevance, 2)}
    return MemoryEntry(
        id=hit.metadata.get(MESSAGE_ID),
        author=hit.name or ("user" if by_user else hit.role),
        timestamp=hit.created_at.isoformat(),
        content=types.Content(
            role="user" if by_user else "model", parts=[types.Part(text=hit.text)]
        ),
        custom_metadata={**own, _RECALLED: about},
    )
