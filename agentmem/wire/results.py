"""Memories as JSON, and back to the dataclasses of the SDK.

Receipts and totals travel as their own fields. A memory travels as `Chunk.to_dict`, and with
``detail="full"`` also with all that makes it the same `Chunk` or `Hit` on the other side.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from agentmem.context.hits import Chunk, Hit, Occurrence, make_lazy
from agentmem.context.pack import Context
from agentmem.context.recall import Recall
from agentmem.context.source import Source
from agentmem.context.timeline import Episode
from agentmem.errors import CorruptRecordError
from agentmem_storage.records import SourceRecord

ChunkT = TypeVar("ChunkT", bound=Chunk)


class Vectors(BaseModel):
    """All that the SDK knows of a memory beside its plain fields; bytes are Base64."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    source: SourceRecord
    latents: bytes | None = Field(description="int8, of shape (M, D); null if damaged")
    latents_shape: list[int] | None = Field(min_length=2, max_length=2)
    latents_fingerprint: str
    embedding: bytes | None = Field(description="float32, little-endian, of shape (K,)")
    text_hash: bytes = Field(description="SHA-256")
    text_stored: bool
    patch_bytes: int


class MemoryView(BaseModel):
    """A memory: one chunk of a message or document."""

    model_config = ConfigDict(extra="allow")

    id: int
    text: str | None = Field(description="the exact text; null if the memory is damaged")
    damage: str | None = Field(None, description="what is wrong with a damaged memory")
    role: str | None
    name: str | None
    kind: str
    title: str | None
    created_at: datetime
    metadata: dict[str, Any]
    user_id: str | None
    agent_id: str | None
    session_id: str | None
    source_id: int
    external_id: str | None = Field(None, description="the id that its caller gave its source")
    expires_at: datetime | None = Field(None, description="from when on it is in no result")
    span: list[int] = Field(
        min_length=2, max_length=2, description="its place in its source, in code points"
    )
    tokens: int
    positions: int | None
    stored_bytes: int
    fidelity: float = Field(description="share of tokens that the latents alone regenerate")
    full: Vectors | None = None


class HitView(MemoryView):
    """A memory that a recall found."""

    score: float = Field(description="0 to 1, comparable within one recall")
    relevance: float = Field(description="0 to 1, how likely it answers the query")
    explain: dict[str, float] = Field(description="the components of the score")
    expanded_from: int | None
    occurrences: list[Occurrence] = Field(description="other times at which it was said")
    supersedes: list[int] = Field(description="ids of the memories that it supersedes")
    superseded_by: list[int] = Field(description="ids of those that supersede it")


class RecallView(BaseModel):
    """The hits of a recall, in order."""

    query: str
    hits: list[HitView]
    candidates: int
    relevance: float = Field(description="0 to 1, how likely the memories answer the query")
    unknown_keys: list[str]


class ListView(BaseModel):
    """One page of memories."""

    memories: list[MemoryView]
    next: str | None = Field(description="the `after` of the next page; null if this is the last")


class SourceView(BaseModel):
    """A message or document as a whole."""

    model_config = ConfigDict(extra="allow")

    id: int
    text: str
    complete: bool = Field(description="whether nothing of it was forgotten")
    chunk_ids: list[int]
    chunks: list[MemoryView] = Field(default_factory=list, description='with detail="full"')


class EpisodeView(BaseModel):
    """A run of memories that are close in time and topic."""

    started_at: datetime
    ended_at: datetime
    newest: int = Field(description="id of the memory added last: the `before` of earlier episodes")
    memories: list[MemoryView]


class EpisodeList(BaseModel):
    """Episodes, the last added first."""

    episodes: list[EpisodeView]


class HistoryView(BaseModel):
    """Messages or documents that supersede each other, the first of them first."""

    sources: list[SourceView]


class StatsView(BaseModel):
    """Totals of a scope, or of the complete store; see `agentmem.Stats`."""

    memories: int
    sources: int
    scopes: int
    tokens: int
    positions: int
    latent_bytes: int
    patch_bytes: int
    embedding_bytes: int
    text_bytes: int
    file_bytes: int | None
    states_bytes: int | None
    fidelity: list[list[float]] = Field(description="[lower edge of the bin, memories]")
    model: str
    fingerprint: str
    bytes_per_token: float


class ContextView(BaseModel):
    """Memories for a prompt."""

    text: str = Field(description="dated lines in one block; empty if there are none")
    messages: list[dict[str, Any]] = Field(description="the block as a message, or none")
    ids: list[int]
    tokens: int
    left_out: int
    repeats: int
    relevance: float


def memory_view(chunk: Chunk, *, full: bool) -> MemoryView:
    """A chunk or hit as JSON values; a damaged one says so."""
    kind = HitView if isinstance(chunk, Hit) else MemoryView
    try:
        values = chunk.to_dict()
    except CorruptRecordError as error:
        values = _damaged(chunk) | {"damage": str(error)}
    return kind.model_validate(values | {"full": _vectors(chunk) if full else None})


def recall_view(recall: Recall, *, full: bool) -> RecallView:
    """A recall as JSON values."""
    return RecallView(
        query=recall.query,
        hits=[memory_view(hit, full=full) for hit in recall],  # type: ignore[misc]
        candidates=recall.candidates,
        relevance=recall.relevance,
        unknown_keys=list(recall.unknown_keys),
    )


