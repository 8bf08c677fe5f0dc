"""Results of writing and checking: frozen, printable receipts and statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from agentmem_storage.records import FIDELITY_EDGES, NewSource, Quarantined, StoreStats, Written
from agentmem_storage.sizes import stored_sizes

Changed = Literal["nothing", "embeddings", "latents"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two memories that seem to contradict each other, see `Memory.conflicts`.

    Attributes:
        old: Id of the earlier memory; of a document, its first chunk.
        new: Id of the later one, which seems to supersede it.
        score: How likely it does, 0 to 1.
    """

    old: int
    new: int
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of one `Memory.add`; its memories can be recalled immediately.

    Attributes:
        ids: The chunks of the added content, in order; for a duplicate, those of the existing
            memory.
        sources: One id per message part or document, in order, without those skipped.
        duplicates: The ids among ``ids`` that were not written, because they already existed or
            occur twice in the call.
        replaced: The ids among ``ids`` that are in the place of what was stored under the same
            external id, or that have its new metadata or time of expiry.
        skipped: Number of non-text blocks by type; "blank" counts messages without text, and
            "forgotten" those of a transcript that were forgotten and are not stored again,
            "expired" those whose time to be kept is over.
        tokens: Tokens of the new chunks.
        positions: Decoder positions that their latents take.
        fidelity: Share of those tokens that the latents alone regenerate; 1.0 if nothing is new.
        latent_bytes: Bytes of their latents.
        patch_bytes: Bytes of the corrections that make them exact.
        stored_bytes: Bytes of their rows: latents, patches, embeddings and stored text.
        conflicts: Memories that seem to contradict each other, and one of which is new.
    """

    ids: tuple[int, ...]
    sources: tuple[int, ...]
    duplicates: tuple[int, ...]
    replaced: tuple[int, ...]
    skipped: Mapping[str, int]
    tokens: int
    positions: int
    fidelity: float
    latent_bytes: int
    patch_bytes: int
    stored_bytes: int
    conflicts: tuple[Conflict, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def write_receipt(
    written: Sequence[Written],
    new: Sequence[NewSource],
    *,
    skipped: Mapping[str, int] | None = None,
    conflicts: Sequence[Conflict] = (),
) -> Receipt:
    """The receipt of a write.

    Args:
        written: Where each part of the content is stored, in order, including repeats.
        new: The sources that were newly written.
        skipped: Number of non-text blocks by type.
        conflicts: What the new sources seem to contradict.
    """
    chunks = [chunk for source in new for chunk in source.chunks]
    tokens = sum(chunk.tokens for chunk in chunks)
    right = sum(chunk.fidelity * chunk.tokens for chunk in chunks)
    sizes = [stored_sizes(chunk) for chunk in chunks]
    seen: set[int] = set()
    ids: list[int] = []
    duplicates: list[int] = []
    counts = dict(skipped or {})
    if gone := sum(1 for one in written if not one.chunk_ids):
        counts["forgotten"] = gone
    written = [one for one in written if one.chunk_ids]
    for one in written:
        repeated = (one.duplicate and not one.replaced) or one.chunk_ids[0] in seen
        duplicates += one.chunk_ids if repeated else ()
        ids += one.chunk_ids
        seen.update(one.chunk_ids)
    return Receipt(
        ids=tuple(ids),
        sources=tuple(one.source_id for one in written),
        duplicates=tuple(duplicates),
        replaced=tuple(id for one in written if one.replaced for id in one.chunk_ids),
        skipped=counts,
        tokens=tokens,
        positions=sum(chunk.positions for chunk in chunks),
        fidelity=right / tokens if tokens else 1.0,
        latent_bytes=sum(size.latents for size in sizes),
        patch_bytes=sum(size.patch for size in sizes),
        stored_bytes=sum(size.total for size in sizes),
        conflicts=tuple(conflicts),
    )


@dataclass(frozen=True, slots=True)
class ForgetReceipt:
    """The result of one `Memory.forget`.

    Attributes:
        ids: The chunks that were deleted, or would be.
        sources: Number of sources deleted because they had no other chunk; 0 in a dry run.
        dry_run: Whether nothing was deleted.
        purged: Whether every byte has been removed from the files. False if another process was
            reading an older state, or the store was opened with ``purge="later"``; see
            `Memory.purge`. Always False in PostgreSQL, whose log and free space may have bytes, and
            beside a Milvus, which deletes its files later.
        unknown_keys: If nothing matched, the metadata keys of the filter that no memory of the
            scope has, perhaps misspelled.
    """

    ids: tuple[int, ...]
    sources: int
    dry_run: bool
    purged: bool
    unknown_keys: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Damage:
    """A problem found by `Memory.verify`; ``id`` is None if it does not concern one chunk."""

    id: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `Memory.verify`.

    Attributes:
        checked: Number of chunks whose text was decoded and compared with its hash; if nothing was
            decoded, of those whose rows were checked.
        damage: The problems found.
        decoded: Whether texts were decoded.
        quarantined: What an earlier `Memory.repair` took out of use; it is no damage any more.
    """

    checked: int
    damage: tuple[Damage, ...]
    decoded: bool = True
    quarantined: tuple[Quarantined, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.damage

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"ok": self.ok, **asdict(self), "quarantined": _listed(self.quarantined)}


def _listed(quarantined: Sequence[Quarantined]) -> list[dict[str, Any]]:
    """Plain values for JSON."""
    return [{**asdict(one), "noted_at": one.noted_at.isoformat()} for one in quarantined]


