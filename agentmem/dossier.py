"""`Dossier`: everything that a store holds on a person, as plain values."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentmem.context.hits import Chunk
from agentmem.context.load import load_chunks
from agentmem.errors import CorruptRecordError, InputError, StoreUnwritableError
from agentmem.ingest.encode import Progress
from agentmem.models.base import MemoryModel
from agentmem_storage.disk import as_path, make_private_file, sync
from agentmem_storage.interruptions import is_interruption
from agentmem_storage.records import AuditLine, Link, Quarantined, Scope, Selection
from agentmem_storage.store import Store


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything that a store holds in a scope; see `Memory.dossier`.

    Attributes:
        scope: The scope ids.
        made_at: When it was put together, in UTC.
        sources: Each message and document as plain values: its text, ids, times, speaker, title,
            metadata and memories, and what it supersedes, by source ids; what has expired too.
        quarantined: Damaged memories that were taken out of use.
        forgotten_places: Number of forgotten messages whose place in a conversation is kept.
        audit: The lines of the audit log; None if the store keeps none.
    """

    scope: Scope
    made_at: datetime
    sources: tuple[dict[str, Any], ...]
    quarantined: tuple[Quarantined, ...]
    forgotten_places: int
    audit: tuple[AuditLine, ...] | None

    @property
    def memories(self) -> int:
        """Number of memories that the messages and documents consist of."""
        return sum(len(source["memories"]) for source in self.sources)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **asdict(self.scope),
            "made_at": self.made_at.isoformat(),
            "sources": list(self.sources),
            "quarantined": [
                {"id": one.id, "why": one.why, "noted_at": one.noted_at.isoformat()}
                for one in self.quarantined
            ],
            "forgotten_places": self.forgotten_places,
            "audit": None if self.audit is None else [audit_values(one) for one in self.audit],
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a new JSON file that only its owner can read; return its path.

        Raises:
            InputError: there is something at ``path``.
            StoreUnwritableError: it cannot be written.
        """
        place = as_path(path, "the path of a file")
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"
        try:
            if not make_private_file(place):
                raise InputError(f"{str(path)!r:.500} exists already: give the path of a new file")
            place.write_text(text, encoding="utf-8")
            sync(place)
        except OSError as error:
            if is_interruption(error):
                raise
            raise StoreUnwritableError(
                f"cannot write {str(path)!r:.500}: {error.strerror}"
            ) from error
        return place


def make_dossier(
    store: Store, model: MemoryModel, scope: Scope, on_progress: Progress | None
) -> Dossier:
    """Put together everything that a store holds in a scope."""
    selection = Selection(scope, expired=None)
    of: dict[int, list[Chunk]] = defaultdict(list)
    total = 0 if on_progress is None else store.count(selection)
    for seen, chunk in enumerate(load_chunks(store, model, selection), start=1):
        of[chunk.source.id].append(chunk)
        if on_progress is not None:
            on_progress(seen, max(seen, total))
    ids = [chunk.id for chunks in of.values() for chunk in chunks]
    links = store.snapshot(lambda one: one.linked(ids)).links if ids else ()
    return Dossier(
        scope,
        datetime.now(UTC),
        tuple(_source(id, chunks, links) for id, chunks in of.items()),
        tuple(store.quarantined(scope)),
        store.forgotten_places(scope),
        tuple(store.audit_lines(scope)) if store.audited else None,
    )


def audit_values(line: AuditLine) -> dict[str, Any]:
    """A line of the audit log as plain values for JSON."""
    return {
        "id": line.id,
        "at": line.at.isoformat(),
        "op": line.op,
        **asdict(line.scope),
        "source": line.source,
        "ids": list(line.ids),
    }


def _source(id: int, chunks: list[Chunk], links: tuple[Link, ...]) -> dict[str, Any]:
    source = chunks[0].source
    texts = [_text(chunk) for chunk in chunks]
    return {
        "id": id,
        **asdict(source.scope),
        "external_id": source.external_id,
        "kind": source.kind,
        "role": source.role,
        "name": source.name,
        "title": source.title,
        "uri": source.uri,
        "created_at": source.created_at.isoformat(),
        "added_at": source.added_at.isoformat(),
        "expires_at": None if source.expires_at is None else source.expires_at.isoformat(),
        "metadata": dict(source.metadata),
        "text": None if None in texts else "".join(text or "" for text in texts),
        "memories": [
            {
                "id": chunk.id,
                "span": list(chunk.span),
                "sha256": chunk.text_hash.hex(),
                "damage": None if text is not None else "it cannot be decoded",
            }
            for chunk, text in zip(chunks, texts, strict=True)
        ],
        "supersedes": [_linked(link.old, link) for link in links if link.new == id],
        "superseded_by": [_linked(link.new, link) for link in links if link.old == id],
    }


def _linked(other: int, link: Link) -> dict[str, Any]:
    """The other end of a link; with a score, it was found by comparing the two."""
    return {"source": other, "score": link.score, "linked_at": link.linked_at.isoformat()}


def _text(chunk: Chunk) -> str | None:
    try:
        return chunk.text
    except CorruptRecordError:
        return None
