"""Entropy coding of latent codes: each slot is one symbol of a static code, exact on every machine.

Packed codes are one byte and a bit string. The byte holds the quantization's number in the
configuration (low half) and the method (high half):

====  =======================================================================
0     plain: every symbol in the same number of bits; bounds the worst case
1     coded: canonical Huffman codes; which code is used depends on the previous symbol
====  =======================================================================

Integer arithmetic only: no probability is computed when packing or unpacking, so no machine can
round one differently. The code lengths come with the weights (see
`agentmem.training.autoencoder.codebook`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from agentmem.models.autoencoder.canonical_codes import (
    MAX_LENGTH,
    CodeReader,
    bit_windows,
    canonical_codes,
)
from agentmem.models.autoencoder.configuration import LEVELS, AutoencoderConfig

FILE = "codebook.safetensors"
# Largest alphabet of symbols.
_MAX_SYMBOLS = 1 << 16
_PLAIN, _CODED, _EMPTY = 0, 1, -1
# Chunks unpacked at once: enough to share each step's cost, few enough to stay in the cache.
_BATCH = 512

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """Static codes of one quantization's symbols (S of them, K contexts).

    Attributes:
        contexts: int64 (S,): the context that a symbol gives to the next one, below K - 1; the
            last context is the start of a chunk.
        lengths: uint8 (K, S): bits of each symbol's code in each context, 1 to 32; every row is a
            complete prefix code.
    """

    contexts: NDArray[np.int64]
    lengths: NDArray[np.uint8]


class Packer:
    """Codes of one quantization to bytes and back."""

    def __init__(
        self, config: AutoencoderConfig, quantization: str, codebook: Codebook | None = None
    ) -> None:
        """Prepare for one quantization.

        Args:
            config: The autoencoder's.
            quantization: One of the configuration's.
            codebook: None: every symbol takes the same number of bits.

        Raises:
            ValueError: the codebook belongs to another quantization or autoencoder.
        """
        self._step = config.quantizations[quantization]
        self._number = list(config.quantizations).index(quantization)
        self._slots = config.slot_dims
        self._limit = int(LEVELS // self._step)  # steps on either side of zero
        levels = 2 * self._limit + 1
        # One symbol for a whole slot, or one for each of its dims if the alphabet gets too large.
        self._group = config.slot_dims if levels**config.slot_dims <= _MAX_SYMBOLS else 1
        self.symbols = levels**self._group
        self._powers = levels ** np.arange(self._group, dtype=np.int64)
        self._bits = max(1, (self.symbols - 1).bit_length())
        self._codebook = codebook
        self._words: dict[int, NDArray[np.uint32]] = {}
        if codebook is not None:
            rows, columns = codebook.lengths.shape
            if columns != self.symbols or codebook.contexts.shape != (columns,):
                raise ValueError(
                    f"a codebook of {columns} symbols does not fit the {self.symbols} of "
                    f"quantization {quantization!r}"
                )
            if not 0 <= int(codebook.contexts.min()) <= int(codebook.contexts.max()) < rows:
                raise ValueError(
                    f"the codebook of quantization {quantization!r} names unknown contexts"
                )

    def symbols_of(self, codes: NDArray[np.int8]) -> NDArray[np.int64]:
        """Codes (T, s) of this quantization as symbols (T s / group,)."""
        levels = np.rint(codes.astype(np.float64) / self._step).astype(np.int64) + self._limit
        return np.asarray(levels.reshape(-1, self._group) @ self._powers)

    def pack(self, codes: NDArray[np.int8]) -> bytes:
        """Pack codes (T, s) that `MemoryAutoencoder.quantize` made, T at least 1."""
        symbols = self.symbols_of(codes)
        plain = self._bytes(_PLAIN, _bits_of(symbols, np.full(len(symbols), self._bits)))
        if self._codebook is None:
            return plain
        contexts = self._contexts(symbols)
        words = np.empty(len(symbols), dtype=np.uint32)
        for context in np.unique(contexts):
            here = contexts == context
            words[here] = self._words_in(int(context))[symbols[here]]
        lengths = self._codebook.lengths[contexts, symbols]
        coded = self._bytes(_CODED, _left_bits_of(words, lengths))
        return coded if len(coded) <= len(plain) else plain

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """The codes int8 (T, s) again.

        Raises:
            ValueError: the bytes are not what `pack` makes of ``tokens`` tokens.
        """
        return raise_error(self.unpack_many([packed], [tokens])[0])

    def unpack_many(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> list[NDArray[np.int8] | ValueError]:
        """The codes int8 (T, s) of many chunks, several times faster than one by one.

        Args:
            packed: What `pack` made.
            tokens: T of each.

        Returns:
            In the order given; an error stands in for bytes that are not what `pack` makes of
            that many tokens, and does not affect the others.
        """
        rows = sorted(zip(tokens, packed, range(len(packed)), strict=True), key=lambda row: -row[0])
        unpacked: dict[int, NDArray[np.int8] | ValueError] = {}
        for first in range(0, len(rows), _BATCH):
            counts, batch, indices = zip(*rows[first : first + _BATCH], strict=True)
            unpacked |= zip(indices, self._unpack(batch, counts), strict=True)
        return [unpacked[index] for index in range(len(packed))]

    def _unpack(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> Iterator[NDArray[np.int8] | ValueError]:
        """The codes (T, s) of several chunks, T descending; an error for each damaged one."""
        sizes = np.array([len(one) for one in packed])
        counts = np.array(tokens) * self._slots // self._group
        methods = np.array([one[0] >> 4 if one else _EMPTY for one in packed])
        starts = 8 * (np.cumsum(sizes) - sizes) + 8  # bits; after the first byte of each
        windows = bit_windows(b"".join(packed))
        steps = np.arange(counts[0])[:, None]
        symbols = np.zeros((counts[0], len(packed)), dtype=np.int64)
        ends = np.zeros(len(packed), dtype=np.int64)

        plain = methods == _PLAIN
        here = windows.take(starts[plain] + self._bits * steps, mode="clip")
        symbols[:, plain] = here >> (MAX_LENGTH - self._bits)
        ends[plain] = starts[plain] + self._bits * counts[plain]

        coded = (methods == _CODED) & (self._codebook is not None)
        if coded.any():
            read, ends[coded] = self._reader.read(windows, starts[coded], counts[coded])
            symbols[: len(read), coded] = read
        is_valid = ((symbols < self.symbols) | (steps >= counts)).all(0)
        is_valid &= (ends - starts + 7) // 8 == sizes - 1
        codes = self._codes_of.take(symbols.T, axis=0, mode="clip")
        for row, (one, count) in enumerate(zip(packed, tokens, strict=True)):
            if not (plain[row] or coded[row]):
                yield ValueError(f"unknown packing method: {one[:1]!r}")
            elif not is_valid[row]:
                yield ValueError(f"packed latents of {len(one)} bytes do not hold {count} tokens")
            else:
                yield codes[row, : counts[row]].reshape(count, self._slots).copy()

    @cached_property
    def _reader(self) -> CodeReader:
        assert self._codebook is not None
        return CodeReader(self._codebook.lengths, self._codebook.contexts)

    @cached_property
    def _codes_of(self) -> NDArray[np.int8]:
        """The codes that each symbol stands for, (S, group)."""
        levels = 2 * self._limit + 1
        values = np.arange(self.symbols)[:, None] // self._powers % levels - self._limit
        return np.asarray(np.rint(values * self._step).astype(np.int8))

    def _contexts(self, symbols: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self._codebook is not None
        start = len(self._codebook.lengths) - 1
        return np.concatenate([[start], self._codebook.contexts[symbols[:-1]]])

    def _words_in(self, context: int) -> NDArray[np.uint32]:
        """The code words of a context, (S,)."""
        if context not in self._words:
            assert self._codebook is not None
            self._words[context] = canonical_codes(self._codebook.lengths[context])
        return self._words[context]

    def _bytes(self, method: int, bits: NDArray[np.uint8]) -> bytes:
        return bytes([method << 4 | self._number]) + np.packbits(bits).tobytes()


def raise_error(result: ResultT | ValueError) -> ResultT:
    """The result; raises the error that stands in its place."""
    if isinstance(result, ValueError):
        raise result
    return result


def quantization_number(packed: bytes) -> int:
    """The number, in the configuration, of the quantization that packed codes name.

    Raises:
        ValueError: the bytes are empty.
    """
    if not packed:
        raise ValueError("packed latents are empty")
    return packed[0] & 15


def save_codebooks(folder: str | Path, books: Mapping[str, Codebook]) -> None:
    """Write the codebooks of quantizations next to the weights they belong to."""
    arrays = {}
    for name, book in books.items():
        arrays[f"{name}.contexts"] = book.contexts.astype(np.uint16)
        arrays[f"{name}.lengths"] = np.ascontiguousarray(book.lengths)
    save_file(arrays, Path(folder) / FILE)


def load_codebooks(folder: str | Path) -> dict[str, Codebook]:
    """The codebooks in a folder by quantization; empty if it has no such file."""
    path = Path(folder) / FILE
    if not path.is_file():
        return {}
    arrays = load_file(path)
    return {
        name: Codebook(arrays[f"{name}.contexts"].astype(np.int64), arrays[f"{name}.lengths"])
        for name in sorted(key.partition(".")[0] for key in arrays if key.endswith(".lengths"))
    }


def _bits_of(symbols: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The low bits of each symbol, as many as its length, high bit first."""
    left = symbols.astype(np.uint64) << (np.uint64(MAX_LENGTH) - lengths.astype(np.uint64))
    return _left_bits_of(left.astype(np.uint32), lengths)


def _left_bits_of(
    words: NDArray[np.uint32], lengths: NDArray[np.integer[Any]]
) -> NDArray[np.uint8]:
    """The first bits of left-aligned code words (N,), as many of each as its length."""
    bits = np.unpackbits(words.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    return np.asarray(bits[np.arange(MAX_LENGTH) < lengths[:, None]])
