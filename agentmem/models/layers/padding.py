"""Batching of sequences of unequal length: grouping by length, and padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.models.tokenizer import PAD

# Tokens of one forward pass, padding included: large enough for two cores, small in memory.
_BATCH_TOKENS = 4096


def by_length(lengths: Sequence[int], max_tokens: int = _BATCH_TOKENS) -> Iterator[list[int]]:
    """Indices grouped into batches of near-equal length, so that little of a batch is padding.

    Args:
        lengths: Tokens of each sequence.
        max_tokens: Tokens of a batch, padding included; a longer sequence is a batch of its own.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (lengths[index], index)):
        if batch and lengths[index] * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def pad_rows(
    rows: Sequence[Sequence[int] | NDArray[np.integer]], length: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ids int64 (B, T) and mask bool (B, T), True on tokens; rows may have trailing dims (.., s).

    An empty row gets one unmasked padding token: attention needs something to attend to.

    Args:
        rows: Token ids or codes of each row.
        length: The least T.
    """
    longest = max([length, *map(len, rows)])
    ids = np.full((len(rows), longest, *np.shape(rows[0])[1:]), PAD, dtype=np.int64)
    mask = np.zeros(ids.shape[:2], dtype=np.bool_)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : max(1, len(row))] = True
    return ids, mask
