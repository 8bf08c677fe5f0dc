"""A memory block for LlamaIndex's `Memory`.

::

    from llama_index.core.memory import Memory as ChatMemory

    from agentmem import Memory
    from agentmem.integrations.llama_index import AgentMemBlock

    block = AgentMemBlock(memory=Memory("notes").scoped(user_id="ana"))
    memory = ChatMemory.from_defaults(session_id="monday", memory_blocks=[block])
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from pydantic import PlainValidator

from agentmem.chat.questions import QUESTION_KEY, answers_only, is_only_question
from agentmem.errors import BlankError, MissingExtraError
from agentmem.integrations.memories import check_memory
from agentmem.memory import Memory
from agentmem_storage.text import is_blank

try:
    from llama_index.core.memory import BaseMemoryBlock
except ImportError as error:
    raise MissingExtraError(
        "AgentMemBlock needs llama-index-core: pip install 'latent-agentmem[llama-index]'",
        extra="llama-index",
    ) from error


class AgentMemBlock(BaseMemoryBlock[str]):  # type: ignore[misc]
    """Stores what leaves the chat history, and recalls what fits the last message of the user.

    Messages are stored verbatim, under the session id of the chat; they are recalled from all
    sessions of the memory's scope, but for those of the user that only ask something. The work is
    done in a thread.

    Attributes:
        memory: An open `Memory` or `RemoteMemory`, which the caller closes. A scoped handle,
            such as ``mem.scoped(user_id="ana")``, keeps users apart.
        k: Maximum number of memories to recall.
        max_tokens: Maximum size of what is inserted, in tokens of the memory's model.
        name: Heads the section of the prompt.
    """

    name: str = "memories"
    memory: Annotated[Memory, PlainValidator(check_memory)]
    k: int = 8
    max_tokens: int = 600

    async def _aget(self, messages: Sequence[Any] | None = None, **block_kwargs: Any) -> str:
        """The memories that fit the last message of the user, as text; empty if there are none."""
        asked = [one.content or "" for one in messages or () if one.role == "user"]
        if not asked or is_blank(asked[-1]):
            return ""
        return await asyncio.to_thread(self._recall, asked[-1])

    async def aput(
        self,
        messages: Sequence[Any],
        from_short_term_memory: bool = False,
        session_id: str | None = None,
    ) -> None:
        """Store messages.

        Args:
            messages: LlamaIndex's ChatMessages; those without text are left out.
            from_short_term_memory: Whether they leave the chat history; then they are only stored
                if ``accept_short_term_memory`` is true.
            session_id: The session of the chat.

        Raises:
            InputError: one of them cannot be stored; none was.
        """
        # LlamaIndex's own method would write the session id into the messages.
        if messages and (self.accept_short_term_memory or not from_short_term_memory):
            await asyncio.to_thread(self._add, messages, session_id)

    async def _aput(self, messages: Sequence[Any]) -> None:
        await self.aput(messages)

    def _recall(self, query: str) -> str:
        found = self.memory.recall(query, k=self.k, where=answers_only())
        return found.pack(max_tokens=self.max_tokens).to_text()

    def _add(self, messages: Sequence[Any], session_id: str | None) -> None:
        with suppress(BlankError):
            self.memory.add([_marked(one) for one in messages], session_id=session_id)


def _marked(message: Any) -> Any:
    """A message; one that only asks something says so in its metadata."""
    if message.role == "user" and is_only_question((message.content or "").strip()):
        return {**message.model_dump(mode="json"), "metadata": {QUESTION_KEY: True}}
    return message
