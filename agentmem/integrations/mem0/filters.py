"""mem0's ids and filters, as the scope and the filter of `agentmem.Memory`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from agentmem.errors import FilterError, InputError
from agentmem.scopes import ANY
from agentmem_storage.text import shown

# mem0's names of the scope ids, and Memory's.
SCOPE: Final[Mapping[str, str]] = {
    "user_id": "user_id",
    "agent_id": "agent_id",
    "run_id": "session_id",
}
# Names in filters that are not keys of the metadata.
_FIELDS: Final[Mapping[str, str]] = {
    **SCOPE,
    "actor_id": "name",
    "role": "role",
    "created_at": "created_at",
}
_OPERATORS: Final[Mapping[str, str]] = {
    **{name: name for name in ("eq", "ne", "in", "gt", "gte", "lt", "lte", "contains")},
    "nin": "not_in",
}
# The key of the metadata that holds the last day on which a memory is shown.
EXPIRES: Final = "expiration_date"


def scope_of(**ids: object) -> dict[str, Any]:
    """The scope ids that are given, by Memory's names.

    Raises:
        InputError: there is none.
    """
    given = {name: id for name, id in ids.items() if id is not None}
    if not given:
        raise InputError(f"one of {', '.join(SCOPE)} is necessary; reset() deletes everything")
    return {SCOPE[name]: _id(id) for name, id in given.items()}


def read_filters(
    filters: Mapping[str, Any] | None, *, show_expired: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Filters of mem0 as the scope and the filter of `agentmem.Memory`.

    Args:
        filters: They need one of the ids; `agentmem.ANY` is whatever it is.
        show_expired: Whether to include what has expired.

    Raises:
        InputError: There is no id, or it is ``"*"``.
        FilterError: They are malformed.
    """
    given = {} if filters is None else filters
    if not isinstance(given, Mapping):
        raise FilterError(f"filters are a mapping such as {{'user_id': 'ana'}}, got {shown(given)}")
    if not any(given.get(name) is not None for name in SCOPE):
        raise InputError(
            f"filters needs one of {', '.join(SCOPE)}, such as filters={{'user_id': 'ana'}}"
        )
    # Ids that are conditions are part of the filter, as in {"user_id": {"in": ["ana", "bo"]}}.
    scope = {
        SCOPE[name]: _id(given[name])
        for name in SCOPE
        if name in given and not isinstance(given[name], Mapping) and given[name] is not ANY
    }
    rest = {
        name: one
        for name, one in given.items()
        if SCOPE.get(name) not in scope and (name not in SCOPE or one is not ANY)
    }
    conditions = [*_conditions(rest)]
    if not show_expired:
        conditions.append({"not": {f"metadata.{EXPIRES}": {"lt": day(datetime.now(UTC))}}})
    return scope, {"and": conditions}


def day(value: date | str) -> str:
    """A day as YYYY-MM-DD.

    Raises:
        InputError: It is none.
    """
    if isinstance(value, datetime):
        return value.date().isoformat()
    try:
        return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"expiration_date is a day such as '2026-12-31', got {shown(value)}"
        ) from error


def _id(id: Any) -> Any:
    """An id, which may be a number, such as a primary key; Memory checks it.

    Raises:
        InputError: it is mem0's wildcard. From a form, it would be a way to everybody's memories.
    """
    if id == "*":
        raise InputError("'*' is no id: to read whatever it is, say agentmem.ANY in its place")
    return str(id) if isinstance(id, int) and not isinstance(id, bool) else id


def _conditions(filters: object) -> Iterator[dict[str, Any]]:
    if not isinstance(filters, Mapping):
        raise FilterError(f"a filter is a mapping such as {{'kind': 'note'}}, got {shown(filters)}")
    for name, wanted in filters.items():
        if name in ("AND", "OR", "NOT"):
            if not isinstance(wanted, list) or not wanted:
                raise FilterError(f"{name} takes a list of filters, got {shown(wanted)}")
            parts = [{"and": [*_conditions(part)]} for part in wanted]
            joined = {"and": parts} if name == "AND" else {"or": parts}
            yield {"not": joined} if name == "NOT" else joined
            continue
        key = _FIELDS.get(name, f"metadata.{name}")
        if name in SCOPE and wanted == "*":
            _id(wanted)
        if isinstance(wanted, Mapping):
            yield {key: {_operator(op, name): value for op, value in wanted.items()}}
        else:
            yield {key: {"exists": True} if wanted == "*" else {"eq": wanted}}


def _operator(op: object, name: str) -> str:
    if op not in _OPERATORS:
        raise FilterError(
            f"unknown operator {shown(op)} for {shown(name)}: one of {', '.join(_OPERATORS)}"
        )
    return _OPERATORS[str(op)]
