"""`Milvus`: the collections in which a server keeps the embeddings of one store.

A collection has a row for each chunk, with its id, the id of its scope and its embedding; and three
more, whose ids are above all others, in which it says of which model it is and how much of the
store it has. These are written after all others, so that whoever reads them finds the rest. A
collection only ever gets more complete: one that is made anew gets another name, and the former is
deleted when the new one has everything.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from agentmem_storage.index.milvus_connection import PREFIX, MilvusConnection
from agentmem_storage.records import Ranked

# The most that Milvus returns of one search.
MOST: Final = 16_384
# `Held.filled` of a collection that has all chunks up to its mark.
ALL: Final = 2**62
_MODEL, _MARK, _FILLED = range(ALL, ALL + 3)
_ID, _SCOPE, _EMBEDDING = "id", "scope", "embedding"
# What one request carries, of the 64 MB that Milvus takes.
_REQUEST_BYTES = 8 * 2**20
_MOST_ROWS = 4096
_NOT_FOUND, _NOT_LOADED, _RATE_LIMIT = 100, 101, 8
_STRONG = "Strong"


@dataclass(frozen=True, slots=True)
class Held:
    """What a collection says that it has.

    Attributes:
        name: Its name.
        mark: The state of the store that it reflects, packed.
        filled: The highest of the ids up to which it has the chunks of that state; `ALL` if it has
            every one.
    """

    name: str
    mark: int
    filled: int

    @property
    def complete(self) -> bool:
        """Whether it has every chunk of the state that it reflects."""
        return self.filled == ALL


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one search.

    Attributes:
        ranked: Ids of chunks with their cosines as Milvus computes them, best first.
        exhausted: Whether Milvus has no more to give.
    """

    ranked: Ranked
    exhausted: bool


def is_milvus(index: object) -> bool:
    """Whether an index that was asked for is one in Milvus."""
    return isinstance(index, str) and index.startswith(PREFIX)


