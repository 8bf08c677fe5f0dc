"""The fields of a message: its role, its time, its id, and where its content stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, get_args
from uuid import UUID

from agentmem.ingest.checks import check_time, check_unicode, describe
from agentmem.types import Role
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# Words for roles in addition to our own: of Google, LangChain, LlamaIndex and older APIs.
_OTHER_ROLES: dict[str, Role] = {
    "function": "tool",
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
}
ROLES: dict[str, Role] = {**{role: role for role in get_args(Role)}, **_OTHER_ROLES}
# The type of a LangChain message says its role. A chunk's type is the name of its class.
_ROLE_TYPES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "tool",
    "developer": "developer",
}
_TIMES = (
    *("created_at", "createdAt", "create_time", "createTime", "created"),
    *("timestamp", "ts", "at", "sent_at", "sentAt", "date"),  # "date" last, see `envelopes`
)
# Where content stands; Vercel's messages have their text twice, so the parts come first.
_CONTENTS = ("parts", "blocks", "content", "text")
# Other fields of messages: one that has no content may have these and is merely empty.
_OTHERS = {
    *("role", "type", "name", "id", "status", "model", "object", "author", "recipient", "channel"),
    *("user_id", "agent_id", "session_id", "tool_call_id", "toolCallId", "stop_reason", "phase"),
    *(
        "tool_calls",
        "refusal",
        "reasoning_content",
        "reasoning",
        "thinking",
        "finish_reason",
        *_TIMES,
    ),
}


def read_role(role: object, where: str) -> Role:
    """The role that a word stands for.

    Raises:
        InputError: the word is unknown.
    """
    word = role.value if isinstance(role, Enum) else role
    if not isinstance(word, str) or word not in ROLES:
        raise InputError(f"{where}: unknown role {shown(role)}; use one of {', '.join(ROLES)}")
    return ROLES[word]


def role_of_type(kind: object) -> Role | None:
    """The role of a message that has only a type; None if the type says none."""
    if not isinstance(kind, str):
        return None
    # Also by the name of a class, such as AIMessageChunk.
    return _ROLE_TYPES.get(kind.removesuffix("Chunk").removesuffix("Message").lower())


def read_time(message: Mapping[str, Any], where: str) -> datetime | None:
    """The time of a message in UTC; None if it has none.

    Raises:
        InputError: it is not a time.
    """
    given = (message[key] for key in _TIMES if message.get(key) is not None)
    return check_time(next(given, None), where)


def read_id(message: Mapping[str, Any], where: str) -> str | int | None:
    """The message's own id; None if it has none.

    Raises:
        InputError: it is not a string, a whole number or a UUID.
    """
    id = message.get("id")
    if id is None or id == "":
        return None
    if isinstance(id, UUID):
        return str(id)
    if isinstance(id, str):
        return check_unicode(id, f"{where}: 'id'")
    if isinstance(id, int) and not isinstance(id, bool):
        return id
    raise InputError(f"{where}: 'id' must be a string or a whole number, got {describe(id)}")


def read_contents(message: Mapping[str, Any], where: str) -> list[object]:
    """What may hold the content of a message; of several, the first that has any counts.

    Raises:
        InputError: there is text only in a field that is not known.
    """
    found: list[object] = [message[key] for key in _CONTENTS if message.get(key) is not None]
    texts = (key for key, value in message.items() if isinstance(value, str) and value.strip())
    unread = [key for key in texts if key not in _OTHERS]
    if unread and not any(content or content == 0 for content in found):
        raise InputError(f"{where}: give its text as 'content', not as {shown(unread[0])}")
    return found
