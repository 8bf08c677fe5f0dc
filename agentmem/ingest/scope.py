"""The scope of one message: that of the call, with the ids that the message itself carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentmem.ingest.checks import check_unicode
from agentmem_storage.errors import InputError
from agentmem_storage.records import Scope
from agentmem_storage.text import is_blank, shown

_NAMES = ("user_id", "agent_id", "session_id")
# Each also as JavaScript spells it.
SPELLINGS = {"user_id": "userId", "agent_id": "agentId", "session_id": "sessionId"}
SCOPE_KEYS = frozenset(key for spellings in SPELLINGS.items() for key in spellings)


def message_scope(message: Mapping[str, Any], where: str) -> Scope:
    """The scope ids of a message dict; None where it has none.

    Raises:
        InputError: One is not a non-empty string, or differs in its two spellings.
    """
    ids: dict[str, str | None] = {}
    for name, other in SPELLINGS.items():
        ids[name] = _id(message.get(name), name, where)
        second = _id(message.get(other), other, where)
        if None not in (ids[name], second) and ids[name] != second:
            raise InputError(
                f"{where}: its {name} is {shown(ids[name])}, but its {other} is {shown(second)}: "
                "leave out one of the two"
            )
        ids[name] = ids[name] or second
    return Scope(**ids)


def combine(given: Scope, own: Scope, where: str) -> Scope:
    """The scope that a message is stored in.

    Args:
        given: The ids that the call gives, for messages without their own.
        own: The message's own ids.
        where: Identifies the message in errors.

    Raises:
        InputError: The two contradict each other.
    """
    ids: dict[str, str | None] = {}
    for name in _NAMES:
        called, own_id = getattr(given, name), getattr(own, name)
        if called is not None and own_id not in (None, called):
            raise InputError(
                f"{where}: its {name} is {shown(own_id)}, but {name}={shown(called)} was given for "
                f"all messages: leave out one of the two"
            )
        ids[name] = own_id or called
    return Scope(**ids)


def _id(value: object, name: str, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or is_blank(value):
        raise InputError(f"{where}: {name!r} must be a non-empty string, got {shown(value)}")
    return check_unicode(value, f"{where}: {name!r}")
