"""Stored chunks back to text: regenerated, patched, and checked against the hash on the row."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from agentmem.errors import CorruptRecordError
from agentmem.models.base import Latent, MemoryModel
from agentmem_storage.records import ChunkRecord


def text_hash(text: str) -> bytes:
    """SHA-256 of a text's UTF-8 bytes, as it stands on a chunk's row."""
    return hashlib.sha256(text.encode("utf-8")).digest()


def regenerated_texts(
    model: MemoryModel, records: Sequence[ChunkRecord], *, patched: bool = True
) -> list[str]:
    """What the latents say, in the order given; without patches it may differ from the chunk.

    Raises:
        CorruptRecordError: a patch does not fit its chunk.
    """
    latents = [Latent(record.latents, record.tokens, record.patch) for record in records]
    try:
        rows = model.regenerate(latents, patched=patched)
    except ValueError:
        if len(records) == 1:
            raise CorruptRecordError(
                f"memory {records[0].id} is damaged: its patch does not fit its latents; "
                f"`agentmem verify` lists all damage",
                id=records[0].id,
            ) from None
        # One bad patch among many: find it by itself, so that the error names it.
        return [text for record in records for text in regenerated_texts(model, [record])]
    return [model.tokenizer.decode(ids) for ids in rows]


def exact_texts(model: MemoryModel, records: Sequence[ChunkRecord]) -> list[str]:
    """The exact texts of chunks, in the order given: the kept text, or regenerated and checked.

    Raises:
        CorruptRecordError: a text does not match the hash that was taken when it was added.
    """
    bare = [record for record in records if record.text is None]
    found = dict(zip((r.id for r in bare), regenerated_texts(model, bare), strict=True))
    texts = [found[r.id] if r.text is None else r.text for r in records]
    for record, text in zip(records, texts, strict=True):
        if text_hash(text) != record.text_hash:
            raise CorruptRecordError(
                f"memory {record.id} is damaged: its text does not match the hash that was taken "
                f"when it was added; `agentmem verify` lists all damage",
                id=record.id,
            )
    return texts


class TextLoader:
    """Texts of a fixed set of chunks, decoded together the first time one is asked for."""

    def __init__(self, model: MemoryModel, records: Iterable[ChunkRecord]) -> None:
        self._model = model
        self._records = {record.id: record for record in records}
        self._texts: dict[int, str] = {}

    def text(self, id: int) -> str:
        """The exact text of a chunk.

        Raises:
            CorruptRecordError: its row is damaged.
        """
        if id not in self._texts:
            missing = [r for r in self._records.values() if r.id not in self._texts]
            try:
                texts = exact_texts(self._model, missing)
            except CorruptRecordError:
                # A damaged neighbour must not hide this one.
                missing = [self._records[id]]
                texts = exact_texts(self._model, missing)
            self._texts.update(zip((r.id for r in missing), texts, strict=True))
        return self._texts[id]
