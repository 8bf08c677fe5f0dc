"""Packing of latents: lossless, with code lengths that follow symbol frequencies."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.autoencoder.huffman import huffman_lengths
from agentmem.models.autoencoder.packing import (
    Codebook,
    Packer,
    load_codebooks,
    save_codebooks,
)

CONFIGS = {
    "slots": AutoencoderConfig(quantizations={"fine": 1.0, "coarse": 9.5}),
    "dims": AutoencoderConfig(slot_dims=4, quantizations={"fine": 1.0, "coarse": 9.5}),
}


def codebook(symbols: int, seed: int = 0, rows: int = 5) -> Codebook:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(symbols, 0.05), size=rows) + 2.0**-21
    return Codebook(
        rng.integers(0, rows - 1, symbols), np.stack([huffman_lengths(row) for row in shares])
    )


@cache
def packer_of(name: str, quantization: str, coded: bool) -> Packer:
    """Made once: codes for the 65,025 symbols of a fine quantization take seconds."""
    plain = Packer(CONFIGS[name], quantization)
    return Packer(CONFIGS[name], quantization, codebook(plain.symbols)) if coded else plain


def codes_of(
    config: AutoencoderConfig, quantization: str, seed: int, tokens: int
) -> NDArray[np.int8]:
    width = config.quantizations[quantization]
    most = int(127 // width)
    levels = np.random.default_rng(seed).integers(-most, most + 1, (tokens, config.slot_dims))
    return np.rint(levels * width).astype(np.int8)


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "coded"])
@pytest.mark.parametrize("quantization", ["fine", "coarse"])
@pytest.mark.parametrize("name", CONFIGS)
@given(seed=st.integers(0, 2**32 - 1), tokens=st.integers(1, 256))
def test_all_codes_round_trip(
    name: str, quantization: str, coded: bool, seed: int, tokens: int
) -> None:
    plain, packer = packer_of(name, quantization, False), packer_of(name, quantization, coded)
    codes = codes_of(CONFIGS[name], quantization, seed, tokens)
    packed = packer.pack(codes)
    assert np.array_equal(packer.unpack(packed, tokens), codes)
    assert len(packed) <= len(plain.pack(codes))
    with pytest.raises(ValueError, match="packed"):
        packer.unpack(packed + b"\x00", tokens)


def test_frequent_symbols_take_few_bits() -> None:
    config = CONFIGS["slots"]
    packer = Packer(config, "coarse")
    lengths = huffman_lengths(np.array([0.5, *[0.5 / (packer.symbols - 1)] * (packer.symbols - 1)]))
    book = Codebook(np.zeros(packer.symbols, np.int64), np.stack([lengths] * 2))
    corner = np.full((100, 2), -round(13 * 9.5), dtype=np.int8)  # symbol 0
    packed = Packer(config, "coarse", book).pack(corner)
    assert len(packed) == 1 + 13  # 100 bits
    assert np.array_equal(Packer(config, "coarse", book).unpack(packed, 100), corner)


@given(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=200))
def test_huffman_lengths_fill_the_code_space_and_are_within_a_bit(shares: list[float]) -> None:
    given_shares: NDArray[np.float64] = np.array(shares) / sum(shares)
    lengths = huffman_lengths(given_shares).astype(float)
    assert (2.0**-lengths).sum() == 1.0
    entropy = -(given_shares * np.log2(given_shares)).sum()
    assert entropy - 1e-9 <= (given_shares * lengths).sum() < entropy + 1


def test_codebooks_are_kept_beside_the_weights(tmp_path: Path) -> None:
    assert load_codebooks(tmp_path) == {}
    books = {"coarse": codebook(729), "fine": codebook(1000, 1)}
    save_codebooks(tmp_path, books)
    found = load_codebooks(tmp_path)
    assert found.keys() == books.keys()
    for name, book in books.items():
        assert np.array_equal(found[name].contexts, book.contexts)
        assert np.array_equal(found[name].lengths, book.lengths)


def test_a_codebook_of_another_quantization_is_rejected() -> None:
    with pytest.raises(ValueError, match="729 symbols"):
        Packer(CONFIGS["slots"], "fine", codebook(729))
