"""Writes the sources of an archive: what the store has stays as it is, the rest is added.

A source of the file is one of the store if it has the same scope, content and time; one with an id
of its own, or a document, whatever its time. One of the store that was changed since is still the
same, and keeps what it was changed to. Of several equal ones, each of the file is one of the store.
A source of which a part was forgotten before it was exported is one that has all parts of it.

One with an external id is that of the store with the same one, which stays as it is.

What was forgotten in the store, or has expired there, is added again: whoever loads a file wants
what is in it. But what has expired in the file too is not added a second time.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, func, insert, select

from agentmem_storage.archive.loading import Loaded, Loading, Ready
from agentmem_storage.archive.records import ArchivedSource
from agentmem_storage.errors import InputError, UnknownIdError
from agentmem_storage.metadata import metadata_json, read_metadata
from agentmem_storage.records import Scope
from agentmem_storage.sql.copies.archive_checks import scope_of
from agentmem_storage.sql.logs import audit
from agentmem_storage.sql.logs.former import Fingerprints, any_former
from agentmem_storage.sql.reading.sources import scope_id_of
from agentmem_storage.sql.schema import codec, sums, vector_sums
from agentmem_storage.sql.schema.tables import chunks, sources
from agentmem_storage.sql.where import metadata_values
from agentmem_storage.sql.where.expiry import has_expired
from agentmem_storage.sql.where.selection import id_list
from agentmem_storage.sql.writing import external, links
from agentmem_storage.sql.writing.inserts import insert_chunks, insert_scope, next_id, scope_words
from agentmem_storage.text import shown

_ALIKE = ("kind", "role", "name", "title", "uri", "chars")
_SCALARS = (
    *("kind", "role", "name", "title", "uri", "created_at", "added_at", "chars"),
    *("external_id", "expires_at"),
)


def match(
    connection: Connection, ready: Sequence[Ready], used: Iterable[int], now: int
) -> list[int | None]:
    """The id of the source in the store that each one is; None for those that are new.

    Args:
        connection: A transaction; one with the write lock if the answer is to remain true.
        ready: Sources of a file, in order.
        used: Ids of those that earlier sources of the file are.
        now: The current time, in microseconds since 1970: what has expired is not there.
    """
    taken = set(used)
    scope_ids = {scope: scope_id_of(connection, scope) for scope in map(_scope, ready)}
    stored = {
        id: _Stored(connection, id, [one for one in ready if scope_ids[_scope(one)] == id], now)
        for id in set(scope_ids.values())
        if id is not None
    }
    found: list[int | None] = []
    for one in ready:
        scope_id = scope_ids[_scope(one)]
        candidates = [] if scope_id is None else stored[scope_id].candidates(one)
        id = next((candidate for candidate in candidates if candidate not in taken), None)
        if id is not None:
            taken.add(id)
        found.append(id)
    return found


def load(
    connection: Connection, ready: Sequence[Ready], loading: Loading, now: int
) -> tuple[Loaded, Loading]:
    """Write the sources that the store does not have.

    Args:
        connection: A write transaction.
        ready: Sources of a file, in order, already checked.
        loading: What was loaded of the file before; it is not changed.
        now: As in `match`.

    Returns:
        The outcome, and what to add to ``loading`` once the transaction is committed.

    Raises:
        UnknownIdError: A source was taken for known, and has been forgotten in the meantime.
        InputError: Two of the file have one external id.
    """
    matched = match(connection, ready, loading.used, now)
    more = Loading(used={id for id in matched if id is not None})
    _learn_episodes(connection, ready, matched, more)
    fresh = [one for one, id in zip(ready, matched, strict=True) if id is None]
    if any(one.terms is None for one in fresh):
        raise UnknownIdError("a source that was known has been forgotten in the meantime")
    rows = _Rows(connection, loading, more, now)
    for one in fresh:
        rows.add(one)
    rows.insert()
    made = iter(rows.ids)
    ids = tuple(next(made) if id is None else id for id in matched)
    return Loaded(len(fresh), rows.chunks, len(ready) - len(fresh), ids), more


def load_links(connection: Connection, found: Iterable[tuple[int, int, float | None, int]]) -> None:
    """Write the links of an archive that the store does not have.

    Those that contradict the store's own, or of which a source has been forgotten, are left out.

    Args:
        connection: A write transaction.
        found: Ids of the old and of the new source, the score, and when the link was made.
    """
    for old, new, score, at in found:
        if score is not None:
            links.propose(connection, [(old, new, score)], at)
        else:
            with suppress(InputError, UnknownIdError):
                links.state(connection, old, new, at)


class _Stored:
    """The sources of a scope that may be some of a file's."""

    def __init__(
        self, connection: Connection, scope_id: int, ready: Sequence[Ready], now: int
    ) -> None:
        self._connection, self._scope_id, self._now = connection, scope_id, now
        self._expired: set[int] = set()
        named = [id for one in ready if (id := one.source.external_id) is not None]
        self._named = external.held(connection, scope_id, named, now)
        hashes = {h for one in ready if (h := one.source.content_hash) is not None}
        self._at: dict[tuple[bytes, int | None], list[int]] = defaultdict(list)
        self._read(sources.c.content_hash, {one: one for one in hashes})
        if any_former(connection, scope_id):
            prints = Fingerprints(connection)
            self._read(sources.c.former, {prints.of(one): one for one in hashes})

    def candidates(self, one: Ready) -> list[int]:
        """Ids of the sources that a source of the file may be, in order."""
        until = one.source.expires_at
        gone = until is not None and until <= self._now
        if one.source.external_id is not None and not gone:
            held = self._named.get(one.source.external_id)
            return [] if held is None else [held.id]
        found = self._alike(one)
        return found if gone else [id for id in found if id not in self._expired]

    def _alike(self, one: Ready) -> list[int]:
        """The same, those that have expired among them."""
        content = one.source.content_hash
        if content is None:
            return self._with_parts(one.source, timeless=one.timeless)
        return self._at[content, None if one.timeless else one.source.created_at]

    def _read(self, column: Any, wanted: dict[bytes, bytes]) -> None:
        expired = has_expired(self._now).label("expired")
        query = select(sources.c.id, sources.c.created_at, column.label("found"), expired).where(
            sources.c.scope_id == self._scope_id, column.is_not(None)
        )
        keys = sorted(wanted)
        for first in range(0, len(keys), 500):
            batch = query.where(column.in_(keys[first : first + 500])).order_by(sources.c.id)
            for row in self._connection.execute(batch):
                content = wanted[row.found]
                if row.expired:
                    self._expired.add(row.id)
                for at in ((content, None), (content, row.created_at)):
                    if row.id not in self._at[at]:
                        self._at[at].append(row.id)

    def _with_parts(self, source: ArchivedSource, *, timeless: bool) -> list[int]:
        """Sources that have all parts of one that is incomplete."""
        alike = select(sources.c.id, has_expired(self._now).label("expired")).where(
            sources.c.scope_id == self._scope_id,
            *(
                sources.c[name].is_not_distinct_from(getattr(source, name))
                for name in (*_ALIKE, *(() if timeless else ("created_at",)))
            ),
        )
        rows = self._connection.execute(alike.order_by(sources.c.id)).all()
        ids = [row.id for row in rows]
        self._expired.update(row.id for row in rows if row.expired)
        query = select(chunks.c.source_id, chunks.c.start, chunks.c.end, chunks.c.text_hash)
        parts = defaultdict(set)
        for id, *part in self._connection.execute(
            query.where(chunks.c.source_id.in_(id_list(ids)))
        ):
            parts[id].add(tuple(part))
        wanted = {(chunk.start, chunk.end, chunk.text_hash) for chunk in source.chunks}
        return [id for id in ids if wanted <= parts[id]]


