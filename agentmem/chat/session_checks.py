"""Checks what the methods of a session are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentmem.context.pack import CountTokens
from agentmem.errors import InputError
from agentmem.ingest.checks import describe
from agentmem.types import Message
from agentmem_storage.numbers import as_int


def check_options(*, max_tokens: int, k: int, count_tokens: CountTokens | None) -> tuple[int, int]:
    """Check the options of `Session.context`; return ``k`` and ``max_tokens``.

    Raises:
        InputError: one is wrong.
    """
    k, max_tokens = _positive(k, "k"), _positive(max_tokens, "max_tokens")
    if count_tokens is not None and not callable(count_tokens):
        raise InputError(
            f"count_tokens must be a function from a text to its number of tokens, "
            f"got {describe(count_tokens)}"
        )
    return k, max_tokens


def check_messages(messages: object) -> list[Any]:
    """The messages as a list of their own, which the caller does not change.

    Raises:
        InputError: they are no list or tuple.
    """
    if not isinstance(messages, list | tuple):
        raise InputError(f"messages must be a list of messages, got {describe(messages)}")
    return list(messages)


def _positive(value: int, name: str) -> int:
    number = as_int(value, name)
    if number < 1:
        raise InputError(f"{name}={number!r} must be at least 1")
    return number


def check_reply(reply: object) -> None:
    """Check that something may be a reply.

    Raises:
        InputError: it is nothing like one.
    """
    dumps = callable(getattr(reply, "model_dump", None)) and not isinstance(reply, type)
    if not dumps and not isinstance(reply, str | Mapping | list | tuple | Message | None):
        raise InputError(
            f"a reply must be a text, or a response or message of an API as an object or a dict, "
            f"got {describe(reply)}"
        )
