"""What every verb of a memory works with."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from agentmem.errors import InputError
from agentmem.ingest.checks import check_time
from agentmem.ingest.encode import EncodingOptions
from agentmem.models.base import MemoryModel
from agentmem.opening import GivenKey
from agentmem.scopes import Binding
from agentmem.verbs.filters import checked
from agentmem.verbs.hooks import Hooks
from agentmem_storage.records import ANY_SCOPE, Scope, Selection
from agentmem_storage.store import Store

# What only some verbs need is imported by these: a command runs one of them, and ends.
if TYPE_CHECKING:
    from agentmem.context.hits import Chunk

Location = str | os.PathLike[str]
Where = Mapping[str, Any]
# A datetime, date or ISO 8601 string, UTC if without zone, or seconds since 1970.
Time = datetime | date | np.datetime64 | str | float


class Handle:
    """An open store, or the part of it that a scope can access."""

    _store: Store
    _model: MemoryModel
    _binding: Binding
    _options: EncodingOptions
    _max_chars: int
    _owns_store: bool
    _clock: Callable[[], datetime]
    _hooks: Hooks
    _given_key: GivenKey

    def _require_complete(self, verb: str) -> None:
        """Check that this is no scoped handle.

        Raises:
            InputError: it is.
        """
        if self._binding.scope != ANY_SCOPE:
            raise InputError(
                f"{verb}() is for the complete store: call it on the Memory that was opened, not "
                f"on {self!r}"
            )

    def _one(self, id: int, scope: Scope) -> Chunk:
        from agentmem.context.load import load_chunk
        from agentmem.editing import unknown_id

        found = load_chunk(self._store, self._model, Selection(scope, ids=(id,)))
        if found is None:
            raise unknown_id(self._store, scope, id)
        return found


def listed(
    scope: Scope,
    source_id: int | None,
    where: Where | None,
    since: Time | None,
    until: Time | None,
) -> Selection:
    """What a verb selects that reads.

    Raises:
        InputError: a time cannot be read.
        FilterError: the filter compares a role or a kind with what is none.
    """
    return Selection(
        scope,
        source_ids=None if source_id is None else (source_id,),
        where=checked(where),
        since=check_time(since, "since"),
        until=check_time(until, "until"),
    )