class Milvus:
    """The collections of a store; safe to use from several threads.

    Every method may raise StoreError: Milvus cannot be reached, or refuses.

    Args:
        index: ``milvus+`` and the address of a server, such as ``http://localhost:19530``, with a
            user, a password and the name of a database if it needs them; or the path of a file of
            Milvus Lite, which ends in ``.db``.
        store_id: Id of the store.
        model: Fingerprint of the bundle that made the embeddings.
        dims: K.
        timeout_s: How long to wait for an answer, in seconds.

    Raises:
        InputError: It is no such address.
        MissingExtraError: pymilvus is not installed; or Milvus Lite, which a file needs.
    """

    def __init__(
        self, index: str, *, store_id: str, model: str, dims: int, timeout_s: float
    ) -> None:
        self._connection = MilvusConnection(index, timeout_s)
        self._wait_s = self._connection.wait_s
        self._prefix = f"agentmem_{store_id}_"
        self._model = int.from_bytes(hashlib.sha256(model.encode()).digest()[:8], "big") >> 2
        self._dims = dims

    def names(self) -> list[str]:
        """The names of the collections of this store."""
        with self._connection.asking() as client:
            listed = client.list_collections(timeout=self._wait_s)
        return sorted(name for name in listed if name.startswith(self._prefix))

    def create(self, mark: int) -> Held:
        """Create an empty collection.

        Args:
            mark: The state of the store that it begins with.
        """
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(_ID, DataType.INT64, is_primary=True)
        schema.add_field(_SCOPE, DataType.INT64)
        schema.add_field(_EMBEDDING, DataType.FLOAT_VECTOR, dim=self._dims)
        indexes = MilvusClient.prepare_index_params()
        indexes.add_index(_EMBEDDING, index_type="AUTOINDEX", metric_type="IP")
        indexes.add_index(_SCOPE, index_type="INVERTED")
        name = self._prefix + secrets.token_hex(4)
        with self._connection.asking() as client:
            client.create_collection(
                name,
                schema=schema,
                index_params=indexes,
                consistency_level=_STRONG,
                timeout=self._wait_s,
            )
        held = Held(name, mark, 0)
        self._note(held)
        return held

    def held(self, name: str) -> Held | None:
        """What a collection has; None if it is gone, was emptied, or is of another model."""
        ids = [_MODEL, _MARK, _FILLED]
        rows = self._read(
            name,
            lambda client: client.get(
                name,
                ids=ids,
                output_fields=[_ID, _SCOPE],
                consistency_level=_STRONG,
                timeout=self._wait_s,
            ),
        )
        known = {int(row[_ID]): int(row[_SCOPE]) for row in rows or ()}
        if set(known) != set(ids) or known[_MODEL] != self._model:
            return None
        return Held(name, known[_MARK], known[_FILLED])

    def write(
        self,
        held: Held,
        ids: NDArray[np.int64],
        scopes: NDArray[np.int64],
        vectors: NDArray[np.float32],
        removed: NDArray[np.int64],
    ) -> None:
        """Write and remove rows, and then what the collection has.

        Args:
            held: What it has afterwards.
            ids: Of chunks to write, int64 of shape (n,); those that are there get the new vector.
            scopes: Of each, int64 of shape (n,).
            vectors: float32 of shape (n, K), unit rows.
            removed: Ids to remove, int64 of shape (m,); unknown ones are ignored.
        """
        rows = max(1, min(_MOST_ROWS, _REQUEST_BYTES // (4 * self._dims)))
        with self._connection.asking() as client:
            for first in range(0, removed.size, _MOST_ROWS):
                some = removed[first : first + _MOST_ROWS].tolist()
                client.delete(held.name, ids=some, timeout=self._wait_s)
            for first in range(0, ids.size, rows):
                part = slice(first, first + rows)
                data = [
                    {_ID: id, _SCOPE: scope, _EMBEDDING: vector}
                    for id, scope, vector in zip(
                        ids[part].tolist(), scopes[part].tolist(), vectors[part], strict=True
                    )
                ]
                client.upsert(held.name, data, timeout=self._wait_s)
        self._note(held)

    def search(
        self,
        name: str,
        query: NDArray[np.float32],
        limit: int,
        scopes: Sequence[int] | None = None,
    ) -> Found | None:
        """Search all that was written before.

        Args:
            name: The collection.
            query: float32 of shape (K,), unit norm.
            limit: How many rows at most, up to `MOST`.
            scopes: Ids of the scopes to consider; None for all.

        Returns:
            What was found; None if the collection is gone.
        """
        found = self._read(
            name,
            lambda client: client.search(
                name,
                data=[query],
                filter="" if scopes is None else f"{_SCOPE} in {list(scopes)}",
                limit=limit,
                search_params={"metric_type": "IP"},
                anns_field=_EMBEDDING,
                consistency_level=_STRONG,
                timeout=self._wait_s,
            ),
        )
        if found is None:
            return None
        hits = list(found[0])
        ids = np.array([int(hit[_ID]) for hit in hits], dtype=np.int64)
        scores = np.array([float(hit["distance"]) for hit in hits], dtype=np.float32)
        chunks = ids < ALL
        return Found(Ranked(ids=ids[chunks], scores=scores[chunks]), len(hits) < limit)

    def flush(self, name: str) -> None:
        """Ask Milvus to write what was removed to its files, and to merge these without it.

        A server that limits how often this may be asked does it later by itself.
        """
        with self._connection.asking(spared=(_RATE_LIMIT,)) as client:
            client.flush(name, timeout=self._wait_s, retry_on_rate_limit=False)
            client.compact(name, timeout=self._wait_s, retry_on_rate_limit=False)

    def drop(self, name: str) -> None:
        """Delete a collection."""
        with self._connection.asking(spared=(_NOT_FOUND,)) as client:
            client.drop_collection(name, timeout=self._wait_s)

    def close(self) -> None:
        """Close the connection; another one is made when it is needed."""
        self._connection.close()

    def _note(self, held: Held) -> None:
        nowhere = np.zeros(self._dims, dtype=np.float32)
        nowhere[0] = 1.0
        facts = {_MODEL: self._model, _MARK: held.mark, _FILLED: held.filled}
        rows = [{_ID: id, _SCOPE: fact, _EMBEDDING: nowhere} for id, fact in facts.items()]
        with self._connection.asking() as client:
            client.upsert(held.name, rows, timeout=self._wait_s)

    def _read(self, name: str, read: Any) -> Any:
        """Read a collection, which a server may have to load first; None if it is gone."""
        with self._connection.asking(spared=(_NOT_FOUND, _NOT_LOADED)) as client:
            return read(client)
        with self._connection.asking(spared=(_NOT_FOUND,)) as client:
            client.load_collection(name, timeout=self._wait_s)
            return read(client)
        return None
