"""Memories as a reader takes them: tapes of int8 slots, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentmem.errors import InputError
from agentmem.models.autoencoder.configuration import LEVELS


class Readable(Protocol):
    """What a reader reads of a memory: a hit has it, and so has any stored chunk."""

    @property
    def latents(self) -> NDArray[np.int8]:
        """Memory vectors, int8 (M, D)."""

    @property
    def tokens(self) -> int:
        """T, how many tokens they stand for."""


class Packed(Protocol):
    """Memories under one budget, some as vectors and some as text: what `Recall.pack` gives."""

    @property
    def vectors(self) -> Sequence[Readable]:
        """Those to be read as vectors."""

    @property
    def text(self) -> str:
        """The others; "" if there are none."""


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """The slots of G groups of N memories with up to T tokens each.

    A batch has a multiple of G rows; the rows of a group read the same memories.

    Attributes:
        codes: int64 (G, N, T, s), each from -127 to 127.
        lengths: int64 (G, N), tokens of each memory; 0 where a group has fewer than N.
    """

    codes: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """Bool (G, N, T), True on slots of tokens."""
        return torch.arange(self.codes.shape[2], device=self.codes.device) < self.lengths[..., None]

    def to(self, device: torch.device) -> Slots:
        """The same on another device."""
        return Slots(self.codes.to(device), self.lengths.to(device))


def as_slots(
    groups: Sequence[Sequence[Readable]], *, slot_dims: int, vector_dims: int, most: int
) -> Slots | None:
    """Memories of each group as slots; None if there are no memories at all.

    Args:
        groups: The memories that each row of a batch reads.
        slot_dims: s of the bundle.
        vector_dims: D of the bundle.
        most: Most memories of a group.

    Raises:
        InputError: latents of another bundle, or more memories than the reader holds.
    """
    count = max((len(group) for group in groups), default=0)
    if not count:
        return None
    if count > most:
        raise InputError(
            f"{count} memories are more than the {most} that this reader holds: recall with a "
            f"smaller k, or pack(max_positions=...)"
        )
    tapes = [[_tape(one, slot_dims, vector_dims) for one in group] for group in groups]
    lengths = torch.zeros(len(groups), count, dtype=torch.int64)
    for row, group in enumerate(tapes):
        lengths[row, : len(group)] = torch.tensor([len(tape) for tape in group], dtype=torch.int64)
    codes = torch.zeros(len(groups), count, int(lengths.max()), slot_dims, dtype=torch.int64)
    for row, group in enumerate(tapes):
        for place, tape in enumerate(group):
            codes[row, place, : len(tape)] = torch.from_numpy(tape.astype(np.int64))
    return Slots(codes, lengths)


def _tape(memory: Readable, slot_dims: int, vector_dims: int) -> NDArray[np.int8]:
    """The tape (T, s) of one memory."""
    latents, tokens = memory.latents, memory.tokens
    per_vector = vector_dims // slot_dims
    wanted = (-(-tokens // per_vector), vector_dims)
    if latents.dtype != np.int8 or latents.shape != wanted or tokens < 1:
        raise InputError(
            f"latents of {latents.dtype} {latents.shape} for {tokens} tokens are not of this "
            f"reader's bundle, which has int8 {wanted}"
        )
    tape: NDArray[np.int8] = latents.reshape(-1, slot_dims)[:tokens]
    if (tape < -LEVELS).any():
        raise InputError(f"latents of {tokens} tokens have codes below {-LEVELS}: no bundle's do")
    return tape
