"""AutoGen's memory protocol in agentmem, for agents of ``autogen_core`` and ``autogen_agentchat``.

::

    from autogen_agentchat.agents import AssistantAgent

    from agentmem import Memory
    from agentmem.integrations.autogen import AgentMemMemory

    ana = AgentMemMemory(Memory("notes").scoped(user_id="ana"))
    agent = AssistantAgent("helper", model_client=client, memory=[ana])
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from agentmem.chat.questions import answers_only
from agentmem.chat.session_checks import check_options
from agentmem.context.format import line, split_blocks
from agentmem.context.pack import pack
from agentmem.errors import InputError, MissingExtraError, UnknownIdError
from agentmem.integrations.documents import ABOUT, document_metadata
from agentmem.types import Message
from agentmem_storage.text import is_blank, shown

try:
    from autogen_core.memory import Memory as AutoGenMemory
    from autogen_core.memory import (
        MemoryContent,
        MemoryMimeType,
        MemoryQueryResult,
        UpdateContextResult,
    )
    from autogen_core.models import UserMessage
except ImportError as error:
    raise MissingExtraError(
        "AgentMemMemory needs autogen-core: pip install 'latent-agentmem[autogen]'",
        extra="autogen",
    ) from error

if TYPE_CHECKING:
    from agentmem.context.pack import Context
    from agentmem.context.recall import Recall
    from agentmem.memory import Memory

_TEXTS: Final = (MemoryMimeType.TEXT, MemoryMimeType.MARKDOWN)
# The key that marks what was added here, in the metadata of a memory.
_ADDED: Final = "autogen"


class AgentMemMemory(AutoGenMemory):  # type: ignore[misc]
    """Stores what is added, and puts what fits the user's last message before the model.

    An agent calls `update_context` before each reply, and adds nothing itself: AutoGen leaves that
    to the program. The work is done in a thread.
    """

    def __init__(self, memory: Memory, *, k: int = 8, max_tokens: int = 600) -> None:
        """A memory of AutoGen's over one of agentmem's.

        Args:
            memory: An open `agentmem.Memory`, which the caller closes. A scoped handle, such as
                ``mem.scoped(user_id="ana")``, keeps users apart.
            k: Maximum number of memories to recall.
            max_tokens: Budget of `update_context`, in tokens of the memory's model.

        Raises:
            InputError: ``k`` or ``max_tokens`` is not positive.
        """
        check_options(k=k, max_tokens=max_tokens, count_tokens=None)
        self._memory, self._k, self._max_tokens = memory, k, max_tokens

    async def update_context(self, model_context: Any) -> Any:
        """Add what fits the last message of the user to a context, as one of the user's.

        Memories are never a system message: whoever could write them could give orders there.

        Returns:
            AutoGen's UpdateContextResult, with the memories that were added.
        """
        given = await model_context.get_messages()
        asked = _last_question(given)
        if asked is None:
            return UpdateContextResult(memories=MemoryQueryResult(results=[]))
        shown = "\n".join(text for message in given for text in _texts(message))
        context = await asyncio.to_thread(self._unseen, asked, shown)
        if text := context.to_text():
            await model_context.add_message(UserMessage(content=text, source="memory"))
        results = [_content(hit) for hit in context.hits]
        return UpdateContextResult(memories=MemoryQueryResult(results=results))

    async def query(self, query: Any, cancellation_token: Any = None, **kwargs: Any) -> Any:
        """The memories that fit a query best.

        Args:
            query: A text, or AutoGen's MemoryContent with one.
            cancellation_token: Not used: a recall is over before it could be.
            **kwargs: ``k``, the maximum number of memories.

        Returns:
            AutoGen's MemoryQueryResult, best first. Scores and ids are in the metadata.

        Raises:
            InputError: the query has no text, or there is another argument.
        """
        k = kwargs.pop("k", self._k)
        if kwargs:
            raise InputError(f"query() takes k= and no {', '.join(map(repr, kwargs))}")
        text = query if isinstance(query, str) else _text(query)
        found = await asyncio.to_thread(self._recall, text, k)
        return MemoryQueryResult(results=[_content(hit) for hit in found])

    async def add(self, content: Any, cancellation_token: Any = None) -> None:
        """Store a text, with its metadata; a result of `query` that is stored here is not again.

        Args:
            content: AutoGen's MemoryContent. ``role`` and ``name`` in its metadata say who
                speaks; the user, if they are missing.
            cancellation_token: Not used: what is added is stored as a whole.

        Raises:
            InputError: it is no text, or cannot be stored.
        """
        given = {k: v for k, v in (content.metadata or {}).items() if k != ABOUT}
        metadata = {_ADDED: True, **given}
        role, name = metadata.pop("role", "user"), metadata.pop("name", None)
        message = Message(_text(content), role, name=name, metadata=metadata)
        await asyncio.to_thread(self._add, message, (content.metadata or {}).get(ABOUT))

    async def clear(self) -> None:
        """Delete what was added in this way, so that no byte of it remains, and nothing else."""
        await asyncio.to_thread(self._memory.forget, where={_ADDED: {"exists": True}})

    async def close(self) -> None:
        """Nothing: the memory stays open for its owner."""

    def _add(self, message: Message, about: Any) -> None:
        if isinstance(about, Mapping) and isinstance(id := about.get("id"), int):
            with suppress(UnknownIdError):
                if self._memory.get(id).text == message.content:
                    return
        self._memory.add(message)

    def _recall(self, query: str, k: int) -> Recall:
        return self._memory.recall(query, k=k, where=answers_only())

    def _unseen(self, query: str, shown: str) -> Context:
        """What fits a query, without what the model is shown already."""
        found = self._recall(query, self._k)
        hits = [hit for hit in found if hit.text not in shown and line(hit) not in shown]
        count_tokens = None if found.full_scope is None else found.full_scope.count_tokens
        return pack(hits, max_tokens=self._max_tokens, count_tokens=count_tokens)


def _last_question(messages: list[Any]) -> str | None:
    """What the user said last, without what was recalled for it."""
    for message in reversed(messages):
        if isinstance(message, UserMessage):
            text, _ = split_blocks("\n".join(_texts(message)))
            if not is_blank(text):
                return text
    return None


def _texts(message: Any) -> list[str]:
    """The texts of a message, without its pictures and calls of tools."""
    content = message.content
    pieces = [content] if isinstance(content, str) else content
    return [one for one in pieces if isinstance(one, str)]


def _text(content: Any) -> str:
    kind, text = content.mime_type, content.content
    if kind not in (*_TEXTS, *(one.value for one in _TEXTS)) or not isinstance(text, str):
        raise InputError(
            f"a memory is a text, text/plain or text/markdown, got {shown(text)} of the type "
            f"{shown(getattr(kind, 'value', kind))}"
        )
    return text


def _content(hit: Any) -> Any:
    return MemoryContent(
        content=hit.text, mime_type=MemoryMimeType.TEXT, metadata=document_metadata(hit)
    )