class _Rows:
    """Collects the rows of new sources, and inserts them all at once."""

    def __init__(self, connection: Connection, loading: Loading, more: Loading, now: int) -> None:
        self._connection, self._now = connection, now
        self._known, self._more = loading, more
        self._prints = Fingerprints(connection)
        self._next_source = next_id(connection, sources)
        self._next_chunk = next_id(connection, chunks)
        self._scope_ids: dict[Scope, int] = {}
        self._occurrences: Counter[tuple[int, bytes]] = Counter()
        self._episodes: dict[int, int] = {}
        self._sources: list[dict[str, Any]] = []
        self._chunks: list[dict[str, Any]] = []
        self._terms: list[str] = []

    @property
    def ids(self) -> list[int]:
        """The ids of the sources collected, in order."""
        return [row["id"] for row in self._sources]

    @property
    def chunks(self) -> int:
        """Number of chunks collected."""
        return len(self._chunks)

    def add(self, one: Ready) -> None:
        """Make the rows of a source."""
        source, scope = one.source, _scope(one)
        scope_id = self._scope_id(scope)
        keys = [chunk.key for chunk in source.chunks]
        if one.embeddings is not None:
            keys = [codec.encode_embedding(embedding) for embedding in one.embeddings]
        made = [
            {
                "id": self._next_chunk + number,
                "source_id": self._next_source,
                "scope_id": scope_id,
                "ordinal": chunk.ordinal,
                "start": chunk.start,
                "end": chunk.end,
                "tokens": chunk.tokens,
                "fidelity": chunk.fidelity,
                "text_hash": chunk.text_hash,
                "key": key,
                "patch": chunk.patch,
                "latents": chunk.latents,
                "text": chunk.text,
                "episode": self._episode(scope, scope_id, chunk.episode),
            }
            for number, (chunk, key) in enumerate(zip(source.chunks, keys, strict=True))
        ]
        row = {
            "id": self._next_source,
            "scope_id": scope_id,
            **{name: getattr(source, name) for name in _SCALARS},
            # Written anew: of a key that stands there twice, SQLite and Python read another value.
            "metadata": metadata_json(read_metadata(source.metadata)),
            "content_hash": source.content_hash,
            "occurrence": self._occurrence(scope_id, source.content_hash),
            "former": self._prints.of(_content(source)) if source.changed else None,
        }
        if source.external_id is not None:
            self._claim(scope_id, source.external_id)
        row["vectors_sum"] = vector_sums.of_chunks(made)
        row["sums"] = sums.of_source(
            {**scope_words(scope), **row},
            ([chunk[name] for name in sums.CHUNK_FIELDS] for chunk in made),
        )
        self._more.used.add(self._next_source)
        self._next_source += 1
        self._next_chunk += len(made)
        self._sources.append(row)
        self._chunks += made
        self._terms += one.terms or ()

    def _claim(self, scope_id: int, external_id: str) -> None:
        """Make sure that no other source has an external id."""
        external.release(self._connection, scope_id, [external_id], self._now)
        held = external.held(self._connection, scope_id, [external_id], self._now)
        made = any(
            (row["scope_id"], row["external_id"]) == (scope_id, external_id)
            for row in self._sources
        )
        if held or made:
            raise InputError(f"two memories of the file have the external id {shown(external_id)}")

    def insert(self) -> None:
        """Insert what was collected."""
        if self._sources:
            self._connection.execute(insert(sources), self._sources)
            metadata_values.write(
                self._connection, {row["id"]: row["metadata"] for row in self._sources}
            )
            insert_chunks(self._connection, self._chunks, self._terms)
            audit.note(self._connection, "added", self.ids, self._now)

    def _scope_id(self, scope: Scope) -> int:
        if scope not in self._scope_ids:
            found = scope_id_of(self._connection, scope)
            self._scope_ids[scope] = (
                insert_scope(self._connection, scope) if found is None else found
            )
        return self._scope_ids[scope]

    def _occurrence(self, scope_id: int, content_hash: bytes | None) -> int:
        """One that no source of equal content has in the scope."""
        if content_hash is None:
            return 0
        key = scope_id, content_hash
        if key not in self._occurrences:
            taken = select(sources.c.occurrence).where(
                sources.c.scope_id == scope_id, sources.c.content_hash == content_hash
            )
            highest = taken.order_by(sources.c.occurrence.desc()).limit(1)
            found = self._connection.scalar(highest)
            self._occurrences[key] = 0 if found is None else found + 1
        self._occurrences[key] += 1
        return self._occurrences[key] - 1

    def _episode(self, scope: Scope, scope_id: int, number: int | None) -> int | None:
        """The number in the store of an episode of the file."""
        if number is None:
            return None
        key = scope, number
        known = self._more.episodes.get(key) or self._known.episodes.get(key)
        if known is None:
            if scope_id not in self._episodes:
                last = select(func.max(chunks.c.episode)).where(chunks.c.scope_id == scope_id)
                self._episodes[scope_id] = self._connection.scalar(last) or 0
            self._episodes[scope_id] += 1
            known = self._more.episodes[key] = self._episodes[scope_id]
        return known


def _learn_episodes(
    connection: Connection,
    ready: Sequence[Ready],
    matched: Sequence[int | None],
    more: Loading,
) -> None:
    """Note in which episodes of the store those of the file are that it has already."""
    ids = [id for id in matched if id is not None]
    if not ids:
        return
    query = select(chunks.c.source_id, chunks.c.ordinal, chunks.c.episode)
    rows = connection.execute(query.where(chunks.c.source_id.in_(id_list(ids))))
    stored = {(source_id, ordinal): episode for source_id, ordinal, episode in rows}
    for one, id in zip(ready, matched, strict=True):
        if id is not None:
            for chunk in one.source.chunks:
                episode = stored.get((id, chunk.ordinal))
                if chunk.episode is not None and episode is not None:
                    more.episodes.setdefault((_scope(one), chunk.episode), episode)


def _scope(one: Ready) -> Scope:
    return scope_of(one.source)


def _content(source: ArchivedSource) -> bytes:
    """What stands for the content of a source: its hash, or that of what is left of it."""
    if source.content_hash is not None:
        return source.content_hash
    return hashlib.sha256(b"".join(chunk.text_hash for chunk in source.chunks)).digest()
