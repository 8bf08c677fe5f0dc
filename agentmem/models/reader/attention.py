"""Who sees whom in a batch of reading sequences (see `agentmem.models.reader.sequence`)."""

from __future__ import annotations

import torch
from torch import Tensor

from agentmem.models.reader.sequence import BRANCH, MEMORY, PADDING, PREFIX


def block_mask(kinds: Tensor, segments: Tensor, kept: Tensor) -> Tensor:
    """The attention mask of a batch whose memories do not see each other.

    Args:
        kinds: Kind of each position, int (B, T); `PADDING` behind a sequence's end.
        segments: Segment of each position, int (B, T).
        kept: Which memory tokens a branch may see, bool (B, T).

    Returns:
        True where a query may see a key, bool (B, 1, T, T). A padded position sees itself, so that
        no row of the softmax is empty.
    """
    same = segments[:, :, None] == segments[:, None, :]
    visible = (kinds == PREFIX) | ((kinds == MEMORY) & kept)
    read = (kinds == BRANCH)[:, :, None] & visible[:, None, :]
    return _finish(kinds, same | read)


def text_mask(kinds: Tensor, segments: Tensor) -> Tensor:
    """The attention mask of the same batch read as plain text: sinks are seen by nobody.

    Args:
        kinds: As in `block_mask`.
        segments: Likewise.

    Returns:
        True where a query may see a key, bool (B, 1, T, T).
    """
    same = segments[:, :, None] == segments[:, None, :]
    text = (kinds == PREFIX) | (kinds == MEMORY)
    return _finish(kinds, text[:, None, :] | (same & (kinds == BRANCH)[:, None, :]))


def _finish(kinds: Tensor, allowed: Tensor) -> Tensor:
    """Causal order, and padding that is seen by itself alone."""
    length = kinds.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=kinds.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=kinds.device)
    real = kinds != PADDING
    allowed = allowed & causal & real[:, None, :] & real[:, :, None]
    return (allowed | itself)[:, None]
