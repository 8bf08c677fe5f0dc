"""Metadata as JSON: checked on writing, so that every later call can read it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from agentmem_storage.errors import InputError
from agentmem_storage.text import shown

# JSON parsers, copying and printing recurse once per level, and fail at about a thousand, fewer if
# the caller's own stack is deep.
MAX_DEPTH: Final = 64


def metadata_json(metadata: Mapping[str, Any]) -> bytes | None:
    """Metadata as JSON that decodes to an equal value; None if there are none.

    Raises:
        InputError: They contain a value that JSON does not preserve, such as a tuple or NaN, or
            are nested more than `MAX_DEPTH` deep.
    """
    try:
        plain = dict(metadata)
        encoded = json.dumps(
            plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
        exact = bool(json.loads(encoded) == plain)
    except RecursionError:
        raise InputError(too_deep("metadata")) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"metadata cannot be stored as JSON: {error}") from error
    if not exact:
        raise InputError(
            f"metadata {shown(plain)} would not survive JSON unchanged: use string keys, and lists "
            f"instead of tuples"
        )
    if exceeds_depth(plain):
        raise InputError(too_deep("metadata"))
    return encoded if plain else None


def read_metadata(encoded: bytes | None) -> dict[str, Any]:
    """The inverse of `metadata_json`.

    Raises:
        ValueError: The bytes are not JSON, not an object, or nested too deep to be read.
    """
    try:
        metadata = json.loads(encoded or b"{}")
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(metadata, dict):
        raise ValueError("not a JSON object")
    return metadata


def has_null_character(encoded: bytes) -> bool:
    """Whether metadata, as JSON, have U+0000 in a name or a value."""
    if rb"\u0000" not in encoded:
        return False
    level: list[object] = [json.loads(encoded)]
    while level:
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += [*one, *one.values()]
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, str) and "\0" in one:
                return True
        level = inner
    return False


def exceeds_depth(value: object) -> bool:
    """Whether lists and dicts are nested more than `MAX_DEPTH` deep, the outermost included.

    The value must not contain itself.
    """
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[object] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list | tuple):
                inner += one
        if not inner:
            return False
        level = inner
    return True


def too_deep(what: str) -> str:
    """The message of the error for metadata that `exceeds_depth`."""
    return f"{what}: nested more than {MAX_DEPTH} deep; flatten it, or store it as a JSON string"
