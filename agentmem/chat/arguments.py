"""What is wrong with the arguments of a tool, in words that a model can act on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from agentmem.errors import InputError
from agentmem.ingest.unique_keys import keys_once
from agentmem_storage.text import shown

_MISSING = {"missing", "missing_argument", "missing_keyword_only_argument"}
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}


def read_arguments(arguments: object) -> dict[str, Any]:
    """The arguments of a call, given as a dict or as JSON; none if it is an empty text.

    Raises:
        InputError: they are something else.
    """
    given = arguments
    if isinstance(arguments, str):
        arguments = arguments.strip()
        try:
            given = json.loads(arguments or "{}", object_pairs_hook=keys_once)
        except InputError as error:
            raise InputError(f"arguments: {error}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"arguments are not JSON ({error}): {shown(arguments)}") from None
    if not isinstance(given, Mapping):
        raise InputError(f"arguments must be a JSON object, got {shown(arguments)}")
    return dict(given)


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
            if one["type"] == "too_short":
                said.append(f"{name} is empty: give at least one")
                continue
            reason = one["msg"].removeprefix("Value error, ").removeprefix("Input ")
            said.append(f"{name} {reason}, not {shown(one['input'])}")
    return "; ".join(said)
