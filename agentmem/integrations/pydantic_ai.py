"""A capability of Pydantic AI: an agent that remembers what was said in all of its conversations.

::

    from pydantic_ai import Agent

    from agentmem import Memory
    from agentmem.integrations.pydantic_ai import AgentMemCapability

    memory = Memory("notes")
    agent = Agent("openai:gpt-4o-mini", deps_type=str, capabilities=[
        lambda ctx: AgentMemCapability(memory.scoped(user_id=ctx.deps)),
    ])
    result = await agent.run("When is my train?", deps="ana")

It does around a run what a session does around a call, see `agentmem.chat.session`. What was
recalled is in the request alone, and never in the message history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from agentmem.chat.async_session import AsyncSession
from agentmem.chat.session_checks import check_options
from agentmem.errors import MissingExtraError
from agentmem.memory import Memory

try:
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.messages import (
        SystemPromptPart,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )
except ImportError as error:
    raise MissingExtraError(
        "AgentMemCapability needs pydantic-ai-slim: pip install 'latent-agentmem[pydantic-ai]'",
        extra="pydantic-ai",
    ) from error

R = TypeVar("R")


@dataclass
class AgentMemCapability(AbstractCapability[Any]):  # type: ignore[misc]
    """Recalls what fits the last question of the user, and stores what is said.

    The id of a conversation is the ``session_id`` of its memories; they are recalled from all
    conversations of the memory's scope. Instructions and system prompts are not stored. A
    conversation is stored when a run ends, also if it fails or is cancelled. The work is done in a
    thread. A memory that fails costs no reply: it is logged, see `error`.

    Attributes:
        memory: An open `Memory`, which the caller closes, and which is bound to no session. A
            scoped handle, such as ``memory.scoped(user_id="ana")``, keeps users apart.
        k: Maximum number of memories to recall.
        max_tokens: Budget for them, in tokens of the memory's model.
    """

    memory: Memory
    k: int = 8
    max_tokens: int = 600
    _session: AsyncSession | None = field(default=None, init=False, repr=False)
    # What has been said so far, as the last hook of the run saw it.
    _history: Sequence[Any] = field(default=(), init=False, repr=False)
    # The tools whose call is the answer of a run; what they return only says that it was taken.
    _outputs: frozenset[str] = field(default=frozenset(), init=False, repr=False)
    # The last failure of any run; runs share it with the capability that they were made from.
    _failure: list[Exception] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            InputError: ``k`` or ``max_tokens`` is not positive.
        """
        check_options(k=self.k, max_tokens=self.max_tokens, count_tokens=None)

    @property
    def error(self) -> Exception | None:
        """The last failure of the memory in a run that is over, None if there was none."""
        return self._failure[0] if self._failure else None

    @classmethod
    def get_serialization_name(cls) -> str | None:
        """None: a specification in a file cannot hold an open memory."""
        return None

    async def for_run(self, ctx: Any) -> AgentMemCapability:
        """The capability of one run, with the session of its conversation.

        Raises:
            InputError: the memory is bound to another session, or to none and requires a user.
        """
        own = replace(self)
        own._failure = self._failure
        session = self.memory.session(session_id=ctx.conversation_id)
        own._session = AsyncSession(session, read=_in_thread, write=_in_thread)
        return own

    async def before_model_request(self, ctx: Any, request_context: Any) -> Any:
        """Add what is recalled to a request, before the last question of the user."""
        assert self._session is not None  # of `for_run`
        self._history = list(ctx.messages)
        tools = request_context.model_request_parameters.output_tools
        self._outputs = frozenset(tool.name for tool in tools)
        said = list(_said(request_context.messages, self._outputs))
        given = [one.message for one in said]
        sent = await self._session.context(given, k=self.k, max_tokens=self.max_tokens)
        if len(sent) > len(given):
            at = next(n for n, one in enumerate(given) if sent[n] is not one)
            messages = _with_block(request_context.messages, said[at], sent[at]["content"])
            request_context.messages = messages
        return request_context

    async def after_run(self, ctx: Any, *, result: Any) -> Any:
        """Take note of all that was said."""
        self._history = result.all_messages()
        return result

    async def wrap_run(self, ctx: Any, *, handler: Callable[[], Any]) -> Any:
        """Run, then store the conversation, whatever came of it."""
        assert self._session is not None
        try:
            return await handler()
        finally:
            # Once it is over it is stored, even if the caller is cancelled.
            given = [one.message for one in _said(self._history, self._outputs)]
            await asyncio.shield(self._session.observe(given))
            if self._session.error is not None:
                self._failure[:] = [self._session.error]


class _Said(NamedTuple):
    """A message of a chat API, and the indices of its message and part in the history."""

    message: dict[str, Any]
    at: int
    part: int


def _said(messages: Sequence[Any], outputs: frozenset[str]) -> Iterator[_Said]:
    """What a history says, part by part; thoughts, files and demands to try again say nothing.

    Args:
        messages: The history.
        outputs: Names of tools that return nothing that was said.
    """
    for at, message in enumerate(messages):
        for number, part in enumerate(message.parts):
            if isinstance(part, ToolReturnPart) and part.tool_name in outputs:
                continue
            if (spoken := _spoken(part)) is not None:
                yield _Said(spoken, at, number)


def _spoken(part: Any) -> dict[str, Any] | None:
    if isinstance(part, UserPromptPart):
        return {"role": "user", "content": _texts(part.content)}
    if isinstance(part, TextPart):
        return {"role": "assistant", "content": part.content}
    if isinstance(part, SystemPromptPart):
        return {"role": "system", "content": part.content}
    if isinstance(part, ToolCallPart):
        function = {"name": part.tool_name, "arguments": part.args_as_json_str()}
        call = {"id": part.tool_call_id, "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if isinstance(part, ToolReturnPart):
        returned = part.model_response_str()
        return {"role": "tool", "tool_call_id": part.tool_call_id, "content": returned}
    return None


def _texts(content: Any) -> list[dict[str, str]]:
    """The texts of a user's prompt, without its pictures and files."""
    items = [content] if isinstance(content, str) else content
    texts = [one if isinstance(one, str) else getattr(one, "content", None) for one in items]
    return [{"type": "text", "text": one} for one in texts if isinstance(one, str)]


def _with_block(messages: Sequence[Any], before: _Said, block: str) -> list[Any]:
    """Messages with a block of memories before a prompt of the user.

    They share their other messages with the history, which stays as it is.
    """
    message = messages[before.at]
    parts = [*message.parts[: before.part], UserPromptPart(block), *message.parts[before.part :]]
    return [*messages[: before.at], replace(message, parts=parts), *messages[before.at + 1 :]]


async def _in_thread(work: Callable[[], R]) -> R:
    return await asyncio.to_thread(work)
