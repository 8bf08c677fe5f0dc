"""The frozen autoencoder at work: token ids to verified int8 latents, and back.

Everything here runs in float32: what is stored was checked against this very decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentmem.models.autoencoder.modeling import LEVELS, MemoryAutoencoder
from agentmem.models.patch import apply_patch, make_patch

# Tokens of one forward pass, padding included: large enough for two cores, small in memory.
_BATCH_TOKENS = 4096
# A choice that wins by less than this (in nats) may fall the other way under another batch shape,
# thread count or CPU; float32 differences are a thousand times smaller.
_MARGIN = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A chunk after encoding: latents int8 (M, D), its patch, and the share decoded without it."""

    latents: NDArray[np.int8]
    patch: bytes
    fidelity: float


# Sees each batch's encoder states (B, T, H), mask (B, T) and the rows' places among the chunks.
OnStates = Callable[[Tensor, Tensor, Tensor, list[int]], None]


@contextmanager
def full_precision() -> Iterator[None]:
    """Inference in float32, whatever mixed precision the caller's own model runs in."""
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        yield


class LatentCodec:
    """Encodes, quantises, decodes and compares; and decodes stored latents."""

    def __init__(self, model: MemoryAutoencoder) -> None:
        self._model = model.train(False)
        self._bits = max(1, (model.config.vocab_size - 1).bit_length())

    @full_precision()
    def encode(
        self, chunks: Sequence[Sequence[int]], *, on_states: OnStates | None = None
    ) -> list[Coded]:
        """Latents and patches of chunks of 1 to ``max_tokens`` ids, in the order given.

        Args:
            chunks: Token ids of each chunk.
            on_states: Receives ids (B, T), states (B, T, H) and mask (B, T) of every batch on the
                way, so that keys need no second encoder pass.
        """
        coded: list[Coded | None] = [None] * len(chunks)
        for rows, ids, mask in self._batches(chunks):
            states = self._model.encode_states(ids, mask)
            if on_states is not None:
                on_states(ids, states, mask, rows)
            codes = torch.round(self._model.tape(states) * LEVELS).masked_fill(~mask[..., None], 0)
            guess, sure = self._decode(codes, mask)
            tape = codes.to(torch.int8).numpy()
            for row, place in enumerate(rows):
                count = len(chunks[place])
                target = np.asarray(chunks[place], dtype=np.int64)
                right = guess[row, :count] == target
                coded[place] = Coded(
                    self._vectors(tape[row, :count]),
                    make_patch(target, guess[row, :count], sure[row, :count], bits=self._bits),
                    float(right.mean()),
                )
        return [item for item in coded if item is not None]

    @full_precision()
    def decode(
        self,
        latents: Sequence[NDArray[np.int8]],
        tokens: Sequence[int],
        patches: Sequence[bytes] | None = None,
    ) -> list[NDArray[np.int64]]:
        """Token ids (T,) from latents (M, D); exact with patches, else what latents alone say.

        Raises:
            ValueError: a patch does not fit its chunk.
        """
        slots = self._model.config.slot_dims
        tapes = [
            array.reshape(-1, slots)[:count] for array, count in zip(latents, tokens, strict=True)
        ]
        found: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(tapes)
        for rows in _by_length([len(tape) for tape in tapes]):
            longest = max(len(tapes[place]) for place in rows)
            codes = torch.zeros(len(rows), longest, slots, dtype=torch.float32)
            mask = torch.zeros(len(rows), longest, dtype=torch.bool)
            for row, place in enumerate(rows):
                codes[row, : len(tapes[place])] = torch.from_numpy(tapes[place].copy())
                mask[row, : len(tapes[place])] = True
            guess, _ = self._decode(codes, mask)
            for row, place in enumerate(rows):
                found[place] = guess[row, : len(tapes[place])]
        if patches is None:
            return found
        return [
            apply_patch(guess, patch, bits=self._bits)
            for guess, patch in zip(found, patches, strict=True)
        ]

    def _decode(self, codes: Tensor, mask: Tensor) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Codes (B, T, s) to the likeliest ids (B, T) and whether each wins by the margin."""
        logits = self._model.decode_tape(codes / LEVELS, mask)
        best = torch.topk(logits, 2, dim=-1)
        sure = best.values[..., 0] - best.values[..., 1] > _MARGIN
        return best.indices[..., 0].numpy(), sure.numpy()

    def _batches(
        self, chunks: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        for rows in _by_length([len(chunk) for chunk in chunks]):
            longest = max(len(chunks[place]) for place in rows)
            ids = torch.full((len(rows), longest), self._model.config.pad_token_id)
            for row, place in enumerate(rows):
                ids[row, : len(chunks[place])] = torch.as_tensor(chunks[place])
            lengths = torch.tensor([len(chunks[place]) for place in rows])
            yield rows, ids, torch.arange(longest)[None] < lengths[:, None]

    def _vectors(self, tape: NDArray[np.int8]) -> NDArray[np.int8]:
        """The tape (T, s) as memory vectors (M, D), zeros behind its end."""
        config = self._model.config
        count = -(-len(tape) // config.tokens_per_vector)
        flat = np.zeros(count * config.vector_dims, dtype=np.int8)
        flat[: tape.size] = tape.reshape(-1)
        return flat.reshape(count, config.vector_dims)


def _by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places grouped into batches of near-equal length, so that little of a batch is padding."""
    rows: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        if rows and lengths[place] * (len(rows) + 1) > _BATCH_TOKENS:
            yield rows
            rows = []
        rows.append(place)
    if rows:
        yield rows
