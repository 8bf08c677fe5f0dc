"""Chunks and hits: the plain values that reading and recalling return.

A hit holds its text, its latents and plain fields; it can be pickled, copied, printed and passed
to `dataclasses.asdict`. Text and latents are decoded on first access, because most callers read
only a few of the hits they get. Until then a hit refers to the loader that decodes it; pickling
and copying decode first and leave the loader behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import CorruptRecordError
from agentmem_storage.records import Scope, SourceRecord

# Fields that may be left empty until they are first read.
LAZY_FIELDS = frozenset({"text", "latents", "positions"})
_FIRST_WORDS = 60


class FieldLoader(Protocol):
    """Computes the lazy fields of chunks."""

    def load(self, id: int, field: str) -> Any:
        """The value of one of `LAZY_FIELDS`.

        Raises:
            CorruptRecordError: the row is damaged.
        """


class _Damaged:
    """Stands in for the loader of a copied chunk whose row is damaged."""

    def __init__(self, errors: Mapping[str, CorruptRecordError]) -> None:
        self._errors = errors

    def load(self, id: int, field: str) -> Any:
        error = self._errors[field]
        raise CorruptRecordError(*error.args, id=id) from error


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Another time at which the same speaker said the text of a hit.

    Attributes:
        id: The chunk's id.
        created_at: When it was said.
    """

    id: int
    created_at: datetime


class _LazyFields:
    """Lets a slotted dataclass leave fields empty and fill them on first access."""

    __slots__ = ("_loader",)
    _loader: FieldLoader | None
    id: int

    if not TYPE_CHECKING:  # for type checkers, only declared fields exist

        def __getattr__(self, name: str) -> Any:
            # Python calls this only for slots that are still empty.
            if name not in LAZY_FIELDS or (loader := self._loader) is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = loader.load(self.id, name)
            object.__setattr__(self, name, value)
            if not any(_is_empty(self, field) for field in LAZY_FIELDS):
                object.__setattr__(self, "_loader", None)
            return value

    def __reduce__(self) -> tuple[Any, ...]:
        values: dict[str, Any] = {}
        errors: dict[str, CorruptRecordError] = {}
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            try:
                values[field.name] = getattr(self, field.name)
            except CorruptRecordError as error:
                errors[field.name] = CorruptRecordError(*error.args, id=error.id)
        return make_lazy, (type(self), values, _Damaged(errors) if errors else None)


def _is_empty(chunk: _LazyFields, field: str) -> bool:
    """Whether a field has not been loaded; unlike `hasattr`, does not load it."""
    try:
        object.__getattribute__(chunk, field)
    except AttributeError:
        return True
    return False


LazyT = TypeVar("LazyT", bound=_LazyFields)


