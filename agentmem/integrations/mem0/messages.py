"""What mem0's `add` takes: a text, a message, or a list of messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentmem.errors import BlankError, InputError
from agentmem.ingest.normalize import normalize
from agentmem_storage.text import shown


def read_messages(messages: object) -> Iterator[tuple[str, Any, str | None]]:
    """Text, role and name of each message that is stored; those of the system are not.

    Raises:
        InputError: One of them is no message, or has no text.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    elif isinstance(messages, Mapping):
        messages = [messages]
    elif not isinstance(messages, list):
        raise InputError(f"messages are a text, a dict or a list of dicts, got {shown(messages)}")
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise InputError(
                f"message {place} must be a dict with 'role' and 'content', got {shown(message)}"
            )
        if message["role"] == "system":
            continue
        try:
            parts = normalize(message).parts
        except InputError as error:
            kind = BlankError if isinstance(error, BlankError) else InputError
            raise kind(f"message {place}: {error}") from error
        if not parts:
            raise BlankError(f"message {place} has no text: {shown(message)}; leave it out")
        yield "\n".join(part.text for part in parts), parts[0].role, parts[0].name
