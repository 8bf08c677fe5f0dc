"""The verbs that read, asked of a service."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import BaseModel

from agentmem.context.hits import Chunk
from agentmem.context.recall import Recall
from agentmem.context.source import Source
from agentmem.context.timeline import Episode
from agentmem.ingest.checks import check_page, check_unicode
from agentmem.remote.content import filter_as_json, time_as_json
from agentmem.remote.handle import RemoteHandle
from agentmem.remote.payload import read, selected
from agentmem.results import Conflict, ScopeUse, Stats
from agentmem.retrieval.query import Expand, Mode, Order, Prefer, Rerank
from agentmem.scopes import ReadId
from agentmem.verbs.handle import Time, Where
from agentmem.wire.results import (
    EpisodeList,
    HistoryView,
    ListView,
    MemoryView,
    RecallView,
    SourceView,
    read_chunk,
    read_episode,
    read_recall,
    read_source,
)
from agentmem_storage.numbers import as_int
from agentmem_storage.records import UNSET

_PAGE = 128  # memories that `list` asks for at a time


class _Regenerated(BaseModel):
    regenerated: str


class _Count(BaseModel):
    count: int


class _Scopes(BaseModel):
    scopes: list[ScopeUse]


class _Conflicts(BaseModel):
    conflicts: list[Conflict]


class RemoteReading(RemoteHandle):
    """What reads memories and changes nothing."""

    def recall(
        self,
        query: str,
        *,
        k: int = 8,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
        mode: Mode = "hybrid",
        expand: Expand | None = None,
        rerank: Rerank | None = "auto",
        min_relevance: float | None = None,
        order: Order = "relevance",
        prefer: Prefer = "auto",
        now: Time | None = None,
    ) -> Recall:
        """See `Memory.recall`."""
        body = {
            "query": query,
            "k": as_int(k, "k"),
            "where": filter_as_json(where),
            "since": time_as_json(since, "since"),
            "until": time_as_json(until, "until"),
            "mode": mode,
            "expand": expand,
            "rerank": rerank,
            "min_relevance": min_relevance,
            "order": order,
            "now": time_as_json(now, "now"),
            "prefer": prefer,
            "detail": "full",
            **self._reading(user_id, agent_id, session_id),
        }
        found = self._client.ask("POST", "/v1/recall", body=body)
        return read_recall(read(RecallView, found))

    def get(
        self,
        id: int,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Chunk:
        """See `Memory.get`."""
        asked = {"detail": "full", **self._reading(user_id, agent_id, session_id)}
        found = self._client.ask("GET", f"/v1/memories/{as_int(id, 'an id')}", params=asked)
        return read_chunk(read(MemoryView, found))

    def get_source(
        self,
        id: int | str,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Source:
        """See `Memory.get_source`."""
        asked = {"detail": "full", **self._reading(user_id, agent_id, session_id)}
        path = "/v1/sources"
        if isinstance(id, str):
            asked |= {"external_id": check_unicode(id, "an external id")}
        else:
            path += f"/{as_int(id, 'a source id')}"
        found = self._client.ask("GET", path, params=asked)
        return read_source(read(SourceView, found))

    def count(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        source_id: int | None = None,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
    ) -> int:
        """See `Memory.count`."""
        asked = selected(source_id, where, since, until)
        asked |= self._reading(user_id, agent_id, session_id)
        return read(_Count, self._client.ask("GET", "/v1/count", params=asked)).count

    def list(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        source_id: int | None = None,
        where: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
        newest_first: bool = False,
        limit: int | None = None,
        after: int | None = None,
    ) -> Iterator[Chunk]:
        """See `Memory.list`; they are asked for in pages, as far as the caller iterates."""
        page = check_page(after, limit, newest_first=newest_first)
        asked = selected(source_id, where, since, until)
        asked |= self._reading(user_id, agent_id, session_id)
        most = _PAGE if page.limit is None else max(1, min(page.limit, _PAGE))
        asked |= {"detail": "full", "limit": most, "newest_first": bool(newest_first)}
        if page.after is not None:
            asked["after_id"] = page.after
        return islice(self._pages(asked), page.limit)

    def scopes(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> tuple[ScopeUse, ...]:
        """See `Memory.scopes`."""
        asked = self._reading(user_id, agent_id, session_id)
        found = self._client.ask("GET", "/v1/scopes", params=asked)
        return tuple(read(_Scopes, found).scopes)

    def episodes(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        limit: int = 20,
        before: int | None = None,
    ) -> tuple[Episode, ...]:
        """See `Memory.episodes`; a service sends 50 at once at most."""
        asked: dict[str, Any] = {"detail": "full", "limit": as_int(limit, "limit")}
        if before is not None:
            asked["before"] = as_int(before, "before")
        asked |= self._reading(user_id, agent_id, session_id)
        found = self._client.ask("GET", "/v1/episodes", params=asked)
        return tuple(map(read_episode, read(EpisodeList, found).episodes))

    def history(
        self,
        id: int,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> tuple[Source, ...]:
        """See `Memory.history`."""
        asked = {"detail": "full", **self._reading(user_id, agent_id, session_id)}
        path = f"/v1/memories/{as_int(id, 'an id')}/history"
        found = self._client.ask("GET", path, params=asked)
        return tuple(map(read_source, read(HistoryView, found).sources))

    def conflicts(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> tuple[Conflict, ...]:
        """See `Memory.conflicts`."""
        asked = self._reading(user_id, agent_id, session_id)
        found = self._client.ask("GET", "/v1/conflicts", params=asked)
        return tuple(read(_Conflicts, found).conflicts)

    def stats(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Stats:
        """See `Memory.stats`."""
        asked = self._reading(user_id, agent_id, session_id)
        return read(Stats, self._client.ask("GET", "/v1/stats", params=asked))

    def regenerated(
        self,
        id: int,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> str:
        """See `Memory.regenerated`."""
        asked = self._reading(user_id, agent_id, session_id)
        path = f"/v1/memories/{as_int(id, 'an id')}/regenerated"
        return read(_Regenerated, self._client.ask("GET", path, params=asked)).regenerated

    def _pages(self, asked: dict[str, Any]) -> Iterator[Chunk]:
        while True:
            found = self._client.ask("GET", "/v1/memories", params=asked)
            page = read(ListView, found)
            yield from map(read_chunk, page.memories)
            if page.next is None:
                return
            asked = asked | {"after": page.next}
