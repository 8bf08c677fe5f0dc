"""The chat protocols of OpenAI and Anthropic: request fields, and the text of a reply.

A reply may be parsed JSON or an object of a client library; both have the same fields.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from agentmem.errors import AnswererError

# Each {"role": "system" | "user" | "assistant", "content": text}.
ChatMessages = list[dict[str, str]]

# Anthropic requires a limit. Answers are short, but reasoning models spend tokens before them.
ANTHROPIC_MAX_TOKENS = 2048

_EXCERPT = 200


def openai_request(model: str, messages: ChatMessages) -> dict[str, Any]:
    """The fields of a chat completion request.

    There is no token limit: servers disagree on its name (``max_tokens`` or
    ``max_completion_tokens``) and reject the other.
    """
    return {"model": model, "messages": messages}


def anthropic_request(model: str, messages: ChatMessages) -> dict[str, Any]:
    """The fields of a Messages request; system text is a field of its own there."""
    return {
        "model": model,
        "max_tokens": ANTHROPIC_MAX_TOKENS,
        "system": "\n\n".join(m["content"] for m in messages if m["role"] == "system"),
        "messages": [m for m in messages if m["role"] != "system"],
    }


def openai_text(reply: object, source: str) -> str:
    """The text of a chat completion.

    Args:
        reply: Parsed JSON or a client's object.
        source: What replied, for error messages.

    Raises:
        AnswererError: the reply contains no text.
    """
    message = get(reply, "choices", 0, "message")
    refusal = get(message, "refusal")
    if isinstance(refusal, str) and refusal:
        raise AnswererError(f"{source} refused to answer: {excerpt(refusal)}")
    return _text(
        get(message, "content"),
        field="choices[0].message.content",
        reason=get(reply, "choices", 0, "finish_reason"),
        reply=reply,
        source=source,
    )


def anthropic_text(reply: object, source: str) -> str:
    """The text of an Anthropic message.

    Args:
        reply: Parsed JSON or a client's object.
        source: What replied, for error messages.

    Raises:
        AnswererError: the reply contains no text.
    """
    return _text(
        get(reply, "content"),
        field="content[].text",
        reason=get(reply, "stop_reason"),
        reply=reply,
        source=source,
    )


def get(value: object, *path: str | int) -> Any:
    """The value at a path of keys, attributes and indices; None if any part is missing."""
    for step in path:
        if isinstance(step, int):
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            value = value[step] if is_list and len(value) > step else None  # type: ignore[index, arg-type]
        elif isinstance(value, Mapping):
            value = value.get(step)
        else:
            value = getattr(value, step, None)
    return value


def excerpt(text: str) -> str:
    """The first words of a text, on one line."""
    # Whole words only: half of a truncated API key would no longer be found and masked.
    return textwrap.shorten(text[: 50 * _EXCERPT], _EXCERPT, placeholder=" …").strip()


def _text(content: object, *, field: str, reason: object, reply: object, source: str) -> str:
    # Content is a string or a list of typed parts; parts with the model's reasoning are skipped.
    text = content
    if isinstance(content, Sequence) and not isinstance(content, str):
        parts = [get(part, "text") for part in content if get(part, "type") == "text"]
        text = "".join(part for part in parts if isinstance(part, str))
    if isinstance(text, str) and text.strip():
        return text
    if isinstance(reason, str):
        raise AnswererError(f"{source} sent no text; it stopped because of {reason!r}")
    raise AnswererError(
        f"{source} sent a reply without {field}: {excerpt(str(reply))}; is it a server of this "
        "protocol?"
    )
