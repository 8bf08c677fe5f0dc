"""What requests to a service carry, and how its answers are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from agentmem.errors import ServiceError
from agentmem.ingest.external_ids import check_external_id
from agentmem.remote.content import filter_as_json, time_as_json
from agentmem.scopes import SCOPE_IDS
from agentmem.verbs.handle import Time, Where
from agentmem_storage.numbers import as_int
from agentmem_storage.records import Scope
from agentmem_storage.text import shown

T = TypeVar("T")


def scope_ids(scope: Scope) -> dict[str, Any]:
    """The ids of a scope that are given."""
    ids = {name: getattr(scope, name) for name in SCOPE_IDS}
    return {name: id for name, id in ids.items() if id is not None}


def selected(
    source_id: int | None, where: Where | None, since: Time | None, until: Time | None
) -> dict[str, Any]:
    """What is listed or counted, as far as it is given."""
    found = {
        "source_id": None if source_id is None else as_int(source_id, "a source id"),
        "where": None if where is None else filter_as_text(where),
        "since": time_as_json(since, "since"),
        "until": time_as_json(until, "until"),
    }
    return {name: value for name, value in found.items() if value is not None}


def filter_as_text(where: Where) -> str:
    """A filter as the text of its JSON, for the parameters of a URL.

    Raises:
        InputError: A value has no form in JSON.
    """
    return TypeAdapter(dict[str, Any]).dump_json(filter_as_json(where)).decode()


def ids_as_json(ids: Iterable[int | str]) -> list[int] | list[str]:
    """The ids to forget: those of memories, or external ones.

    Raises:
        TypeError: They are no iterable, or one of them is no integer.
        InputError: An external id is none that can be stored.
    """
    if isinstance(ids, str | bytes | bytearray | Mapping) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be an iterable of integers, not {type(ids).__name__}")
    given = list(ids)
    if given and all(isinstance(one, str) for one in given):
        return [check_external_id(one, "ids") or "" for one in given]
    return [as_int(one, "an id") for one in given]


def read(kind: type[T], data: bytes) -> T:
    """An answer, as the type that it describes.

    Raises:
        ServiceError: it is something else, such as the page of another program.
    """
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError:
        raise ServiceError(
            f"what answered is no service of agentmem, or of another version: it sent "
            f"{shown(data[:200])}; give the URL that `agentmem serve` printed"
        ) from None
