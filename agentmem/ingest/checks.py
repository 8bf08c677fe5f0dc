"""Input validation: texts, times and metadata are accepted exactly as given, or rejected.

``where`` identifies the message in errors: "message 3" of a list, "the message" if it is the only
one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from agentmem_storage.errors import InputError
from agentmem_storage.metadata import exceeds_depth, too_deep
from agentmem_storage.numbers import as_count, as_int, plain_scalar
from agentmem_storage.records import Page
from agentmem_storage.text import lone_surrogate, shown
from agentmem_storage.timestamps import read_timestamp

MAX_CHARS = 10_000_000
# Iterable, but not ordered sequences of messages or of pieces of text.
NO_SEQUENCE = (bytes, bytearray, memoryview, set, frozenset)


def check_text(text: str, where: str, max_chars: int) -> str:
    """Return the text if it can be stored exactly.

    Raises:
        InputError: It is longer than ``max_chars`` characters or not valid Unicode.
    """
    if len(text) > max_chars:
        raise InputError(_too_long(f"{len(text):,} characters", where, max_chars))
    return check_unicode(text, where)


def check_unicode(text: str, where: str) -> str:
    """Return the text if it is valid Unicode.

    Raises:
        InputError: It has a lone surrogate.
    """
    if (at := lone_surrogate(text)) is not None:
        raise InputError(
            f"{where}: lone surrogate {text[at]!r} at position {at}; it is half a character, or a "
            "byte that could not be decoded: decode the source again with errors='strict'"
        )
    return text


def join_pieces(pieces: Iterable[object], where: str, max_chars: int) -> str:
    """Join a document's pieces; stop reading as soon as they are too long."""
    taken: list[str] = []
    chars = 0
    for number, piece in enumerate(pieces):
        if not isinstance(piece, str):
            raise InputError(
                f"{where}: piece {number} of its text must be a string, got {describe(piece)}"
            )
        chars += len(piece)
        if chars > max_chars:
            raise InputError(_too_long(f"more than {max_chars:,} characters", where, max_chars))
        taken.append(piece)
    return "".join(taken)


def check_label(value: object, label: str, where: str) -> str | None:
    """Return a name, title or uri; None stays None."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {label} must be a non-blank string, got {shown(value)}")
    return check_unicode(value, f"{where}: {label}")


def check_time(value: object, where: str) -> datetime | None:
    """Return a time in UTC.

    Args:
        value: A datetime, date or ISO 8601 string (UTC if without zone), a time since 1970 in
            seconds or a smaller unit, or None; see `agentmem_storage.timestamps.read_timestamp`.
        where: Identifies the message in errors.

    Raises:
        InputError: It is none of these, or outside the years 1 to 9999.
    """
    moment = check_moment(value, where)
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise _outside(value, where) from error


def check_moment(value: object, where: str) -> datetime | None:
    """Return a time in its original zone; arguments and errors as in `check_time`."""
    if value is None:
        return None
    try:
        return read_timestamp(value)
    except OverflowError as error:
        raise _outside(value, where) from error
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: cannot read the time {shown(value)}; give a datetime, an ISO 8601 string "
            "such as '2026-02-13T09:40:00Z', or seconds since 1970"
        ) from error


def check_page(after: object, limit: object, *, newest_first: bool) -> Page:
    """Return a page of a list.

    Raises:
        TypeError: ``after`` or ``limit`` is neither None nor a whole number, or ``newest_first`` is
            no truth value.
        InputError: ``limit`` is negative.
    """
    last = None if after is None else as_int(after, "after")
    most = None if limit is None else as_count(limit, "limit")
    return Page(last, most, check_flag(newest_first, "newest_first"))


def check_flag(value: object, name: str) -> bool:
    """A truth value as a bool; NumPy's are truth values too.

    Raises:
        TypeError: It is something else: "false", as of an environment variable, is true in Python.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, not {shown(value)}")
    return bool(value)


def _outside(value: object, where: str) -> InputError:
    return InputError(
        f"{where}: the time {shown(value)} is outside the years 1 to 9999; "
        "numbers are seconds since 1970"
    )


def check_metadata(value: object, where: str) -> dict[str, Any]:
    """Return a copy of the metadata after a round trip through JSON.

    Raises:
        InputError: It is not a mapping, has a key that is not a string, is not JSON, or is nested
            more than `agentmem_storage.metadata.MAX_DEPTH` deep.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: metadata must be a dict, got {describe(value)}")
    plain = dict(value)
    try:
        packed = json.dumps(plain, ensure_ascii=False, allow_nan=False, default=_plain)
        packed.encode("utf-8")
        _check_keys(plain)
        copy: dict[str, Any] = json.loads(packed)
    except RecursionError:
        raise InputError(too_deep(f"{where}: metadata")) from None
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: metadata cannot be written as JSON ({error}); use dicts with string keys, "
            "lists, strings, finite numbers, booleans and None"
        ) from error
    if exceeds_depth(copy):
        raise InputError(too_deep(f"{where}: metadata"))
    return copy


def _plain(value: object) -> object:
    """For what JSON does not know: NumPy's numbers and truth values, as filters take them."""
    if (plain := plain_scalar(value)) is value:
        raise TypeError(f"a {type(value).__name__} is not JSON")
    return plain


def _check_keys(value: object) -> None:
    # json.dumps would convert other keys to strings, which could make two of them equal.
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the key {shown(key)} is not a string")
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)


def _too_long(length: str, where: str, max_chars: int) -> str:
    return (
        f"{where}: the text has {length}, the limit is {max_chars:,}; "
        "split it, or open Memory with a larger max_chars="
    )


def describe(value: object) -> str:
    """Describe a value of the wrong type for error messages, with advice for bytes."""
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes; decode them first, e.g. data.decode('utf-8')"
    return f"a {type(value).__name__} ({shown(value)})"


def unsupported(value: object, where: str) -> InputError:
    """The error for a value that is nothing that can be added."""
    return InputError(
        f"{where} is {describe(value)}; give a string, a message as a dict or an object with "
        "model_dump(), a Message, a Document, or a list of these"
    )
