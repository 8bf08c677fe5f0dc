"""Stored chunks back to text: regenerated, patched, and checked against the hash on the row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import CorruptRecordError
from agentmem.ingest.identity import text_hash
from agentmem.models.base import Latent, MemoryModel
from agentmem_storage.records import ChunkRecord


def regenerated_texts(
    model: MemoryModel, records: Sequence[ChunkRecord], *, patched: bool = True
) -> list[str]:
    """What the latents say, in the order given; without patches it may differ from the chunk.

    Raises:
        CorruptRecordError: a row is damaged.
    """
    for record in records:
        if record.damage is not None:
            raise CorruptRecordError(record.damage, id=record.id)
    latents = [Latent(record.latents, record.tokens, record.patch) for record in records]
    try:
        rows = model.codec.regenerate(latents, patched=patched)
    except ValueError:
        if len(records) > 1:
            # One bad row among many: find it by itself, so that the error names it.
            return [regenerated_texts(model, [one], patched=patched)[0] for one in records]
        raise _damaged(records[0].id, "its latents and its patch do not fit its tokens") from None
    return [model.tokenizer.decode(ids) for ids in rows]


def exact_texts(
    model: MemoryModel, records: Sequence[ChunkRecord]
) -> list[str | CorruptRecordError]:
    """The exact texts of chunks, in the order given; an error stands for one that is damaged."""
    kept = {record.id: record.text for record in records if record.text is not None}
    bare = [record for record in records if record.id not in kept]
    try:
        kept |= zip((record.id for record in bare), regenerated_texts(model, bare), strict=True)
    except CorruptRecordError as error:
        if len(records) > 1:
            return [exact_texts(model, [record])[0] for record in records]
        return [error]
    return [
        kept[record.id]
        if text_hash(kept[record.id]) == record.text_hash
        else _damaged(
            record.id, "its text does not match the hash that was taken when it was added"
        )
        for record in records
    ]


class Loader:
    """A fixed set of chunks; their texts are decoded together the first time one is asked for."""

    def __init__(self, model: MemoryModel, records: Iterable[ChunkRecord]) -> None:
        self._model = model
        self._records = list(records)
        self._texts: dict[int, str | CorruptRecordError] = {}

    @property
    def latents_fingerprint(self) -> str:
        """Of the model bundle that made the chunks."""
        return self._model.codec.fingerprint

    def text(self, id: int) -> str:
        """The exact text of a chunk.

        Raises:
            CorruptRecordError: its row is damaged.
        """
        if not self._texts:
            texts = exact_texts(self._model, self._records)
            self._texts = {r.id: text for r, text in zip(self._records, texts, strict=True)}
        found = self._texts[id]
        if isinstance(found, CorruptRecordError):
            raise CorruptRecordError(*found.args, id=id) from found
        return found

    def latents(self, record: ChunkRecord) -> NDArray[np.int8]:
        """The memory vectors of a chunk, int8 (M, D).

        Raises:
            CorruptRecordError: its row is damaged.
        """
        if record.damage is not None:
            raise CorruptRecordError(record.damage, id=record.id)
        try:
            return self._model.codec.unpack(record.latents, record.tokens)
        except ValueError:
            raise _damaged(record.id, "its latents do not fit its tokens") from None


def _damaged(id: int, what: str) -> CorruptRecordError:
    return CorruptRecordError(
        f"memory {id} is damaged: {what}; `agentmem verify` lists all damage", id=id
    )
