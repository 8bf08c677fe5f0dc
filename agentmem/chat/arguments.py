"""What is wrong with the arguments of a tool, in words that a model can act on."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from agentmem_storage.text import shown

_MISSING = {"missing", "missing_argument", "missing_keyword_only_argument"}
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}


def in_words(error: ValidationError, known: Iterable[str]) -> str:
    """What a model has to mend.

    Args:
        error: What checking the arguments raised.
        known: The names of the tool's arguments.
    """
    said = []
    for one in error.errors():
        name = ".".join(map(str, one["loc"]))
        if one["type"] in _UNKNOWN:
            said.append(f"there is no argument {shown(name)}: give only {', '.join(known)}")
        elif one["type"] in _MISSING:
            said.append(f"{name} is missing")
        else:
            reason = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
            said.append(f"{name} {reason}, not {shown(one['input'])}")
    return "; ".join(said)
