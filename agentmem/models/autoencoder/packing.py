"""Latents as few bytes: each slot's codes are one symbol of a static code, exact on every machine.

A packed tape is one byte and a bit string. The byte holds the density's place in the
configuration (low half) and how the bits were made (high half):

====  =======================================================================
0     plain: every symbol in the same number of bits; bounds the worst case
1     coded: canonical Huffman codes; which code is used depends on the symbol before
====  =======================================================================

Integers only: no probability is computed when packing or unpacking, so no machine rounds one
differently. The code lengths come with the weights (see `agentmem.training.codebook`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from agentmem.models.autoencoder.configuration import LEVELS, AutoencoderConfig

FILE = "codebook.safetensors"
# A code is at most so long; a symbol's alphabet at most so large.
MAX_LENGTH = 32
_MAX_SYMBOLS = 1 << 16
_PLAIN, _CODED = 0, 1


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


class _Code:
    """The canonical code of one context: shorter codes first, then by symbol."""

    def __init__(self, lengths: NDArray[np.uint8]) -> None:
        order = np.argsort(lengths, kind="stable")
        spans = np.uint64(1) << (np.uint64(MAX_LENGTH) - lengths[order].astype(np.uint64))
        starts = (np.cumsum(spans) - spans).astype(np.uint32)  # codes, left-aligned in 32 bits
        self.lengths = lengths
        self.codes = np.empty(len(lengths), dtype=np.uint32)
        self.codes[order] = starts
        self._order = array("I", order.astype(np.uint32).tobytes())
        self._starts = array("I", starts.tobytes())

    def symbol(self, window: int) -> int:
        """The symbol whose code begins a window of 32 bits."""
        return self._order[bisect_right(self._starts, window) - 1]


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
        self._codes: dict[int, _Code] = {}
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
            codes[here] = self._code(int(context)).codes[symbols[here]]
        lengths = self._codebook.lengths[contexts, symbols]
        coded = self._bytes(_CODED, _left_bits_of(codes, lengths))
        return coded if len(coded) <= len(plain) else plain

    def unpack(self, packed: bytes, tokens: int) -> NDArray[np.int8]:
        """The tape int8 (T, s) again.

        Raises:
            ValueError: the bytes are not what `pack` makes of ``tokens`` tokens.
        """
        count = tokens * self._slots // self._group
        method = packed[0] >> 4
        if method == _PLAIN:
            symbols, used = _read_plain(packed[1:], count, self._bits)
        elif method == _CODED and self._codebook is not None:
            symbols, used = self._read_coded(packed[1:], count, self._codebook)
        else:
            raise ValueError(f"latents packed in an unknown way: {packed[0]!r}")
        if len(packed) - 1 != (used + 7) // 8 or (len(symbols) and symbols.max() >= self.symbols):
            raise ValueError(f"packed latents of {len(packed)} bytes do not hold {tokens} tokens")
        levels = symbols[:, None] // self._powers % (2 * self._most + 1) - self._most
        tape = np.rint(levels * self._width).astype(np.int8)
        return np.asarray(tape.reshape(tokens, self._slots))

    def _contexts(self, symbols: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self._codebook is not None
        start = len(self._codebook.lengths) - 1
        return np.concatenate([[start], self._codebook.contexts[symbols[:-1]]])

    def _read_coded(
        self, data: bytes, count: int, codebook: Codebook
    ) -> tuple[NDArray[np.int64], int]:
        padded = data + bytes(8)
        contexts = codebook.contexts
        symbols = np.empty(count, dtype=np.int64)
        context, place, end = len(codebook.lengths) - 1, 0, 8 * len(data)
        for index in range(count):
            if place >= end:
                raise ValueError("packed latents end too early")
            window = int.from_bytes(padded[place >> 3 : (place >> 3) + 5], "big")
            code = self._code(context)
            symbol = code.symbol(window >> (8 - (place & 7)) & 0xFFFFFFFF)
            symbols[index] = symbol
            place += int(code.lengths[symbol])
            context = int(contexts[symbol])
        return symbols, place

    def _code(self, context: int) -> _Code:
        if context not in self._codes:
            assert self._codebook is not None
            self._codes[context] = _Code(self._codebook.lengths[context])
        return self._codes[context]

    def _bytes(self, method: int, bits: NDArray[np.uint8]) -> bytes:
        return bytes([method << 4 | self._mark]) + np.packbits(bits).tobytes()


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


def _read_plain(data: bytes, count: int, bits: int) -> tuple[NDArray[np.int64], int]:
    used = count * bits
    if 8 * len(data) < used:
        raise ValueError("packed latents end too early")
    found = np.unpackbits(np.frombuffer(data, np.uint8), count=used).reshape(count, bits)
    return found.astype(np.int64) @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64)), used
