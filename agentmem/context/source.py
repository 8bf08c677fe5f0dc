"""`Source`: a message or document as a whole, put together from its chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agentmem.context.hits import Chunk
from agentmem.context.load import load_chunks
from agentmem.errors import UnknownIdError
from agentmem.models.base import MemoryModel
from agentmem_storage.numbers import as_int
from agentmem_storage.records import Scope, Selection, SourceKind
from agentmem_storage.store import Store
from agentmem_storage.text import shown


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A stored message or document.

    Attributes:
        id: Its id, as `Receipt.sources` and ``chunk.source.id`` have it.
        text: Its exact text; without the parts that were forgotten, if it is not complete, or that
            cannot be decrypted.
        complete: Whether nothing of it is missing.
        chunks: Its chunks, in the order of the text.
    """

    id: int
    text: str
    complete: bool
    chunks: tuple[Chunk, ...]

    @property
    def kind(self) -> SourceKind:
        """What kind of content it is."""
        return self.chunks[0].source.kind

    @property
    def external_id(self) -> str | None:
        """The id that the caller gave it."""
        return self.chunks[0].source.external_id

    @property
    def expires_at(self) -> datetime | None:
        """When it is to be in no result any more; None for never."""
        return self.chunks[0].source.expires_at

    @property
    def speaker(self) -> str:
        """Who speaks, as far as known; for a document, its title."""
        return self.chunks[0].speaker

    @property
    def role(self) -> str | None:
        """The speaker's role; None for documents."""
        return self.chunks[0].role

    @property
    def created_at(self) -> datetime:
        """When it was said or written, if that was given; otherwise when it was added."""
        return self.chunks[0].created_at

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata that the caller attached."""
        return self.chunks[0].metadata

    @property
    def scope(self) -> Scope:
        """Whose memory it is."""
        return self.chunks[0].scope

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        source = self.chunks[0].source
        return {
            "id": self.id,
            "external_id": self.external_id,
            "text": self.text,
            "complete": self.complete,
            "chunk_ids": [chunk.id for chunk in self.chunks],
            "kind": source.kind,
            "role": source.role,
            "name": source.name,
            "title": source.title,
            "uri": source.uri,
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at and self.expires_at.isoformat(),
            "metadata": dict(self.metadata),
            "user_id": self.scope.user_id,
            "agent_id": self.scope.agent_id,
            "session_id": self.scope.session_id,
        }


def load_source(store: Store, model: MemoryModel, scope: Scope, id: int | str) -> Source:
    """The message or document with an id; a string is an external one.

    Raises:
        UnknownIdError: the scope has none.
        InputError: several scopes have one of that external id.
        CorruptRecordError: a chunk of it is damaged.
    """
    if isinstance(id, str):
        id = store.source_named(id, scope)
    selection = Selection(scope, source_ids=(as_int(id, "a source id"),))
    chunks = sorted(load_chunks(store, model, selection), key=lambda chunk: chunk.span)
    if not chunks:
        store.check_present(source_id=as_int(id, "a source id"))
        raise UnknownIdError(
            f"no message or document of this scope has the source id {shown(id)}; the id of a "
            f"memory is for get(), which has its source id"
        )
    text = "".join(chunk.text for chunk in chunks)
    return Source(int(id), text, len(text) == chunks[0].source.chars, tuple(chunks))