@dataclass(frozen=True, slots=True)
class Repair:
    """The result of `Memory.repair`.

    Attributes:
        damage: What was wrong.
        rebuilt: What was made again, in words.
        embedded: Ids of the memories that got their embedding again, from their text.
        quarantined: What could not be mended and was taken out of use now.
        left: What is still wrong, such as torn pages: restore a backup.
    """

    damage: tuple[Damage, ...]
    rebuilt: tuple[str, ...] = ()
    embedded: tuple[int, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    left: tuple[Damage, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong any more."""
        return not self.left

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"ok": self.ok, **asdict(self), "quarantined": _listed(self.quarantined)}


@dataclass(frozen=True, slots=True)
class BackupReceipt:
    """The result of `Memory.backup`.

    Attributes:
        path: The folder of the copy, which `Memory` opens.
        memories: Number of chunks in it.
        file_bytes: Size of its database file.
    """

    path: Path
    memories: int
    file_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, slots=True)
class IncrementReceipt:
    """The result of `Memory.increment`.

    Attributes:
        path: The folder of the increment.
        file_bytes: Size of what is in it.
        full_bytes: Size of the backup that it stands for.
    """

    path: Path
    file_bytes: int
    full_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, slots=True)
class ExportReceipt:
    """The result of `Memory.export`.

    Attributes:
        path: The file, which `Memory.load` reads.
        memories: Number of chunks in it.
        sources: Number of their messages and documents.
        file_bytes: Size of the file.
    """

    path: Path
    memories: int
    sources: int
    file_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, slots=True)
class LoadReceipt:
    """The result of `Memory.load`.

    Attributes:
        memories: Number of chunks that were added.
        sources: Number of their messages and documents.
        duplicates: Number of messages and documents that the store had already.
        reembedded: Whether new embeddings were made, because the file's are of another embedder.
    """

    memories: int
    sources: int
    duplicates: int
    reembedded: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Preparation:
    """The result of `Memory.prepare`.

    Attributes:
        made: How many memories a reader's states were made of now.
        present: Of how many there were states already.
        left_out: How many have none: there was no room for them, they are longer than the reader's
            context, or they have been forgotten meanwhile.
        damaged: Ids of those that cannot be read.
    """

    made: int
    present: int
    left_out: int
    damaged: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ScopeUse:
    """One scope that has memories, exactly as given on writing, see `Memory.scopes`.

    Attributes:
        user_id: Whose memories they are; None if unspecified.
        agent_id: Which agent's.
        session_id: Which conversation's.
        memories: Number of chunks.
        sources: Number of messages and documents.
        last_added: When something was last added, in UTC; None if that is damaged.
    """

    user_id: str | None
    agent_id: str | None
    session_id: str | None
    memories: int
    sources: int
    last_added: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        last = None if self.last_added is None else self.last_added.isoformat()
        return {**asdict(self), "last_added": last}


@dataclass(frozen=True, slots=True)
class Stats:
    """Totals of a store, or of a scope in it.

    Attributes:
        memories: Number of chunks.
        sources: Number of messages and documents.
        scopes: Number of distinct scopes.
        tokens: Tokens that the latents encode.
        positions: Decoder positions that the latents take.
        latent_bytes: Bytes of latents.
        patch_bytes: Bytes of patches.
        embedding_bytes: Bytes of embeddings.
        text_bytes: UTF-8 bytes of stored texts.
        file_bytes: Size of all files of the store, including the lexical index and the index cache,
            but not the cache of states; None for a scope.
        states_bytes: Size of the cache of readers' states, see `Memory.prepare`; None for a scope.
        fidelity: Number of chunks by fidelity, as ``(lower edge of the bin, chunks)``.
        model: Name of the model bundle.
        fingerprint: The bundle's fingerprint, to which the store is bound.
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
    file_bytes: int | None
    states_bytes: int | None
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


def make_stats(found: StoreStats, model: str, fingerprint: str) -> Stats:
    """The store's totals as the SDK shows them, with the name and fingerprint of the bundle."""
    return Stats(
        memories=found.chunks,
        sources=found.sources,
        scopes=found.scopes,
        tokens=found.tokens,
        positions=found.positions,
        latent_bytes=found.latent_bytes,
        patch_bytes=found.patch_bytes,
        embedding_bytes=found.embedding_bytes,
        text_bytes=found.text_bytes,
        file_bytes=found.file_bytes,
        states_bytes=found.states_bytes,
        fidelity=tuple(zip(FIDELITY_EDGES, found.fidelity, strict=True)),
        model=model,
        fingerprint=fingerprint,
    )


@dataclass(frozen=True, slots=True)
class Migration:
    """The result of `Memory.migrate`.

    Attributes:
        changed: What was made again: ``nothing``, if the store was bound to the model already;
            ``embeddings`` alone; or ``latents`` too, with their patches.
        before: Totals of the store as it was.
        after: Its totals now; ``fidelity`` has what the latents alone regenerate.
        split: Ids of the memories that were too long for the new bundle. They keep their ids for
            their beginnings, the rest has new ones.
        resumed: How many memories an interrupted migration had encoded already.
        kept: The folder of a copy of the old store; None if there is none.
    """

    changed: Changed
    before: Stats
    after: Stats
    split: tuple[int, ...] = ()
    resumed: int = 0
    kept: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "changed": self.changed,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "split": list(self.split),
            "resumed": self.resumed,
            "kept": None if self.kept is None else str(self.kept),
        }
