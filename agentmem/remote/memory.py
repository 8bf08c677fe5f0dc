"""`RemoteMemory`; see `agentmem.remote`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

from agentmem.chat.session import Session
from agentmem.chat.tools import ToolFormat, Tools
from agentmem.context.hits import Chunk
from agentmem.context.recall import Recall
from agentmem.context.source import Source
from agentmem.context.timeline import Episode
from agentmem.errors import InputError
from agentmem.ingest.checks import check_page, check_unicode
from agentmem.ingest.external_ids import check_external_id
from agentmem.remote import archives
from agentmem.remote.client import Client
from agentmem.remote.content import (
    as_json,
    filter_as_json,
    metadata_as_json,
    time_as_json,
    ttl_as_json,
)
from agentmem.remote.session import RemoteSession
from agentmem.results import (
    Conflict,
    ExportReceipt,
    ForgetReceipt,
    LoadReceipt,
    Receipt,
    ScopeUse,
    Stats,
    Verification,
)
from agentmem.retrieval.query import Expand, Mode, Order, Prefer, Rerank
from agentmem.scopes import ANY, SCOPE_IDS, Binding, ReadId, WriteId, check_require
from agentmem.types import Content
from agentmem.verbs.handle import Location, Time, Where
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
from agentmem.workers import Later
from agentmem_storage.numbers import as_int
from agentmem_storage.records import ANY_SCOPE, UNSET, Scope, Unset

T = TypeVar("T")

_PAGE = 128  # memories that `list` asks for at a time


class _Regenerated(BaseModel):
    model_config = ConfigDict(extra="ignore")

    regenerated: str


class RemoteMemory:
    """A memory that a service holds, with the verbs of `Memory`.

    ::

        with RemoteMemory("http://127.0.0.1:7717", token="...") as mem:
            mem.add("Booked the 9:40 to Lyon", user_id="ana")

    What is about the machine of the store stays there: `backup`, `gc`, `reindex`, `prepare` and
    `migrate`. Hits and chunks are complete values, so `Recall.pack` works as
    usual, but ``policy="auto"`` does not.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 60.0,
        require: Sequence[str] = (),
    ) -> None:
        """Prepare to ask a service; nothing is sent yet.

        Args:
            url: Of the service, such as ``http://127.0.0.1:7717``.
            token: A token of the service. One that is bound to a scope does what a scoped handle
                does.
            timeout_s: How long to wait for each answer, in seconds.
            require: As in `Memory`.

        Raises:
            InputError: ``url`` is none of HTTP, the token cannot be sent, ``timeout_s`` is not
                positive, or a required id is unknown.
        """
        self._binding = Binding(required=check_require(require))
        self._client = Client(url, token, timeout_s)
        self._owns_client = True
        self._later = Later()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        bound = f", {self._binding}" if self._binding.scope != ANY_SCOPE else ""
        return f"RemoteMemory({self._client.url!r}{bound})"

    def close(self) -> None:
        """Close the connections, once all that sessions were given is sent.

        Closing a scoped handle does nothing.
        """
        if self._owns_client:
            self._later.finish()
            self._client.close()

    def scoped(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> RemoteMemory:
        """See `Memory.scoped`. Against others, only a token that is bound protects."""
        binding = self._binding.narrowed(user_id, agent_id, session_id)
        handle = object.__new__(RemoteMemory)
        handle.__dict__.update(self.__dict__)
        handle._binding = binding
        handle._owns_client = False
        return handle

    def session(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Session:
        """See `Memory.session`."""
        scope = self._binding.conversing(user_id, agent_id, session_id)
        others = ANY if self._binding.scope.session_id is None else UNSET
        recall = partial(self.recall, user_id=user_id, agent_id=agent_id, session_id=others)
        send = partial(self._observe, scope)
        return RemoteSession(recall, send, scope=scope, later=self._later)

    def as_tools(self, format: ToolFormat = "openai") -> Tools:
        """See `Memory.as_tools`."""
        return Tools(self, format)

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
            **_given(scope),
        }
        return _read(Receipt, self._client.ask("POST", "/v1/memories", body=body))

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
        return read_recall(RecallView.model_validate_json(found))

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
        return read_chunk(MemoryView.model_validate_json(found))

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
        return read_source(SourceView.model_validate_json(found))

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
        return tuple(_read(dict[str, list[ScopeUse]], found)["scopes"])

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
        return tuple(map(read_episode, EpisodeList.model_validate_json(found).episodes))

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
        asked = _selected(source_id, where, since, until)
        asked |= self._reading(user_id, agent_id, session_id)
        return _read(dict[str, int], self._client.ask("GET", "/v1/count", params=asked))["count"]

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
        asked = _selected(source_id, where, since, until)
        asked |= self._reading(user_id, agent_id, session_id)
        most = _PAGE if page.limit is None else max(1, min(page.limit, _PAGE))
        asked |= {"detail": "full", "limit": most, "newest_first": bool(newest_first)}
        if page.after is not None:
            asked["after_id"] = page.after
        return islice(self._pages(asked), page.limit)

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
            return _read(Receipt, self._client.ask("PATCH", "/v1/sources", body=body, params=named))
        path = f"/v1/memories/{as_int(id, 'an id')}"
        return _read(Receipt, self._client.ask("PATCH", path, body=body))

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
            body["ids"] = None if ids is None else _ids(ids)
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
        return _read(ForgetReceipt, self._client.ask("POST", "/v1/forget", body=body))

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
        return tuple(map(read_source, HistoryView.model_validate_json(found).sources))

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
        return tuple(_read(dict[str, list[Conflict]], found)["conflicts"])

    def verify(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        decode: bool = True,
    ) -> Verification:
        """See `Memory.verify`."""
        body = {"decode": bool(decode), **self._reading(user_id, agent_id, session_id)}
        return _read(Verification, self._client.ask("POST", "/v1/verify", body=body))

    def stats(
        self,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
    ) -> Stats:
        """See `Memory.stats`."""
        asked = self._reading(user_id, agent_id, session_id)
        return _read(Stats, self._client.ask("GET", "/v1/stats", params=asked))

    def export(
        self,
        path: Location,
        *,
        user_id: ReadId = UNSET,
        agent_id: ReadId = UNSET,
        session_id: ReadId = UNSET,
        where: Where | None = None,
        without: Where | None = None,
        since: Time | None = None,
        until: Time | None = None,
        passphrase: str | None = None,
    ) -> ExportReceipt:
        """See `Memory.export`; the file is on this machine, and so is the passphrase."""
        asked = _selected(None, where, since, until)
        if without is not None:
            asked["without"] = _json(without)
        asked |= self._reading(user_id, agent_id, session_id)
        return archives.export(self._client, path, asked, passphrase)

    def load(self, path: Location | BinaryIO, *, passphrase: str | None = None) -> LoadReceipt:
        """See `Memory.load`; the file is on this machine, and so is the passphrase."""
        return archives.load(self._client, path, passphrase, admit=self._binding.admit)

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
        return _read(_Regenerated, self._client.ask("GET", path, params=asked)).regenerated

    def _observe(self, scope: Scope, messages: Sequence[Any], reply: Any) -> Receipt:
        body = {"messages": messages, "reply": reply, **_given(scope)}
        return _read(Receipt, self._client.ask("POST", "/v1/sessions/observe", body=body))

    def _reading(self, user_id: ReadId, agent_id: ReadId, session_id: ReadId) -> dict[str, Any]:
        """The scope that a call reads, as it travels."""
        scope = self._binding.reading(user_id, agent_id, session_id)
        given = zip(SCOPE_IDS, (user_id, agent_id, session_id), strict=True)
        wide = [name for name, id in given if id is ANY]
        return _given(scope) | ({"any_id": wide} if wide else {})

    def _pages(self, asked: dict[str, Any]) -> Iterator[Chunk]:
        while True:
            found = self._client.ask("GET", "/v1/memories", params=asked)
            page = ListView.model_validate_json(found)
            yield from map(read_chunk, page.memories)
            if page.next is None:
                return
            asked = asked | {"after": page.next}


def _given(scope: Scope) -> dict[str, Any]:
    """The ids of a scope that are given."""
    ids = {name: getattr(scope, name) for name in SCOPE_IDS}
    return {name: id for name, id in ids.items() if id is not None}


def _selected(
    source_id: int | None, where: Where | None, since: Time | None, until: Time | None
) -> dict[str, Any]:
    """What is listed or counted, as far as it is given."""
    found = {
        "source_id": None if source_id is None else as_int(source_id, "a source id"),
        "where": None if where is None else _json(where),
        "since": time_as_json(since, "since"),
        "until": time_as_json(until, "until"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _json(where: Where) -> str:
    return TypeAdapter(dict[str, Any]).dump_json(filter_as_json(where)).decode()


def _ids(ids: Iterable[int | str]) -> list[int] | list[str]:
    if isinstance(ids, str | bytes | bytearray | Mapping) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be an iterable of integers, not {type(ids).__name__}")
    given = list(ids)
    if given and all(isinstance(one, str) for one in given):
        return [check_external_id(one, "ids") or "" for one in given]
    return [as_int(one, "an id") for one in given]


def _read(kind: type[T], data: bytes) -> T:
    return TypeAdapter(kind).validate_json(data)
