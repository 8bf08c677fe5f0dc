"""What writing and checking give back: frozen, printable, and plain on request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agentmem_storage.records import NewSource, Written
from agentmem_storage.sizes import stored_sizes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one `Memory.add`; everything in it can be recalled already.

    Attributes:
        ids: The chunks that hold what was added, in order; a duplicate's ids are those of the
            memory that was there before.
        sources: One id for each message part or document, in order.
        duplicates: The ids among ``ids`` that were not written now: they were there before, or
            the call says the same twice.
        skipped: Blocks that are not text, counted by type.
        tokens: Tokens of the new chunks.
        positions: Decoder positions that their latents take.
        fidelity: Share of those tokens that the latents alone regenerate; 1.0 if nothing is new.
        latent_bytes: Bytes of their latents.
        patch_bytes: Bytes of the corrections that make them exact.
        stored_bytes: Bytes of their rows: latents, patches, embeddings and kept text.
    """

    ids: tuple[int, ...]
    sources: tuple[int, ...]
    duplicates: tuple[int, ...]
    skipped: Mapping[str, int]
    tokens: int
    positions: int
    fidelity: float
    latent_bytes: int
    patch_bytes: int
    stored_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def write_receipt(
    places: Sequence[Written], new: Sequence[NewSource], *, skipped: Mapping[str, int] | None = None
) -> Receipt:
    """The receipt of a write.

    Args:
        places: Where each part of the content stands now, in order; repeated where it repeats.
        new: The sources that were written.
        skipped: Blocks that are not text, counted by type.
    """
    chunks = [chunk for source in new for chunk in source.chunks]
    tokens = sum(chunk.tokens for chunk in chunks)
    right = sum(chunk.fidelity * chunk.tokens for chunk in chunks)
    sizes = [stored_sizes(chunk) for chunk in chunks]
    seen: set[int] = set()
    ids: list[int] = []
    duplicates: list[int] = []
    for place in places:
        repeated = place.duplicate or place.chunk_ids[0] in seen
        duplicates += place.chunk_ids if repeated else ()
        ids += place.chunk_ids
        seen.update(place.chunk_ids)
    return Receipt(
        ids=tuple(ids),
        sources=tuple(place.source_id for place in places),
        duplicates=tuple(duplicates),
        skipped=dict(skipped or {}),
        tokens=tokens,
        positions=sum(chunk.positions for chunk in chunks),
        fidelity=right / tokens if tokens else 1.0,
        latent_bytes=sum(size.latents for size in sizes),
        patch_bytes=sum(size.patch for size in sizes),
        stored_bytes=sum(size.total for size in sizes),
    )


@dataclass(frozen=True, slots=True)
class ForgetReceipt:
    """What one `Memory.forget` took away, or would take with ``dry_run``.

    Attributes:
        ids: The chunks.
        sources: How many sources went with them, having no other chunk; 0 in a dry run.
        dry_run: Whether nothing was done.
        purged: Whether every byte has left the files already. False if another process kept
            reading an older state: what is left goes at the next `forget`, or when the last
            process closes the store.
    """

    ids: tuple[int, ...]
    sources: int
    dry_run: bool
    purged: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that `Memory.verify` found wrong; ``id`` is None if it is no one chunk's."""

    id: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `Memory.verify` found.

    Attributes:
        checked: Chunks whose text was regenerated and compared with its hash.
        damage: What is wrong, by chunk.
    """

    checked: int
    damage: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Stats:
    """Sums over a store.

    Attributes:
        memories: Number of chunks.
        sources: Number of messages and documents.
        scopes: Number of different scopes.
        tokens: Tokens that the latents stand for.
        positions: Decoder positions that the latents take.
        latent_bytes: Bytes of latents.
        patch_bytes: Bytes of patches.
        embedding_bytes: Bytes of embeddings.
        text_bytes: UTF-8 bytes of kept texts.
        file_bytes: Size of all files of the store: lexical terms and the index cache included.
        fidelity: Number of chunks by fidelity, as ``(lower end of the bin, chunks)``.
        model: Name of the model bundle.
        fingerprint: The bundle's fingerprint, to which the store is pinned.
    """

    memories: int
    sources: int
    scopes: int
    tokens: int
    positions: int
    latent_bytes: int
    patch_bytes: int
    embedding_bytes: int
    text_bytes: int
    file_bytes: int
    fidelity: tuple[tuple[float, int], ...]
    model: str
    fingerprint: str

    @property
    def bytes_per_token(self) -> float:
        """Stored bytes of content (latents and patches) per token; 0.0 for an empty store."""
        return (self.latent_bytes + self.patch_bytes) / self.tokens if self.tokens else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "bytes_per_token": self.bytes_per_token}
