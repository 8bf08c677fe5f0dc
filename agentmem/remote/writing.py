"""The verbs that write, asked of a service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from agentmem.errors import InputError
from agentmem.ingest.checks import check_unicode
from agentmem.ingest.external_ids import check_external_id
from agentmem.remote.content import (
    as_json,
    filter_as_json,
    metadata_as_json,
    time_as_json,
    ttl_as_json,
)
from agentmem.remote.handle import RemoteHandle
from agentmem.remote.payload import ids_as_json, read, scope_ids
from agentmem.results import ForgetReceipt, Receipt
from agentmem.scopes import ANY, ReadId, WriteId
from agentmem.types import Content
from agentmem.verbs.handle import Time, Where
from agentmem_storage.numbers import as_int
from agentmem_storage.records import UNSET, Scope, Unset


class RemoteWriting(RemoteHandle):
    """What adds, changes and forgets memories."""

    def add(
        self,
        content: Content,
        *,
        user_id: WriteId = None,
        agent_id: WriteId = None,
        session_id: WriteId = None,
        id: str | None = None,
        created_at: Time | None = None,
        expires_at: Time | None = None,
        ttl: float | timedelta | None = None,
        metadata: Mapping[str, Any] | None = None,
        supersedes: int | None = None,
    ) -> Receipt:
        """See `Memory.add`."""
        scope = self._binding.writing(user_id, agent_id, session_id)
        self._binding.check_required(scope)
        body = {
            "content": as_json(content),
            "id": check_external_id(id, "id"),
            "expires_at": time_as_json(expires_at, "expires_at"),
            "ttl": ttl_as_json(ttl, expires_at),
            "created_at": time_as_json(created_at, "created_at"),
            "metadata": metadata_as_json(metadata),
            "supersedes": None if supersedes is None else as_int(supersedes, "supersedes"),
            **scope_ids(scope),
        }
        return read(Receipt, self._client.ask("POST", "/v1/memories", body=body))

    def update(
        self,
        id: int | str,
        *,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        created_at: Time | None = None,
        expires_at: Time | Unset | None = UNSET,
        ttl: float | timedelta | None = None,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Receipt:
        """See `Memory.update`."""
        until = None if isinstance(expires_at, Unset) else expires_at
        body = {
            "text": text,
            "metadata": metadata_as_json(metadata),
            "created_at": time_as_json(created_at, "created_at"),
            "ttl": ttl_as_json(ttl, until),
            **self._reading(user_id, agent_id, session_id),
        }
        if not isinstance(expires_at, Unset):
            body["expires_at"] = time_as_json(until, "expires_at")
        if isinstance(id, str):
            named = {"external_id": check_unicode(id, "an external id")}
            return read(Receipt, self._client.ask("PATCH", "/v1/sources", body=body, params=named))
        path = f"/v1/memories/{as_int(id, 'an id')}"
        return read(Receipt, self._client.ask("PATCH", path, body=body))

    def supersede(
        self,
        old: int,
        new: int,
        *,
        undo: bool = False,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> None:
        """See `Memory.supersede`."""
        body = {
            "old": as_int(old, "an id"),
            "new": as_int(new, "an id"),
            "undo": bool(undo),
            **self._reading(user_id, agent_id, session_id),
        }
        self._client.ask("POST", "/v1/supersede", body=body)

    def forget(
        self,
        ids: Iterable[int | str] | Unset = UNSET,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        where: Where | Unset = UNSET,
        before: Time | Unset = UNSET,
        dry_run: bool = False,
    ) -> ForgetReceipt:
        """See `Memory.forget`."""
        body: dict[str, Any] = {"dry_run": bool(dry_run)}
        if not isinstance(ids, Unset):
            body["ids"] = None if ids is None else ids_as_json(ids)
        if not isinstance(where, Unset):
            body["where"] = filter_as_json(where)
        if not isinstance(before, Unset):
            body["before"] = time_as_json(before, "before")
        given = {user_id, agent_id, session_id}.difference({UNSET, ANY})
        if len(body) == 1 and not given:
            # The scope of this handle travels like a condition, and is none.
            raise InputError(
                "forget() needs a condition: ids=, user_id=, agent_id=, session_id=, where= or "
                "before="
            )
        body |= self._reading(user_id, agent_id, session_id)
        return read(ForgetReceipt, self._client.ask("POST", "/v1/forget", body=body))

    def _observe(self, scope: Scope, messages: Sequence[Any], reply: Any) -> Receipt:
        body = {"messages": messages, "reply": reply, **scope_ids(scope)}
        return read(Receipt, self._client.ask("POST", "/v1/sessions/observe", body=body))
