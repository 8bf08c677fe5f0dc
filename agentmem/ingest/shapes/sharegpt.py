"""Turns of ShareGPT's data sets: who speaks under "from", and what under "value"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from agentmem.types import Role
from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "model", "assistant"), "assistant"),
    "system": "system",
    **dict.fromkeys(("tool", "function_response", "observation"), "tool"),
}


def are_turns(given: object) -> TypeGuard[list[Mapping[str, Any]]]:
    """Whether a list has nothing but such turns."""
    return (
        isinstance(given, list | tuple)
        and bool(given)
        and all(
            isinstance(one, Mapping)
            and "role" not in one
            and isinstance(one.get("from"), str)
            and isinstance(one.get("value"), str)
            for one in given
        )
    )


def as_turn(turn: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A turn as a message.

    Raises:
        InputError: who speaks is not known.
    """
    role = _ROLES.get(turn["from"].lower())
    if role is None:
        raise InputError(
            f"{where}: who speaks is not known: 'from' is {shown(turn['from'])}, and not one of "
            f"{', '.join(_ROLES)}"
        )
    rest = {key: value for key, value in turn.items() if key not in ("from", "value")}
    return {**rest, "role": role, "content": turn["value"]}
