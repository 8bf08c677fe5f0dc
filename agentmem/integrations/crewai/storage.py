"""`AgentMemStorage`: the records of CrewAI's memory in a `Memory`."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from crewai.memory.types import MemoryRecord, ScopeInfo

from agentmem.errors import InputError
from agentmem.integrations.crewai.records import (
    HEAD,
    RECORD,
    child_scopes,
    condition,
    document_of,
    path_of,
    utc,
    where_of,
)
from agentmem.integrations.repeats import with_repeats
from agentmem_storage.numbers import as_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agentmem.context.hits import Chunk
    from agentmem.memory import Memory

# Of how many texts the vectors are known.
_KNOWN: Final = 4096
# How many tokens are embedded at a time; the vector of a longer text is the mean.
_WINDOW: Final = 256
_MORE: Final = 4

Found = list[tuple[Any, float]]


class AgentMemStorage:
    """A ``StorageBackend`` of CrewAI over a `Memory`.

    Records come back as they were saved, and leave no byte behind when they are deleted. Scopes of
    CrewAI are paths, such as ``/crew/research``; a search in one covers those below it. All of them
    are in the scope of the memory. Safe to use from several threads.
    """

    def __init__(self, memory: Memory) -> None:
        """A storage over a memory.

        Args:
            memory: An open `Memory`, which the caller closes. A scoped handle, such as
                ``mem.scoped(agent_id="research")``, keeps crews apart.
        """
        self._memory = memory
        self._texts: OrderedDict[bytes, str] = OrderedDict()
        self._lock = Lock()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of texts, for CrewAI's ``embedder=``, with unit norm.

        Raises:
            TypeError: ``texts`` is one text.
        """
        if isinstance(texts, str):
            raise TypeError("embed() takes a list of texts, got one text")
        vectors = [self._vector(text) for text in texts]
        with self._lock:
            for text, vector in zip(texts, vectors, strict=True):
                self._texts[vector.tobytes()] = text
                self._texts.move_to_end(vector.tobytes())
            while len(self._texts) > _KNOWN:
                self._texts.popitem(last=False)
        return [vector.tolist() for vector in vectors]

    def save(self, records: list[Any]) -> None:
        """Store records, all or none; one whose id is known takes the place of that.

        Raises:
            InputError: one of them has no text, metadata that JSON cannot express, or an id that
                stands twice.
        """
        if records:
            self._memory.add([document_of(record) for record in records])

    def search(
        self,
        query_embedding: list[float],
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        metadata_filter: dict[str, Any] | None = None,
        limit: int = 10,
        min_score: float = 0.0,
    ) -> Found:
        """Records that fit a text best, with the cosine similarity of their vectors, 0 to 1.

        Args:
            query_embedding: A vector that `embed` made.
            scope_prefix: Only this scope and those below it.
            categories: Only records of one of these.
            metadata_filter: Only records with these values in their metadata.
            limit: Maximum number of records.
            min_score: Only records whose similarity is at least this.

        Raises:
            InputError: the vector is another embedder's, or the limit is negative.
        """
        limit = as_count(limit, "limit")
        query = np.asarray(query_embedding, dtype=np.float32)
        with self._lock:
            text = self._texts.get(query.tobytes())
        if text is None:
            raise InputError(
                "this vector is not one that AgentMemStorage.embed made lately: give CrewAI's "
                "Memory embedder=storage.embed beside storage=storage"
            )
        fits = condition(scope_prefix, categories, metadata_filter)
        found: Found = []
        for record in self._ranked(text, where_of(scope_prefix, categories)):
            if len(found) == limit:
                break
            if fits(record):
                score = max(0.0, min(1.0, float(query @ self._vector(record.content))))
                if score >= min_score:
                    found.append((record, score))
        return found

    def delete(
        self,
        scope_prefix: str | None = None,
        categories: list[str] | None = None,
        record_ids: list[str] | None = None,
        older_than: datetime | None = None,
        metadata_filter: dict[str, Any] | None = None,
    ) -> int:
        """Delete the records that fulfill all given conditions; their number is returned.

        Raises:
            InputError: there is no condition; `reset` deletes everything.
        """
        conditions = (scope_prefix, categories, record_ids, older_than, metadata_filter)
        if all(one is None for one in conditions):
            raise InputError("delete() needs a condition; to delete all records, call reset()")
        fits = condition(scope_prefix, categories, metadata_filter)
        ids = [
            record.id
            for record in self._records(scope_prefix)
            if fits(record)
            and (record_ids is None or record.id in record_ids)
            and (older_than is None or utc(record.created_at) < utc(older_than))
        ]
        return self._forget(ids)

    def update(self, record: Any) -> None:
        """Replace the record with the same id, or add it."""
        self.save([record])

    def get_record(self, record_id: str) -> Any | None:
        """The record with an id, None if there is none."""
        where = {"and": [where_of(None, None), {"external_id": HEAD + record_id}]}
        chunks = self._memory.list(where=where, limit=1)
        return next(map(self._record, chunks), None)

    def list_records(
        self, scope_prefix: str | None = None, limit: int = 200, offset: int = 0
    ) -> list[Any]:
        """Records of a scope and those below it, the newest first.

        Raises:
            InputError: ``limit`` or ``offset`` is negative.
        """
        limit, offset = as_count(limit, "limit"), as_count(offset, "offset")
        records = sorted(self._records(scope_prefix), key=lambda one: utc(one.created_at))
        return records[::-1][offset : offset + limit]

    def get_scope_info(self, scope: str) -> Any:
        """How many records a scope and those below it have, and of which categories and times."""
        records = list(self._records(scope))
        times = sorted((record.created_at for record in records), key=utc)
        return ScopeInfo(
            path=path_of(scope),
            record_count=len(records),
            categories=sorted({one for record in records for one in record.categories}),
            oldest_record=times[0] if times else None,
            newest_record=times[-1] if times else None,
            child_scopes=child_scopes(scope, records),
        )

    def list_scopes(self, parent: str = "/") -> list[str]:
        """The scopes directly below one that have records, or scopes with records below them."""
        return child_scopes(parent, self._records(parent))

    def list_categories(self, scope_prefix: str | None = None) -> dict[str, int]:
        """The categories in a scope and those below it, and how many records have each."""
        counts: dict[str, int] = {}
        for record in self._records(scope_prefix):
            for one in record.categories:
                counts[one] = counts.get(one, 0) + 1
        return counts

    def count(self, scope_prefix: str | None = None) -> int:
        """How many records a scope and those below it have."""
        return sum(1 for _ in self._records(scope_prefix))

    def reset(self, scope_prefix: str | None = None) -> None:
        """Delete the records of a scope and those below it, or all; other memories stay."""
        self._forget([record.id for record in self._records(scope_prefix)])

    async def asave(self, records: list[Any]) -> None:
        """`save`, in a thread."""
        await asyncio.to_thread(self.save, records)

    async def asearch(self, query_embedding: list[float], *args: Any, **more: Any) -> Found:
        """`search`, in a thread."""
        return await asyncio.to_thread(self.search, query_embedding, *args, **more)

    async def adelete(self, *args: Any, **more: Any) -> int:
        """`delete`, in a thread."""
        return await asyncio.to_thread(self.delete, *args, **more)

    def _vector(self, text: str) -> NDArray[np.float32]:
        """The vector of a text, float32 (K,) with unit norm."""
        model = self._memory._model
        ids = model.tokenizer.encode(text)
        windows = [ids[at : at + _WINDOW] for at in range(0, max(len(ids), 1), _WINDOW)]
        mean = model.embed(windows).mean(axis=0)
        vector: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(
            np.float32
        )
        return vector

    def _record(self, chunk: Chunk) -> Any:
        text = chunk.text
        if len(chunk.source.chunk_ids) > 1:
            text = self._memory.get_source(chunk.source.id).text
        return MemoryRecord.model_validate({**chunk.metadata[RECORD], "content": text})

    def _records(self, scope_prefix: str | None) -> Iterator[Any]:
        """All records of a scope and those below it."""
        fits = condition(scope_prefix, None, None)
        return filter(fits, self._each(self._memory.list(where=where_of(scope_prefix, None))))

    def _ranked(self, text: str, where: Mapping[str, Any]) -> Iterator[Any]:
        """Records that fit a text, best first; more are searched for as more are read."""
        seen: set[int] = set()
        k = 16
        while True:
            hits = self._memory.recall(text, k=k, where=where)
            chunks = [chunk for chunk, _ in with_repeats(self._memory, hits)]
            yield from self._each(chunks, seen)
            if len(hits) < k:
                return
            k *= _MORE

    def _each(self, chunks: Iterable[Chunk], seen: set[int] | None = None) -> Iterator[Any]:
        """The record of each chunk, once."""
        seen = set() if seen is None else seen
        for chunk in chunks:
            if chunk.source.id not in seen:
                seen.add(chunk.source.id)
                yield self._record(chunk)

    def _forget(self, ids: Sequence[str]) -> int:
        if ids:
            self._memory.forget([HEAD + id for id in ids])
        return len(ids)
