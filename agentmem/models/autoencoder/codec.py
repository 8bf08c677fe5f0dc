"""The frozen autoencoder at work: token ids to verified int8 latents, and back.

What is stored has been checked against this very decoder, in float32. Whatever float32 leaves open,
such as a code halfway between two steps, is settled in float64: the bytes that are stored depend on
the text and the weights, and not on the machine, the batch, or the library that computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from agentmem.models.autoencoder.packing import Codebook, Packer, quantization_number, raise_error
from agentmem.models.autoencoder.patch import apply_patch, make_patch
from agentmem.models.autoencoder.predictions import likeliest, predict
from agentmem.models.autoencoder.rounding import Floats, code_indices, quantize
from agentmem.models.autoencoder.runtime import AutoencoderRuntime
from agentmem.models.base import Encoded
from agentmem.models.layers.padding import by_length, pad_rows

# Tokens that are encoded together, and those that are decoded together: more fit no cache.
_ENCODED_TOKENS = 1024
_DECODED_TOKENS = 512


class LatentCodec:
    """Encodes, quantizes, decodes and compares chunks; and decodes stored latents.

    Attributes:
        slot_dims: s, numbers per token.
        max_tokens: Length of the longest chunk.
        quantizations: Names of the quantizations, finest first.
    """

    def __init__(
        self,
        model: AutoencoderRuntime,
        codebooks: Mapping[str, Codebook] | None = None,
        token_ids: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None,
    ) -> None:
        """Wrap an autoencoder.

        Args:
            model: The frozen network.
            codebooks: How latents are packed, by quantization.
            token_ids: Indices of codes to the tokens that each decodes to by itself (see
                `agentmem.models.autoencoder.token_table`); None if there is no such table.

        Raises:
            ValueError: a codebook does not fit the model.
        """
        self._model = model
        self._token_ids = token_ids
        self.slot_dims: int = model.config.slot_dims
        self.max_tokens: int = model.config.max_tokens
        self.quantizations: tuple[str, ...] = tuple(model.config.quantizations)
        self._tokens_per_vector: int = model.config.tokens_per_vector
        self._vector_dims: int = model.config.vector_dims
        self._bits = max(1, (model.config.vocab_size - 1).bit_length())
        books = codebooks or {}
        self._packers = {
            name: Packer(model.config, name, books.get(name)) for name in self.quantizations
        }

    def encode(
        self,
        chunks: Sequence[Sequence[int]],
        *,
        quantizations: Sequence[str],
        min_fidelity: float,
    ) -> list[Encoded]:
        """Latents and patches of chunks of 1 to ``max_tokens`` ids, in the order given.

        Args:
            chunks: Token ids of each chunk.
            quantizations: Tried in this order; the last is taken whatever its fidelity.
            min_fidelity: Share of tokens that must be regenerated for a quantization to be taken.
        """
        encoded: list[Encoded | None] = [None] * len(chunks)
        for rows in by_length([len(chunk) for chunk in chunks], _ENCODED_TOKENS):
            ids, mask = pad_rows([chunks[row] for row in rows])
            states = self._model.encode(ids, mask)
            left = np.arange(len(rows))  # rows of this batch that are not encoded yet
            for quantization in quantizations:
                is_last = quantization == quantizations[-1]
                tried = self._encode(quantization, ids[left], states[left], mask[left])
                done = [is_last or one.fidelity >= min_fidelity for one in tried]
                for row, one, good in zip(left, tried, done, strict=True):
                    if good:
                        encoded[rows[row]] = one
                left = left[np.logical_not(done)]
                if not len(left):
                    break
        return [item for item in encoded if item is not None]

    def _encode(
        self, quantization: str, ids: NDArray[np.int64], states: Floats, mask: NDArray[np.bool_]
    ) -> list[Encoded]:
        all_codes = self._codes(quantization, ids, states, mask)
        made = predict(self._model, all_codes, mask, quantization)
        encoded = []
        for row, count in enumerate(mask.sum(1).tolist()):
            own, target = all_codes[row, :count], ids[row, :count]
            guess, is_sure = made.ids[row, :count], made.is_sure[row, :count]
            patch = make_patch(target, guess, is_sure, bits=self._bits)
            packed = self._packers[quantization].pack(own)
            fidelity = float((guess == target).mean())
            encoded.append(Encoded(self._vectors(own), packed, quantization, patch, fidelity))
        return encoded

    def _codes(
        self, quantization: str, ids: NDArray[np.int64], states: Floats, mask: NDArray[np.bool_]
    ) -> NDArray[np.int8]:
        """Codes (B, T, s) of ids and their states, zero behind the end of a row."""
        step = self._model.config.quantizations[quantization]
        codes, is_close = quantize(self._model.to_codes(states, quantization), step)
        open_rows = np.flatnonzero((is_close & mask[..., None]).any(axis=(1, 2)))
        if len(open_rows):
            again = self._model.encode(ids[open_rows], mask[open_rows], double=True)
            codes[open_rows], _ = quantize(self._model.to_codes(again, quantization), step)
        codes[~mask] = 0
        return codes

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """Latents int8 (M, D) from what `encode` packed.

        Raises:
            ValueError: it is not what `encode` makes of ``tokens`` tokens.
        """
        return raise_error(self.unpack_many([packed], [tokens])[0])

    def unpack_many(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> list[NDArray[np.int8] | ValueError]:
        """Latents int8 (M, D) of many chunks, several times faster than one by one.

        Args:
            packed: What `encode` packed.
            tokens: T of each.

        Returns:
            In the order given; an error stands in for latents that `encode` does not make of
            that many tokens, and does not affect the others.
        """
        return [
            one if isinstance(one, ValueError) else self._vectors(one[0])
            for one in self._unpack(packed, tokens)
        ]

    def unpack_codes(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> list[NDArray[np.int8] | ValueError]:
        """As `unpack_many`, but codes int8 (T, s): one slot for each token, and no more."""
        return [
            one if isinstance(one, ValueError) else one[0] for one in self._unpack(packed, tokens)
        ]

    def decode(
        self,
        packed: Sequence[bytes],
        tokens: Sequence[int],
        patches: Sequence[bytes] | None = None,
    ) -> list[NDArray[np.int64]]:
        """Token ids (T,) from packed latents; exact with patches, approximate without.

        Raises:
            ValueError: latents or a patch do not fit their chunk.
        """
        unpacked = [raise_error(one) for one in self._unpack(packed, tokens)]
        decoded: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(unpacked)
        for quantization in self._packers:
            members = [index for index, one in enumerate(unpacked) if one[1] == quantization]
            lengths = [len(unpacked[index][0]) for index in members]
            for group in by_length(lengths, _DECODED_TOKENS):
                indices = [members[one] for one in group]
                codes, mask = pad_rows([unpacked[index][0] for index in indices])
                guess = likeliest(self._model, codes.astype(np.int8), mask, quantization)
                for row, index in enumerate(indices):
                    decoded[index] = guess[row, : len(unpacked[index][0])]
        if patches is None:
            return decoded
        return [
            apply_patch(guess, patch, bits=self._bits)
            for guess, patch in zip(decoded, patches, strict=True)
        ]

    def look_up(
        self, packed: Sequence[bytes], tokens: Sequence[int], patches: Sequence[bytes]
    ) -> list[NDArray[np.int64] | None]:
        """Token ids (T,) from packed latents and patches without the decoder: a table look-up.

        A code without its context identifies its token nearly always, so most rows are what
        `decode` returns. Which are, only a hash of the text can tell.

        Returns:
            In the order given; None for rows that do not fit their tokens, and for all of them if
            there is no table.
        """
        if self._token_ids is None:
            return [None] * len(packed)
        found: list[NDArray[np.int64] | None] = []
        for codes, patch in zip(self.unpack_codes(packed, tokens), patches, strict=True):
            try:
                guess = self._token_ids(code_indices(raise_error(codes)))
                found.append(apply_patch(guess, patch, bits=self._bits))
            except ValueError:
                found.append(None)
        return found

    def _unpack(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> list[tuple[NDArray[np.int8], str] | ValueError]:
        """Codes (T, s) and their quantizations, in the order given; errors for damaged ones."""
        names = self.quantizations
        unpacked: dict[int, tuple[NDArray[np.int8], str] | ValueError] = {}
        members: dict[str, list[int]] = {name: [] for name in names}
        for index, (one, count) in enumerate(zip(packed, tokens, strict=True)):
            try:
                number = quantization_number(one)
            except ValueError as error:
                unpacked[index] = error
                continue
            if number < len(names) and 0 < count <= self.max_tokens:
                members[names[number]].append(index)
            else:
                unpacked[index] = ValueError(f"no {count!r} tokens of quantization {number!r}")
        for name, indices in members.items():
            codes = self._packers[name].unpack_many(
                [packed[index] for index in indices], [tokens[index] for index in indices]
            )
            for index, one_codes in zip(indices, codes, strict=True):
                unpacked[index] = (
                    one_codes if isinstance(one_codes, ValueError) else (one_codes, name)
                )
        return [unpacked[index] for index in range(len(packed))]

    def _vectors(self, codes: NDArray[np.int8]) -> NDArray[np.int8]:
        """Codes (T, s) as memory vectors (M, D), zeros behind the end."""
        count = -(-len(codes) // self._tokens_per_vector)
        flat = np.zeros(count * self._vector_dims, dtype=np.int8)
        flat[: codes.size] = codes.reshape(-1)
        return flat.reshape(count, self._vector_dims)
