"""The frozen autoencoder at work: token ids to verified int8 latents, and back.

Everything here runs in float32: what is stored was checked against this very decoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentmem.models.autoencoder.configuration import LEVELS
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.packing import Codebook, Packer, density_mark, sound
from agentmem.models.autoencoder.patch import apply_patch, make_patch

# Tokens of one forward pass, padding included: large enough for two cores, small in memory.
_BATCH_TOKENS = 4096
# A choice that wins by less than this (in nats) may fall the other way under another batch shape,
# thread count or CPU; float32 differences are a thousand times smaller.
_MARGIN = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A chunk after encoding: latents int8 (M, D), its patch, and the share decoded without it."""

    latents: NDArray[np.int8]
    packed: bytes
    density: str
    patch: bytes
    fidelity: float


@contextmanager
def full_precision() -> Iterator[None]:
    """Inference in float32, whatever mixed precision the caller's own model runs in."""
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        yield


class LatentCodec:
    """Encodes, quantises, decodes and compares; and decodes stored latents."""

    def __init__(
        self, model: MemoryAutoencoder, codebooks: Mapping[str, Codebook] | None = None
    ) -> None:
        """Take a model into use.

        Args:
            model: Its weights are not changed.
            codebooks: How latents are packed, by density.

        Raises:
            ValueError: a codebook does not fit the model.
        """
        self._model = model.train(False)
        self.slot_dims: int = model.config.slot_dims
        # A look into a transformers configuration takes microseconds, and these are asked for
        # hundreds of times in a recall.
        self._max_tokens: int = model.config.max_tokens
        self._tokens_per_vector: int = model.config.tokens_per_vector
        self._vector_dims: int = model.config.vector_dims
        self._bits = max(1, (model.config.vocab_size - 1).bit_length())
        books = codebooks or {}
        self._packers = {
            name: Packer(model.config, name, books.get(name)) for name in model.config.densities
        }

    @full_precision()
    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        densities: Sequence[str],
        min_fidelity: float,
    ) -> list[Coded]:
        """Latents and patches of chunks of 1 to ``max_tokens`` ids, in the order given.

        Args:
            chunks: Token ids of each chunk.
            densities: Tried one after the other; the last is taken whatever its fidelity.
            min_fidelity: Share of tokens with which a density is good enough.
        """
        coded: list[Coded | None] = [None] * len(chunks)
        for rows, ids, mask in self._batches(chunks):
            states = self._model.encode_states(ids, mask)
            left = list(range(len(rows)))  # of this batch, not coded yet
            for density in densities:
                last = density == densities[-1]
                tried = self._code(density, ids[left], states[left], mask[left])
                done = [last or one.fidelity >= min_fidelity for one in tried]
                for row, one, good in zip(left, tried, done, strict=True):
                    if good:
                        coded[rows[row]] = one
                left = [row for row, good in zip(left, done, strict=True) if not good]
                if not left:
                    break
        return [item for item in coded if item is not None]

    def _code(self, density: str, ids: Tensor, states: Tensor, mask: Tensor) -> list[Coded]:
        codes = self._model.quantise(self._model.tape(states, density), density)
        codes = codes.masked_fill(~mask[..., None], 0)
        guess, sure = self._decode(codes, mask, density)
        tapes, targets = codes.to(torch.int8).numpy(), ids.numpy()
        counts = mask.sum(1).tolist()
        coded = []
        for row, count in enumerate(counts):
            tape, target = tapes[row, :count], targets[row, :count]
            patch = make_patch(target, guess[row, :count], sure[row, :count], bits=self._bits)
            right = guess[row, :count] == target
            packed = self._packers[density].pack(tape)
            coded.append(Coded(self._vectors(tape), packed, density, patch, float(right.mean())))
        return coded

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """Latents int8 (M, D) from what `encode` packed.

        Raises:
            ValueError: it is not what `encode` makes of ``tokens`` tokens.
        """
        return sound(self.unpack_many([packed], [tokens])[0])

    def unpack_many(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> list[NDArray[np.int8] | ValueError]:
        """Latents int8 (M, D) of many chunks, several times faster than one after the other.

        Args:
            packed: What `encode` packed.
            tokens: T of each.

        Returns:
            In the order given; an error stands for latents that `encode` does not make of so
            many tokens, and leaves the others as they are.
        """
        return [
            one if isinstance(one, ValueError) else self._vectors(one[0])
            for one in self._tapes(packed, tokens)
        ]

    def unpack_tapes(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> list[NDArray[np.int8] | ValueError]:
        """As `unpack_many`, but tapes int8 (T, s): one slot for each token, and no more."""
        return [
            one if isinstance(one, ValueError) else one[0] for one in self._tapes(packed, tokens)
        ]

    @full_precision()
    def decode(
        self,
        packed: Sequence[bytes],
        tokens: Sequence[int],
        patches: Sequence[bytes] | None = None,
    ) -> list[NDArray[np.int64]]:
        """Token ids (T,) from packed latents; exact with patches, else what latents alone say.

        Raises:
            ValueError: latents or a patch do not fit their chunk.
        """
        tapes = [sound(one) for one in self._tapes(packed, tokens)]
        found: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(tapes)
        for density in self._packers:
            here = [place for place, tape in enumerate(tapes) if tape[1] == density]
            for group in by_length([len(tapes[place][0]) for place in here]):
                self._decode_group(
                    [here[one] for one in group],
                    [tapes[here[one]][0] for one in group],
                    density,
                    found,
                )
        if patches is None:
            return found
        return [
            apply_patch(guess, patch, bits=self._bits)
            for guess, patch in zip(found, patches, strict=True)
        ]

    def _decode_group(
        self,
        places: Sequence[int],
        tapes: Sequence[NDArray[np.int8]],
        density: str,
        found: list[NDArray[np.int64]],
    ) -> None:
        """Decode tapes (T, s) of near-equal length together into their places."""
        lengths = torch.tensor([len(tape) for tape in tapes])
        mask = torch.arange(int(lengths.max()))[None] < lengths[:, None]
        codes = torch.zeros(*mask.shape, self._model.config.slot_dims, dtype=torch.float32)
        for row, tape in enumerate(tapes):
            codes[row, : len(tape)] = torch.from_numpy(tape)
        guess, _ = self._decode(codes, mask, density)
        for row, (place, tape) in enumerate(zip(places, tapes, strict=True)):
            found[place] = guess[row, : len(tape)]

    def _tapes(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> list[tuple[NDArray[np.int8], str] | ValueError]:
        """Tapes (T, s) and their densities, in the order given; errors for damaged ones."""
        names = list(self._packers)
        found: dict[int, tuple[NDArray[np.int8], str] | ValueError] = {}
        places: dict[str, list[int]] = {name: [] for name in names}
        for place, (one, count) in enumerate(zip(packed, tokens, strict=True)):
            try:
                mark = density_mark(one)
            except ValueError as error:
                found[place] = error
                continue
            if mark < len(names) and 0 < count <= self._max_tokens:
                places[names[mark]].append(place)
            else:
                found[place] = ValueError(f"no {count!r} tokens of density number {mark!r}")
        for name, here in places.items():
            tapes = self._packers[name].unpack_many(
                [packed[place] for place in here], [tokens[place] for place in here]
            )
            for place, tape in zip(here, tapes, strict=True):
                found[place] = tape if isinstance(tape, ValueError) else (tape, name)
        return [found[place] for place in range(len(packed))]

    def _decode(
        self, codes: Tensor, mask: Tensor, density: str
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Codes (B, T, s) to the likeliest ids (B, T) and whether each wins by the margin."""
        logits = self._model.decode_tape(codes / LEVELS, mask, density)
        best = torch.topk(logits, 2, dim=-1)
        sure = best.values[..., 0] - best.values[..., 1] > _MARGIN
        return best.indices[..., 0].numpy(), sure.numpy()

    def _batches(
        self, chunks: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], Tensor, Tensor]]:
        for rows in by_length([len(chunk) for chunk in chunks]):
            longest = max(len(chunks[place]) for place in rows)
            ids = torch.full((len(rows), longest), self._model.config.pad_token_id)
            for row, place in enumerate(rows):
                ids[row, : len(chunks[place])] = torch.as_tensor(chunks[place])
            lengths = torch.tensor([len(chunks[place]) for place in rows])
            yield rows, ids, torch.arange(longest)[None] < lengths[:, None]

    def _vectors(self, tape: NDArray[np.int8]) -> NDArray[np.int8]:
        """The tape (T, s) as memory vectors (M, D), zeros behind its end."""
        count = -(-len(tape) // self._tokens_per_vector)
        flat = np.zeros(count * self._vector_dims, dtype=np.int8)
        flat[: tape.size] = tape.reshape(-1)
        return flat.reshape(count, self._vector_dims)


def by_length(lengths: Sequence[int], most: int = _BATCH_TOKENS) -> Iterator[list[int]]:
    """Places grouped into batches of near-equal length, so that little of a batch is padding.

    Args:
        lengths: Tokens of each.
        most: Tokens of a batch, padding included, where one text alone does not have more.
    """
    rows: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        if rows and lengths[place] * (len(rows) + 1) > most:
            yield rows
            rows = []
        rows.append(place)
    if rows:
        yield rows
