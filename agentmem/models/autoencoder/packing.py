"""Latents as few bytes: each slot's codes are one symbol of a static code, exact on every machine.

A packed tape is one byte and a bit string. The byte holds the density's place in the
configuration (low half) and how the bits were made (high half):

====  =======================================================================
0     plain: every symbol in the same number of bits; bounds the worst case
1     coded: canonical Huffman codes; which code is used depends on the symbol before
====  =======================================================================

Integers only: no probability is computed when packing or unpacking, so no machine rounds one
differently. The code lengths come with the weights (see `agentmem.training.autoencoder.codebook`).
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

from agentmem.models.autoencoder.canonical import (
    MAX_LENGTH,
    CodeReader,
    bit_windows,
    canonical_codes,
)
from agentmem.models.autoencoder.configuration import LEVELS, AutoencoderConfig

FILE = "codebook.safetensors"
# A symbol's alphabet is at most so large.
_MAX_SYMBOLS = 1 << 16
_PLAIN, _CODED, _EMPTY = 0, 1, -1
# Tapes unpacked together: enough to share each step's cost, few enough to stay in the cache.
_TOGETHER = 512

FoundT = TypeVar("FoundT")


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """Static codes of one density's symbols (S of them, K contexts).

    Attributes:
        contexts: int64 (S,): the context that a symbol makes for the one behind it, below K - 1;
            the last context is the start of a chunk.
        lengths: uint8 (K, S): bits of each symbol's code in each context, 1 to 32; every row
            fills its code space exactly.
    """

    contexts: NDArray[np.int64]
    lengths: NDArray[np.uint8]


class Packer:
    """Tapes of one density to bytes and back."""

    def __init__(
        self, config: AutoencoderConfig, density: str, codebook: Codebook | None = None
    ) -> None:
        """Prepare for one density.

        Args:
            config: The autoencoder's.
            density: One of its densities.
            codebook: None: every symbol takes the same number of bits.

        Raises:
            ValueError: the codebook is one of another density or autoencoder.
        """
        self._width = config.densities[density]
        self._mark = list(config.densities).index(density)
        self._slots = config.slot_dims
        self._most = int(LEVELS // self._width)
        levels = 2 * self._most + 1
        # One symbol for a slot, or where that would be too many, one for each of its dims.
        self._group = config.slot_dims if levels**config.slot_dims <= _MAX_SYMBOLS else 1
        self.symbols = levels**self._group
        self._powers = levels ** np.arange(self._group, dtype=np.int64)
        self._bits = max(1, (self.symbols - 1).bit_length())
        self._codebook = codebook
        self._codes: dict[int, NDArray[np.uint32]] = {}
        if codebook is not None:
            rows, columns = codebook.lengths.shape
            if columns != self.symbols or codebook.contexts.shape != (columns,):
                raise ValueError(
                    f"a codebook of {columns} symbols does not fit the {self.symbols} of density "
                    f"{density!r}"
                )
            if not 0 <= int(codebook.contexts.min()) <= int(codebook.contexts.max()) < rows:
                raise ValueError(f"the codebook of density {density!r} names unknown contexts")

    def symbols_of(self, tape: NDArray[np.int8]) -> NDArray[np.int64]:
        """The tape (T, s), quantised to this density, as symbols (T s / group,)."""
        levels = np.rint(tape.astype(np.float64) / self._width).astype(np.int64) + self._most
        return np.asarray(levels.reshape(-1, self._group) @ self._powers)

    def pack(self, tape: NDArray[np.int8]) -> bytes:
        """A tape (T, s) that `MemoryAutoencoder.quantise` made, T at least 1."""
        symbols = self.symbols_of(tape)
        plain = self._bytes(_PLAIN, _bits_of(symbols, np.full(len(symbols), self._bits)))
        if self._codebook is None:
            return plain
        contexts = self._contexts(symbols)
        codes = np.empty(len(symbols), dtype=np.uint32)
        for context in np.unique(contexts):
            here = contexts == context
            codes[here] = self._codes_in(int(context))[symbols[here]]
        lengths = self._codebook.lengths[contexts, symbols]
        coded = self._bytes(_CODED, _left_bits_of(codes, lengths))
        return coded if len(coded) <= len(plain) else plain

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """The tape int8 (T, s) again.

        Raises:
            ValueError: the bytes are not what `pack` makes of ``tokens`` tokens.
        """
        return sound(self.unpack_many([packed], [tokens])[0])

    def unpack_many(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> list[NDArray[np.int8] | ValueError]:
        """The tapes int8 (T, s) again, a fraction of the time that one after the other takes.

        Args:
            packed: What `pack` made.
            tokens: T of each.

        Returns:
            In the order given; an error stands for bytes that are not what `pack` makes of so
            many tokens, and leaves the others as they are.
        """
        rows = sorted(zip(tokens, packed, range(len(packed)), strict=True), key=lambda row: -row[0])
        found: dict[int, NDArray[np.int8] | ValueError] = {}
        for first in range(0, len(rows), _TOGETHER):
            counts, here, places = zip(*rows[first : first + _TOGETHER], strict=True)
            found |= zip(places, self._unpack(here, counts), strict=True)
        return [found[place] for place in range(len(packed))]

    def _unpack(
        self, packed: Sequence[bytes], tokens: Sequence[int]
    ) -> Iterator[NDArray[np.int8] | ValueError]:
        """Each of several tapes (T, s), T falling; an error for each that is damaged."""
        sizes = np.array([len(one) for one in packed])
        counts = np.array(tokens) * self._slots // self._group
        methods = np.array([one[0] >> 4 if one else _EMPTY for one in packed])
        starts = 8 * (np.cumsum(sizes) - sizes) + 8  # bits; behind the first byte of each
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
        holds = ((symbols < self.symbols) | (steps >= counts)).all(0)
        holds &= (ends - starts + 7) // 8 == sizes - 1
        tapes = self._tapes_of.take(symbols.T, axis=0, mode="clip")
        for row, (one, count) in enumerate(zip(packed, tokens, strict=True)):
            if not (plain[row] or coded[row]):
                yield ValueError(f"latents packed in an unknown way: {one[:1]!r}")
            elif not holds[row]:
                yield ValueError(f"packed latents of {len(one)} bytes do not hold {count} tokens")
            else:
                yield tapes[row, : counts[row]].reshape(count, self._slots).copy()

    @cached_property
    def _reader(self) -> CodeReader:
        assert self._codebook is not None
        return CodeReader(self._codebook.lengths, self._codebook.contexts)

    @cached_property
    def _tapes_of(self) -> NDArray[np.int8]:
        """What each symbol stands for on the tape, (S, group)."""
        levels = 2 * self._most + 1
        values = np.arange(self.symbols)[:, None] // self._powers % levels - self._most
        return np.asarray(np.rint(values * self._width).astype(np.int8))

    def _contexts(self, symbols: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self._codebook is not None
        start = len(self._codebook.lengths) - 1
        return np.concatenate([[start], self._codebook.contexts[symbols[:-1]]])

    def _codes_in(self, context: int) -> NDArray[np.uint32]:
        if context not in self._codes:
            assert self._codebook is not None
            self._codes[context] = canonical_codes(self._codebook.lengths[context])
        return self._codes[context]

    def _bytes(self, method: int, bits: NDArray[np.uint8]) -> bytes:
        return bytes([method << 4 | self._mark]) + np.packbits(bits).tobytes()


def sound(found: FoundT | ValueError) -> FoundT:
    """What was found; raises the error that stands in its place."""
    if isinstance(found, ValueError):
        raise found
    return found


def density_mark(packed: bytes) -> int:
    """The density's place in the configuration that a packed tape names.

    Raises:
        ValueError: there is nothing.
    """
    if not packed:
        raise ValueError("packed latents are empty")
    return packed[0] & 15


def save_codebooks(folder: str | Path, books: Mapping[str, Codebook]) -> None:
    """Write the codebooks of densities beside the weights that they belong to."""
    arrays = {}
    for name, book in books.items():
        arrays[f"{name}.contexts"] = book.contexts.astype(np.uint16)
        arrays[f"{name}.lengths"] = np.ascontiguousarray(book.lengths)
    save_file(arrays, Path(folder) / FILE)


def load_codebooks(folder: str | Path) -> dict[str, Codebook]:
    """The codebooks in a folder by density; none if it has no such file."""
    path = Path(folder) / FILE
    if not path.is_file():
        return {}
    arrays = load_file(path)
    return {
        name: Codebook(arrays[f"{name}.contexts"].astype(np.int64), arrays[f"{name}.lengths"])
        for name in sorted(key.partition(".")[0] for key in arrays if key.endswith(".lengths"))
    }


def _bits_of(symbols: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The low bits of symbols, as many of each as its length, high bit first."""
    left = symbols.astype(np.uint64) << (np.uint64(MAX_LENGTH) - lengths.astype(np.uint64))
    return _left_bits_of(left.astype(np.uint32), lengths)


def _left_bits_of(
    codes: NDArray[np.uint32], lengths: NDArray[np.integer[Any]]
) -> NDArray[np.uint8]:
    """The first bits of left-aligned codes (N,), as many of each as its length."""
    bits = np.unpackbits(codes.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    return np.asarray(bits[np.arange(MAX_LENGTH) < lengths[:, None]])
