"""Reads what can be read of a conversation, if one of its messages cannot.

A message of a shape that is not known must not keep the others from being stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentmem.errors import BlankError, InputError
from agentmem.ingest.normalize import Normalized

# In a receipt's count of what was left out.
UNREADABLE = "unreadable"


def read_others(
    content: Any,
    error: InputError,
    read: Callable[[Any], Normalized],
    failed: Callable[[InputError], None],
) -> Normalized:
    """The messages that can be read, and how many cannot.

    Args:
        content: A list of messages, or a reply.
        error: Why it could not be read as a whole.
        read: Reads a list of messages.
        failed: Is told of each message that cannot be read.

    Raises:
        InputError: ``error``, if each message can be read by itself.
    """
    alone = not isinstance(content, list)
    messages = [content] if alone else content
    others = []
    for index, message in enumerate(messages):
        try:
            read([message])
        except BlankError:
            others.append(message)  # counted with the others
        except InputError as why:
            named = "the reply" if alone else f"message {index}"
            failed(InputError(str(why).replace("message 0", named, 1)))
        else:
            others.append(message)
    if len(others) == len(messages):
        raise error
    left_out = {UNREADABLE: len(messages) - len(others)}
    try:
        rest = read(others) if others else Normalized((), {})
    except BlankError:
        rest = Normalized((), {"blank": len(others)})
    return Normalized(rest.parts, {**rest.skipped, **left_out}, rest.indices)