def source_view(source: Source, *, full: bool) -> SourceView:
    """A source as JSON values."""
    chunks = [memory_view(one, full=True) for one in source.chunks] if full else []
    return SourceView.model_validate(source.to_dict() | {"chunks": chunks})


def episode_view(episode: Episode, *, full: bool) -> EpisodeView:
    """An episode as JSON values."""
    return EpisodeView(
        started_at=episode.started_at,
        ended_at=episode.ended_at,
        newest=episode.newest,
        memories=[memory_view(one, full=full) for one in episode.chunks],
    )


def context_view(context: Context, relevance: float, format: Any) -> ContextView:
    """A context as JSON values."""
    return ContextView(
        text=context.to_text(),
        messages=context.to_messages(format),
        ids=[hit.id for hit in context.hits],
        tokens=context.tokens,
        left_out=context.left_out,
        repeats=context.repeats,
        relevance=relevance,
    )


def read_chunk(view: MemoryView) -> Chunk:
    """The chunk that was sent with full detail."""
    return _read(Chunk, view, {})


def read_recall(view: RecallView) -> Recall:
    """The recall that was sent with full detail."""
    hits = [
        _read(
            Hit,
            hit,
            {
                "score": hit.score,
                "relevance": hit.relevance,
                "explain": hit.explain,
                "expanded_from": hit.expanded_from,
                "occurrences": tuple(hit.occurrences),
                "supersedes": tuple(hit.supersedes),
                "superseded_by": tuple(hit.superseded_by),
            },
        )
        for hit in view.hits
    ]
    return Recall(
        view.query, tuple(hits), view.candidates, view.relevance, tuple(view.unknown_keys)
    )


def read_source(view: SourceView) -> Source:
    """The source that was sent with full detail."""
    return Source(view.id, view.text, view.complete, tuple(map(read_chunk, view.chunks)))


def read_episode(view: EpisodeView) -> Episode:
    """The episode that was sent with full detail."""
    return Episode(tuple(map(read_chunk, view.memories)))


class _Damaged:
    """Raises what the other side raised; see `agentmem.context.hits.FieldLoader`."""

    def __init__(self, message: str) -> None:
        self._message = message

    def load(self, id: int, field: str) -> Any:
        raise CorruptRecordError(self._message, id=id)


def _read(kind: type[ChunkT], view: MemoryView, more: dict[str, Any]) -> ChunkT:
    full = view.full
    assert full is not None, "sent without full detail"
    values: dict[str, Any] = {
        "id": view.id,
        "source": full.source,
        "span": (view.span[0], view.span[1]),
        "tokens": view.tokens,
        "fidelity": view.fidelity,
        "latents_fingerprint": full.latents_fingerprint,
        "embedding": None if full.embedding is None else _floats(full.embedding),
        "text_hash": full.text_hash,
        "text_stored": full.text_stored,
        "stored_bytes": view.stored_bytes,
        "patch_bytes": full.patch_bytes,
    }
    if view.text is not None:
        values["text"] = view.text
    if view.positions is not None:
        values["positions"] = view.positions
    if full.latents is not None and full.latents_shape is not None:
        values["latents"] = np.frombuffer(full.latents, np.int8).reshape(full.latents_shape)
    return make_lazy(kind, values | more, _Damaged(view.damage) if view.damage else None)


def _floats(data: bytes) -> NDArray[np.float32]:
    return np.frombuffer(data, "<f4").astype(np.float32)


def _vectors(chunk: Chunk) -> Vectors:
    latents: NDArray[np.int8] | None
    try:
        latents = chunk.latents
    except CorruptRecordError:
        latents = None
    return Vectors(
        source=chunk.source,
        latents=None if latents is None else latents.tobytes(),
        latents_shape=None if latents is None else list(latents.shape),
        latents_fingerprint=chunk.latents_fingerprint,
        embedding=None if chunk.embedding is None else chunk.embedding.astype("<f4").tobytes(),
        text_hash=chunk.text_hash,
        text_stored=chunk.text_stored,
        patch_bytes=chunk.patch_bytes,
    )


def _damaged(chunk: Chunk) -> dict[str, Any]:
    """What can be read of a damaged chunk."""
    source = chunk.source
    found: dict[str, Any] = {
        "id": chunk.id,
        "text": None,
        "role": source.role,
        "name": source.name,
        "kind": source.kind,
        "title": source.title,
        "created_at": source.created_at,
        "metadata": dict(source.metadata),
        "user_id": source.scope.user_id,
        "agent_id": source.scope.agent_id,
        "session_id": source.scope.session_id,
        "source_id": source.id,
        "span": list(chunk.span),
        "tokens": chunk.tokens,
        "positions": None,
        "stored_bytes": chunk.stored_bytes,
        "fidelity": chunk.fidelity,
    }
    if isinstance(chunk, Hit):
        found |= {
            "score": chunk.score,
            "relevance": chunk.relevance,
            "explain": dict(chunk.explain),
            "expanded_from": chunk.expanded_from,
            "occurrences": chunk.occurrences,
            "supersedes": list(chunk.supersedes),
            "superseded_by": list(chunk.superseded_by),
        }
    return found
