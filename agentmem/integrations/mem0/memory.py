"""`Memory`, as programs use mem0's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self, cast

import agentmem.memory
from agentmem.context.hits import Chunk, Hit
from agentmem.errors import InputError, UnknownIdError
from agentmem.ingest.checks import check_time
from agentmem.integrations.mem0.config import location_in
from agentmem.integrations.mem0.filters import EXPIRES, SCOPE, day, read_filters, scope_of
from agentmem.integrations.mem0.messages import read_messages
from agentmem.integrations.memories import is_memory
from agentmem.types import Message
from agentmem.verbs.handle import Location, Time
from agentmem_storage.numbers import as_count
from agentmem_storage.records import UNSET, Unset
from agentmem_storage.text import shown

DEFAULT_STORE = "~/.agentmem/default"

# A key of the metadata that mem0 shows beside them.
_UPDATED: Final = "updated_at"
_TICK = timedelta(microseconds=1)
_MORE = 4


class NotFoundError(UnknownIdError, ValueError):
    """No memory has that id; a ValueError, as mem0 raises."""


class Memory:
    """mem0's `Memory` over one of agentmem's.

    A memory is one message. Its id is a string, and stays the same when the memory is updated.
    """

    def __init__(self, memory: Location | agentmem.memory.Memory = DEFAULT_STORE) -> None:
        """Open a store, or use an open one.

        Args:
            memory: Where the store is, as for `agentmem.Memory`; or an open one of these or a
                `RemoteMemory`, which the caller closes, or a scoped handle, whose scope then holds
                for every call.
        """
        self._owned = not is_memory(memory)
        if self._owned:
            memory = agentmem.memory.Memory(cast("Location", memory))
        self.memory = cast("agentmem.memory.Memory", memory)

    @classmethod
    def from_config(cls, config_dict: Mapping[str, Any]) -> Self:
        """Open the store that a configuration names, as mem0's does.

        ::

            Memory.from_config({"vector_store": {"provider": "agentmem", "config": {"path": "x"}}})

        Args:
            config_dict: A configuration of mem0. Without a ``vector_store``, the store is that of
                `Memory()`. Models have no effect, which is logged.

        Raises:
            InputError: it has another vector store, or a key that mem0 does not have.
        """
        return cls(location_in(config_dict, DEFAULT_STORE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store, if it was opened here."""
        if self._owned:
            self.memory.close()

    def add(
        self,
        messages: str | Mapping[str, Any] | list[Mapping[str, Any]],
        *,
        user_id: object = None,
        agent_id: object = None,
        run_id: object = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: Time | None = None,
        expiration_date: date | str | None = None,
        infer: bool | None = None,
        memory_type: str | None = None,
        prompt: str | None = None,
    ) -> dict[str, Any]:
        """Store each message as it is, all or none; those of the system are left out.

        Args:
            messages: A text by the user, a message, or a list of messages.
            user_id: Whose memory it is; one of the three ids is necessary.
            agent_id: Which agent's.
            run_id: Which conversation's: the ``session_id`` of `agentmem.Memory`.
            metadata: JSON values to filter by.
            timestamp: When it was said; by default now.
            expiration_date: The last day on which `search` and `get_all` show it.
            infer: None or False: there is no language model that could infer anything.
            memory_type: None, likewise.
            prompt: None, likewise.

        Returns:
            ``{"results": [{"id", "memory", "event": "ADD", "actor_id", "role"}, ...]}``

        Raises:
            InputError: no id is given, a message has no text, or a model is asked for. Nothing was
                stored.
        """
        for name, value in (("infer", infer), ("memory_type", memory_type), ("prompt", prompt)):
            if value:
                raise InputError(
                    f"{name}={shown(value)} needs a language model, and agentmem has none: leave "
                    "it out, and what is said is stored as it is"
                )
        scope = scope_of(user_id=user_id, agent_id=agent_id, run_id=run_id)
        about = dict(metadata or {})
        if expiration_date is not None:
            about[EXPIRES] = day(expiration_date)
        # A time of its own for each: equal ones would be taken for repetitions.
        first = check_time(timestamp, "timestamp") or datetime.now(UTC)
        said = [
            Message(text, role, name=name, created_at=first + place * _TICK, metadata=about)
            for place, (text, role, name) in enumerate(read_messages(messages))
        ]
        if not said:
            return {"results": []}
        receipt = self.memory.add(said, **scope)
        return {
            "results": [
                {
                    "id": str(source),
                    "memory": one.content,
                    "event": "ADD",
                    "actor_id": one.name,
                    "role": one.role,
                }
                for one, source in zip(said, receipt.sources, strict=True)
            ]
        }

    def search(
        self,
        query: str,
        *,
        top_k: int = 20,
        filters: Mapping[str, Any] | None = None,
        threshold: float | None = 0.1,
        rerank: bool = False,
        explain: bool = False,
        show_expired: bool = False,
    ) -> dict[str, Any]:
        """The memories that match a query best, best first.

        Args:
            query: A question or keywords.
            top_k: Maximum number of memories.
            filters: With one of the ids ``user_id``, ``agent_id`` and ``run_id``, and any of mem0's
                conditions, but ``icontains``.
            threshold: Only memories with this score or a higher one; None for 0.1.
            rerank: Has no effect: the best are always reranked.
            explain: Whether to add the parts of the ranking as ``score_details``.
            show_expired: Whether to include what has expired.

        Returns:
            ``{"results": [{"id", "memory", "score", "metadata", ...}, ...]}``. A score is the
            relevance of `agentmem.Hit`, 0 to 1, comparable across searches.

        Raises:
            InputError: the query is blank, ``filters`` has no id, or a number is out of range.
            FilterError: the filter is malformed.
        """
        scope, where = read_filters(filters, show_expired=show_expired)
        best: dict[int, Hit] = {}
        k = wanted = as_count(top_k, "top_k")
        while k:
            hits = self.memory.recall(
                query,
                k=k,
                where=where,
                min_relevance=0.1 if threshold is None else threshold,
                **scope,
            )
            for hit in hits:
                best.setdefault(hit.source.id, hit)
            # A long message is found in several places.
            if len(best) >= wanted or len(hits) < k:
                break
            k *= _MORE
        results = []
        for hit in islice(best.values(), wanted):
            details = {"score_details": dict(hit.explain)} if explain else {}
            results.append({**self._item(hit), "score": hit.relevance, **details})
        return {"results": results}

    def get(self, memory_id: str) -> dict[str, Any] | None:
        """A memory by its id; None if there is none."""
        with suppress(NotFoundError):
            return self._item(self._one(memory_id))
        return None

    def get_all(
        self,
        *,
        filters: Mapping[str, Any] | None = None,
        top_k: int = 20,
        show_expired: bool = False,
    ) -> dict[str, Any]:
        """Memories in the order in which they were added.

        Args:
            filters: As in `search`.
            top_k: Maximum number of memories.
            show_expired: Whether to include what has expired.

        Returns:
            ``{"results": [{"id", "memory", "metadata", ...}, ...]}``

        Raises:
            InputError: ``filters`` has no id, or ``top_k`` is negative.
            FilterError: the filter is malformed.
        """
        scope, where = read_filters(filters, show_expired=show_expired)
        found: dict[int, Chunk] = {}
        wanted = as_count(top_k, "top_k")
        for chunk in self.memory.list(where=where, **scope):
            if len(found) >= wanted:
                break
            found.setdefault(chunk.source.id, chunk)
        return {"results": [self._item(one) for one in found.values()]}

    def update(
        self,
        memory_id: str,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expiration_date: date | str | Unset | None = UNSET,
        data: str | None = None,
    ) -> dict[str, str]:
        """Replace the text of a memory, or some of its metadata; nothing of the old ones remains.

        Args:
            memory_id: Its id.
            text: The new text; None keeps the old.
            metadata: Metadata to add or to replace.
            expiration_date: A new one, or None for none.
            data: Another name of ``text``.

        Raises:
            NotFoundError: no memory has that id.
            InputError: there is nothing to change, or it cannot be stored.
        """
        text = data if text is None else text
        changed = dict(metadata or {})
        if not isinstance(expiration_date, Unset):
            changed[EXPIRES] = None if expiration_date is None else day(expiration_date)
        if text is None and metadata is None and not changed:
            raise InputError("update() needs text, metadata or expiration_date")
        chunk = self._one(memory_id)
        about = {**chunk.metadata, **changed, _UPDATED: datetime.now(UTC).isoformat()}
        if about.get(EXPIRES) is None:
            about.pop(EXPIRES, None)
        self.memory.update(chunk.id, text=text, metadata=about)
        return {"message": "Memory updated successfully!"}

    def delete(self, memory_id: str) -> dict[str, str]:
        """Delete a memory, so that no byte of it remains.

        Raises:
            NotFoundError: no memory has that id.
        """
        self.memory.forget(self._one(memory_id).source.chunk_ids)
        return {"message": "Memory deleted successfully!"}

    def delete_all(
        self, user_id: object = None, agent_id: object = None, run_id: object = None
    ) -> dict[str, str]:
        """Delete all memories that have all of the given ids.

        Raises:
            InputError: no id is given.
        """
        self.memory.forget(**scope_of(user_id=user_id, agent_id=agent_id, run_id=run_id))
        return {"message": "Memories deleted successfully!"}

    def reset(self) -> None:
        """Delete everything in the store, or in the scope of the handle."""
        self.memory.forget(where={"source_id": {"gte": 0}})

    def _one(self, memory_id: str) -> Chunk:
        """The first chunk of a memory."""
        found = None
        if isinstance(memory_id, str) and memory_id.isascii() and memory_id.isdigit():
            with suppress(InputError):  # a number that no id can be
                found = next(self.memory.list(source_id=int(memory_id)), None)
        if found is None:
            raise NotFoundError(f"no memory has the id {shown(memory_id)}")
        return found

    def _item(self, chunk: Chunk) -> dict[str, Any]:
        """A memory as mem0 shows it."""
        source = chunk.source
        text = chunk.text
        if len(source.chunk_ids) > 1:
            text = self.memory.get_source(source.id).text
        about = dict(chunk.metadata)
        created_at = source.created_at.isoformat()
        ids = {name: getattr(source.scope, field) for name, field in SCOPE.items()}
        beside = {
            **ids,
            "actor_id": source.name,
            "role": source.role,
            EXPIRES: about.pop(EXPIRES, None),
        }
        return {
            "id": str(source.id),
            "memory": text,
            "hash": hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
            "created_at": created_at,
            _UPDATED: about.pop(_UPDATED, created_at),
            "metadata": about or None,
            **{name: value for name, value in beside.items() if value is not None},
        }
