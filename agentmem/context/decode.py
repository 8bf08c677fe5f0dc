"""Stored chunks back to text: regenerated, patched, and verified against the row's hash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentmem.errors import CorruptRecordError
from agentmem.ingest.identity import text_hash
from agentmem.models.base import Latent, MemoryModel
from agentmem_storage.records import ChunkRecord


def regenerated_texts(
    model: MemoryModel, records: Sequence[ChunkRecord], *, patched: bool = True
) -> list[str]:
    """Decode chunks from their latents, in the given order; without patches only approximately.

    Raises:
        CorruptRecordError: a row is damaged.
    """
    if not records:
        return []  # and no model is loaded
    for record in records:
        if record.damage is not None:
            raise CorruptRecordError(record.damage, id=record.id)
    latents = [Latent(record.latents, record.tokens, record.patch) for record in records]
    try:
        rows = model.codec.regenerate(latents, patched=patched)
    except ValueError:
        if len(records) > 1:
            # Decode one by one, so that the error names the damaged row.
            return [regenerated_texts(model, [one], patched=patched)[0] for one in records]
        raise _damaged(records[0].id, "its latents and its patch do not fit its tokens") from None
    return [model.tokenizer.decode(ids) for ids in rows]


def exact_texts(
    model: MemoryModel, records: Sequence[ChunkRecord]
) -> list[str | CorruptRecordError]:
    """The exact texts of chunks, in the given order; an error in place of each damaged one."""
    texts = {record.id: record.text for record in records if record.text is not None}
    texts |= _looked_up(model, [record for record in records if record.id not in texts])
    encoded = [record for record in records if record.id not in texts]
    try:
        decoded = regenerated_texts(model, encoded)
        texts |= zip((record.id for record in encoded), decoded, strict=True)
    except CorruptRecordError as error:
        if len(records) > 1:
            return [exact_texts(model, [record])[0] for record in records]
        return [error]
    return [
        texts[record.id]
        if text_hash(texts[record.id]) == record.text_hash
        else _damaged(record.id, "its text does not match the hash computed when it was added")
        for record in records
    ]


def _looked_up(model: MemoryModel, records: Sequence[ChunkRecord]) -> dict[int, str]:
    """The texts that a table look-up gets right, by id: nearly all, without the decoder.

    The hash that was computed when a text was added tells which these are.
    """
    sound = [record for record in records if record.damage is None]
    if not sound:
        return {}  # and no model is loaded
    latents = [Latent(record.latents, record.tokens, record.patch) for record in sound]
    texts: dict[int, str] = {}
    for record, ids in zip(sound, model.codec.look_up(latents), strict=True):
        if ids is not None and text_hash(text := model.tokenizer.decode(ids)) == record.text_hash:
            texts[record.id] = text
    return texts


class BatchLoader:
    """Loads the lazy fields of a batch of chunks; see `agentmem.context.hits.FieldLoader`.

    All texts are decoded together when the first of them is read, which is several times faster
    than decoding them one by one.
    """

    def __init__(self, model: MemoryModel, records: Iterable[ChunkRecord]) -> None:
        self._model = model
        self._records = {record.id: record for record in records}
        self._texts: dict[int, str | CorruptRecordError] = {}

    def load(self, id: int, field: str) -> Any:
        """The value of a lazy field.

        Raises:
            CorruptRecordError: the row is damaged.
        """
        if field == "text":
            return self._text(id)
        record = self._records[id]
        if record.damage is not None:
            raise CorruptRecordError(record.damage, id=id)
        return record.positions if field == "positions" else self._latents(record)

    def _text(self, id: int) -> str:
        if not self._texts:
            records = list(self._records.values())
            self._texts = dict(zip(self._records, exact_texts(self._model, records), strict=True))
        found = self._texts[id]
        if isinstance(found, CorruptRecordError):
            raise CorruptRecordError(*found.args, id=id) from found
        return found

    def _latents(self, record: ChunkRecord) -> NDArray[np.int8]:
        try:
            return self._model.codec.unpack(record.latents, record.tokens)
        except ValueError:
            raise _damaged(record.id, "its latents do not fit its tokens") from None


def _damaged(id: int, what: str) -> CorruptRecordError:
    return CorruptRecordError(
        f"memory {id} is damaged: {what}; `agentmem verify` lists all damage", id=id
    )
