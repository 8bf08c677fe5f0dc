"""What is to be added, as JSON: texts, messages and documents, without anything of this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import numpy as np

from agentmem.errors import InputError
from agentmem.ingest.checks import MAX_CHARS, check_metadata, check_moment, join_pieces
from agentmem.ingest.expiry import expiry_time
from agentmem.ingest.shapes.envelopes import plain
from agentmem.types import Document, Message
from agentmem_storage.text import shown
from agentmem_storage.timestamps import utc_now


def as_json(content: Any) -> Any:
    """Content as `agentmem.wire.requests.AddRequest` takes it.

    Raises:
        InputError: it has a value that is none of JSON.
    """
    if isinstance(content, str | Message | Document | Mapping) or plain(content) is not content:
        return _item(content)
    if not isinstance(content, Iterable) or isinstance(content, bytes | bytearray):
        raise InputError(f"{shown(content)} is no text, message, document or list of these")
    return [_item(one) for one in content]


def time_as_json(value: object, name: str) -> str | None:
    """A time as ISO 8601, in its zone; None as it is.

    Raises:
        InputError: it is no time.
    """
    moment = check_moment(value, name)
    return None if moment is None else moment.isoformat()


def ttl_as_json(ttl: object, expires_at: object) -> float | None:
    """A time to live in seconds; None as it is.

    Raises:
        TypeError: it is neither a number nor a timedelta.
        InputError: it is not above 0, ``expires_at`` is given too, or that is no time or past.
    """
    expiry_time(expires_at, ttl, utc_now())
    if ttl is None:
        return None
    return ttl.total_seconds() if isinstance(ttl, timedelta) else float(ttl)  # type: ignore[arg-type]


def metadata_as_json(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Metadata as JSON; None as it is.

    Raises:
        InputError: a value has no form in JSON.
    """
    return None if value is None else check_metadata(value, "metadata")


def filter_as_json(value: Any) -> Any:
    """A filter as JSON: times as ISO 8601, numbers of NumPy as numbers.

    Raises:
        InputError: a value has no form in JSON.
    """
    return _plain(value, "a filter")


def _item(one: Any) -> Any:
    one = plain(one)
    if isinstance(one, Message):
        values = {**asdict(one), "metadata": metadata_as_json(one.metadata)}
        values["created_at"] = time_as_json(one.created_at, "created_at")
        values["expires_at"] = time_as_json(one.expires_at, "expires_at")
        return {name: value for name, value in values.items() if value is not None}
    if isinstance(one, Document):
        document = {
            "text": one.text if isinstance(one.text, str) else _joined(one.text),
            "title": one.title,
            "uri": one.uri,
            "created_at": time_as_json(one.created_at, "created_at"),
            "metadata": metadata_as_json(one.metadata),
            "external_id": one.external_id,
            "expires_at": time_as_json(one.expires_at, "expires_at"),
        }
        return {"document": document}
    return _plain(one, "a message")


def _joined(pieces: Iterable[str]) -> str:
    return join_pieces(pieces, "the document", MAX_CHARS)


def _plain(value: Any, where: str) -> Any:
    """A value with whatever has a form in JSON in it."""
    value = plain(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(one, where) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one, where) for one in value]
    if isinstance(value, np.generic):
        return _plain(value.item(), where)
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str | int | float):
        return value
    raise InputError(f"{shown(value)} in {where} has no form in JSON")