def make_lazy(kind: type[LazyT], values: Mapping[str, Any], loader: FieldLoader | None) -> LazyT:
    """A chunk or hit whose missing fields a loader fills on first access.

    Args:
        kind: `Chunk` or `Hit`.
        values: Its fields; any of `LAZY_FIELDS` may be missing.
        loader: What computes the missing ones; None if there are none.
    """
    made = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    object.__setattr__(made, "_loader", loader)
    return made


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Chunk(_LazyFields):
    """A stored chunk of one message or document.

    Reading ``text``, ``latents`` or ``positions`` raises CorruptRecordError if the row is damaged.

    Attributes:
        id: The chunk's id; ids of forgotten chunks are never reused.
        text: The exact text, decoded from the latents and verified.
        source: The message or document it belongs to.
        span: Start and end (exclusive) of the chunk in its source, in code points.
        tokens: Number of tokens that the latents encode.
        positions: Decoder positions that the latents take instead of their tokens: M.
        fidelity: Share of the tokens that the latents regenerate without the patch.
        latents: The memory vectors, int8 (M, D).
        latents_fingerprint: Identifies the autoencoder that made the latents and can decode them.
        embedding: The search embedding, float32 (K,), unit norm; None if it is damaged.
        text_hash: SHA-256 of the UTF-8 text.
        text_stored: Whether the text is stored next to the latents.
        stored_bytes: Bytes of the row's latents, patch, embedding and stored text.
        patch_bytes: Bytes of the patch.
    """

    id: int
    text: str
    source: SourceRecord
    span: tuple[int, int]
    tokens: int
    positions: int
    fidelity: float
    latents: NDArray[np.int8]
    latents_fingerprint: str
    embedding: NDArray[np.float32] | None
    text_hash: bytes
    text_stored: bool
    stored_bytes: int
    patch_bytes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "_loader", None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._summary()})"

    def _summary(self) -> str:
        try:
            line = " ".join(self.text.split())
        except CorruptRecordError:
            words = "<damaged>"
        else:
            cut = len(line) > _FIRST_WORDS
            words = repr(f"{line[: _FIRST_WORDS - 1].rstrip()}…" if cut else line)
        return f"id={self.id}, {self.speaker!r}, {self.created_at:%Y-%m-%d %H:%M}, {words}"

    @property
    def speaker(self) -> str:
        """Who speaks, as far as known; for a document, its title."""
        return self.name or self.source.title or self.role or self.source.kind

    @property
    def role(self) -> str | None:
        """The speaker's role; None for documents."""
        return self.source.role

    @property
    def name(self) -> str | None:
        """The speaker's name."""
        return self.source.name

    @property
    def created_at(self) -> datetime:
        """When it was said or written, if that was given; otherwise when it was added."""
        return self.source.created_at

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata that the caller attached.

        Raises:
            CorruptRecordError: the row is damaged.
        """
        if self.source.damage is not None:
            raise CorruptRecordError(self.source.damage, id=self.id)
        return self.source.metadata

    @property
    def scope(self) -> Scope:
        """Whose memory it is."""
        return self.source.scope

    @property
    def order(self) -> tuple[datetime, int, int]:
        """A sort key: the order in which things were said, and inside a document that of its text.

        Of messages of one time, the one that was written first comes first; an update changes
        nothing about that.
        """
        return self.created_at, self.source.id, self.span[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, text included."""
        return {
            "id": self.id,
            "text": self.text,
            "role": self.role,
            "name": self.name,
            "kind": self.source.kind,
            "title": self.source.title,
            "created_at": self.created_at.isoformat(),
            "metadata": dict(self.metadata),
            "user_id": self.scope.user_id,
            "agent_id": self.scope.agent_id,
            "session_id": self.scope.session_id,
            "source_id": self.source.id,
            "external_id": self.source.external_id,
            "expires_at": self.source.expires_at and self.source.expires_at.isoformat(),
            "span": list(self.span),
            "tokens": self.tokens,
            "positions": self.positions,
            "stored_bytes": self.stored_bytes,
            "fidelity": self.fidelity,
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class Hit(Chunk):
    """A chunk that a recall returned.

    Attributes:
        score: 0 to 1, higher is better; comparable only within one recall. See
            `agentmem.retrieval.fusion` for the formula.
        relevance: How likely the hit answers the query, 0 to 1; comparable across recalls and
            stores. See `agentmem.retrieval.relevance`. 0 if no search compared it with the query,
            as for what ``pack(policy="auto")`` adds.
        explain: The components of the score, by name.
        expanded_from: Id of the hit that added it through ``expand=``; None if the search found
            it. An added hit has the score that the search gave it, or 0.
        occurrences: The other times at which the same speaker said exactly this, by time, as far as
            the search met them; the hit is the best of all.
        supersedes: Ids of the memories of the scope that this one supersedes directly, or seems to,
            see `agentmem.Memory.supersede` and `agentmem.Memory.conflicts`; the first of each
            message or document.
        superseded_by: Ids of those that supersede it, likewise; empty if it is the newest.
    """

    score: float
    relevance: float = 0.0
    explain: Mapping[str, float]
    expanded_from: int | None = None
    occurrences: tuple[Occurrence, ...] = ()
    supersedes: tuple[int, ...] = ()
    superseded_by: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Hit(score={self.score:.3f}, relevance={self.relevance:.2f}, {self._summary()})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, text and score included."""
        # The zero-argument form of super() does not work in a slots dataclass.
        return {
            "score": self.score,
            "relevance": self.relevance,
            "explain": dict(self.explain),
            "expanded_from": self.expanded_from,
            "occurrences": [
                {"id": one.id, "created_at": one.created_at.isoformat()} for one in self.occurrences
            ],
            "supersedes": list(self.supersedes),
            "superseded_by": list(self.superseded_by),
            **Chunk.to_dict(self),
        }
