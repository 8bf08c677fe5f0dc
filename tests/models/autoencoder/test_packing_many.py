"""Batch unpacking: equal to decoding symbol by symbol, and damage stays in its own row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentmem.ingest.chunk import chunk_text
from agentmem.models.autoencoder.canonical_codes import CodeReader, bit_windows, canonical_codes
from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.configuration import AutoencoderConfig
from agentmem.models.autoencoder.huffman import huffman_lengths
from agentmem.models.autoencoder.numpy_runtime import NumpyAutoencoder
from agentmem.models.autoencoder.packing import Codebook, Packer, load_codebooks
from agentmem.models.bundle.inspect import SAMPLES
from agentmem.models.bundle.load import load_bundle
from agentmem.models.bundle.manifest import shipped_bundle
from agentmem.testing import tiny_bundle

# One symbol for each slot, and one for each of its dims.
CONFIGS = {
    "slots": AutoencoderConfig(quantizations={"coarse": 9.5}),
    "dims": AutoencoderConfig(slot_dims=4, quantizations={"coarse": 1.0}),
}
SYMBOLS = {"slots": 27**2, "dims": 255}
seeds = st.integers(0, 2**32 - 1)


def tree(rng: np.random.Generator, symbols: int) -> NDArray[np.uint8]:
    """Lengths of a random code that fills its space exactly; many are very uneven."""
    lengths = [1, 1]
    deep = rng.random()
    while len(lengths) < symbols:
        place = len(lengths) - 1 if rng.random() < deep else int(rng.integers(len(lengths)))
        if lengths[place] < 32:
            lengths[place] += 1
            lengths.append(lengths[place])
    return rng.permutation(np.array(lengths, dtype=np.uint8))


def book_of(symbols: int, seed: int = 0, rows: int = 5) -> Codebook:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(symbols, 0.05), size=rows) + 2.0**-21
    return Codebook(
        rng.integers(0, rows - 1, symbols), np.stack([huffman_lengths(row) for row in shares])
    )


BOOKS = {name: book_of(symbols) for name, symbols in SYMBOLS.items()}


@cache
def sorted_codes(book: Codebook, context: int) -> tuple[list[int], NDArray[np.int64]]:
    codes = canonical_codes(book.lengths[context])
    order = np.argsort(codes)
    return codes[order].tolist(), order


def slow_symbols(data: bytes, count: int, book: Codebook) -> tuple[list[int], int]:
    """Symbols and the bits they take, one after the other, by a search among all codes."""
    padded = data + bytes(8)
    found: list[int] = []
    context, place = len(book.lengths) - 1, 0
    for _ in range(count):
        if place >= 8 * len(data):
            raise ValueError("ends too early")
        window = int.from_bytes(padded[place >> 3 : (place >> 3) + 5], "big")
        starts, order = sorted_codes(book, context)
        first = window >> (8 - (place & 7)) & 0xFFFFFFFF
        found.append(int(order[bisect_right(starts, first) - 1]))
        place += int(book.lengths[context, found[-1]])
        context = int(book.contexts[found[-1]])
    return found, place


def slow_codes(
    packed: bytes, tokens: int, config: AutoencoderConfig, quantization: str, book: Codebook
) -> NDArray[np.int8] | None:
    """What `Packer.unpack` has to find; None: damage."""
    width = config.quantizations[quantization]
    most = int(127 // width)
    symbols = book.lengths.shape[1]
    group = config.slot_dims if symbols > 2 * most + 1 else 1
    count = tokens * config.slot_dims // group
    if not packed or packed[0] >> 4 > 1:
        return None
    if packed[0] >> 4 == 0:
        bits = (symbols - 1).bit_length()
        text = "".join(f"{byte:08b}" for byte in packed[1:]).ljust(count * bits, "0")
        found = [int(text[bits * one : bits * (one + 1)], 2) for one in range(count)]
        used = count * bits
    else:
        try:
            found, used = slow_symbols(packed[1:], count, book)
        except ValueError:
            return None
    if len(packed) - 1 != (used + 7) // 8 or max(found) >= symbols:
        return None
    levels = [
        one // (2 * most + 1) ** dim % (2 * most + 1) for one in found for dim in range(group)
    ]
    codes = np.rint((np.array(levels) - most) * width).astype(np.int8)
    return np.asarray(codes.reshape(tokens, config.slot_dims))


def same(found: NDArray[np.int8] | ValueError, expected: NDArray[np.int8]) -> bool:
    return (
        not isinstance(found, ValueError)
        and found.dtype == np.int8
        and np.array_equal(found, expected)
    )


def codes_of(name: str, rng: np.random.Generator, lengths: Sequence[int]) -> list[NDArray[np.int8]]:
    """Tapes of which some are likely, so that they are coded, and some are not."""
    config, book = CONFIGS[name], BOOKS[name]
    width = config.quantizations["coarse"]
    most = int(127 // width)
    short = np.flatnonzero(book.lengths.max(0) <= 9 + rng.integers(0, 8))
    group = config.slot_dims if name == "slots" else 1
    all_codes = []
    for length in lengths:
        pool = short if len(short) and rng.random() < 0.7 else np.arange(SYMBOLS[name])
        symbols = rng.choice(pool, length * config.slot_dims // group)
        levels = symbols[:, None] // (2 * most + 1) ** np.arange(group) % (2 * most + 1) - most
        all_codes.append(np.rint(levels * width).astype(np.int8).reshape(length, config.slot_dims))
    return all_codes


@given(seed=seeds, symbols=st.integers(2, 150), counts=st.lists(st.integers(1, 60), max_size=20))
def test_symbols_of_any_code_are_decoded(seed: int, symbols: int, counts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    lengths = np.stack([tree(rng, symbols) for _ in range(4)])
    book = Codebook(rng.integers(0, 3, symbols), lengths)
    counts = sorted(counts, reverse=True)
    texts, given_symbols = [], [rng.integers(0, symbols, count) for count in counts]
    codes = [canonical_codes(row) for row in lengths]
    for row in given_symbols:
        contexts = [3, *book.contexts[row[:-1]]]
        texts.append(
            "".join(
                f"{codes[context][one]:032b}"[: lengths[context, one]]
                for context, one in zip(contexts, row, strict=True)
            )
        )
    # One behind the other, not at whole bytes.
    bits = "".join(texts)
    windows = bit_windows(np.packbits([int(bit) for bit in bits]).tobytes() if bits else b"")
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    starts = ends - np.array([len(text) for text in texts], dtype=np.int64)
    found, places = CodeReader(lengths, book.contexts).read(
        windows, starts, np.array(counts, dtype=np.int64)
    )
    assert np.array_equal(places, ends)
    for place, row in enumerate(given_symbols):
        assert np.array_equal(found[: len(row), place], row)


def test_windows_are_the_bits_from_each_bit_on() -> None:
    data = np.random.default_rng(0).bytes(9)
    bits = "".join(f"{byte:08b}" for byte in data) + "0" * 32
    assert bit_windows(data).tolist() == [int(bits[one : one + 32], 2) for one in range(72)]


@pytest.mark.parametrize("name", CONFIGS)
@given(seed=seeds, lengths=st.lists(st.integers(1, 256), max_size=30))
def test_many_come_back_as_they_were(name: str, seed: int, lengths: list[int]) -> None:
    packer = Packer(CONFIGS[name], "coarse", BOOKS[name])
    all_codes = codes_of(name, np.random.default_rng(seed), lengths)
    found = packer.unpack_many([packer.pack(codes) for codes in all_codes], lengths)
    assert len(found) == len(all_codes)
    for one, codes in zip(found, all_codes, strict=True):
        assert same(one, codes)


def test_both_ways_of_packing_are_read_together_and_order_is_kept() -> None:
    rng = np.random.default_rng(0)
    packer = Packer(CONFIGS["slots"], "coarse", BOOKS["slots"])
    lengths = rng.integers(1, 12, 1500).tolist()  # more than are read together
    all_codes = codes_of("slots", rng, lengths)
    packed = [packer.pack(codes) for codes in all_codes]
    assert {one[0] >> 4 for one in packed} == {0, 1}
    found = packer.unpack_many(packed, lengths)
    assert all(same(one, codes) for one, codes in zip(found, all_codes, strict=True))


@pytest.mark.parametrize("name", CONFIGS)
@given(seed=seeds, lengths=st.lists(st.integers(1, 12), min_size=1, max_size=15))
def test_damage_is_found_as_by_reading_one_symbol_after_the_other(
    name: str, seed: int, lengths: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    packer = Packer(CONFIGS[name], "coarse", BOOKS[name])
    packed = [bytearray(packer.pack(codes)) for codes in codes_of(name, rng, lengths)]
    for one in packed:
        kind = rng.integers(5)
        if kind == 0:
            one[rng.integers(len(one))] ^= 1 << rng.integers(8)
        elif kind == 1:
            del one[rng.integers(len(one)) :]
        elif kind == 2:
            one += rng.bytes(int(rng.integers(1, 3)))
    rows = [bytes(one) for one in packed]
    for row, length, found in zip(rows, lengths, packer.unpack_many(rows, lengths), strict=True):
        expected = slow_codes(row, length, CONFIGS[name], "coarse", BOOKS[name])
        if expected is None:
            assert isinstance(found, ValueError)
            with pytest.raises(ValueError, match="pack"):
                packer.unpack(row, length)
        else:
            assert same(found, expected)
            assert same(packer.unpack(row, length), expected)


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (lambda one: b"", "unknown packing method: b''"),
        (lambda one: b"\x20" + one[1:], "unknown packing method: b' '"),
        (lambda one: one[:-1], "do not hold 40 tokens"),
        (lambda one: one + b"\x00", "do not hold 40 tokens"),
        (lambda one: one[:1], "packed latents of 1 bytes do not hold 40 tokens"),
        (lambda one: b"\x00" + b"\xff" * 50, "packed latents of 51 bytes"),  # symbols of 1023
    ],
)
@pytest.mark.parametrize("place", [0, 7, 29])
def test_one_damaged_row_leaves_the_others(
    damaged: Callable[[bytes], bytes], message: str, place: int
) -> None:
    packer = Packer(CONFIGS["slots"], "coarse", BOOKS["slots"])
    all_codes = codes_of("slots", np.random.default_rng(place), [40] * 30)
    rows = [packer.pack(codes) for codes in all_codes]
    rows[place] = damaged(rows[place])
    found = packer.unpack_many(rows, [40] * 30)
    error = found.pop(place)
    assert isinstance(error, ValueError)
    assert message in str(error)
    del all_codes[place]
    assert all(same(one, codes) for one, codes in zip(found, all_codes, strict=True))


def test_coded_latents_without_a_codebook_are_rejected() -> None:
    plain = Packer(CONFIGS["slots"], "coarse")
    (codes,) = codes_of("slots", np.random.default_rng(0), [5])
    first, second = plain.unpack_many([plain.pack(codes), b"\x10abc"], [5, 5])
    assert same(first, codes)
    assert isinstance(second, ValueError)


def test_a_token_count_is_needed_for_each() -> None:
    with pytest.raises(ValueError, match="zip"):
        Packer(CONFIGS["slots"], "coarse").unpack_many([b"\x00"], [1, 2])


def test_the_shipped_codes_read_real_texts_as_before() -> None:
    bundle = load_bundle()
    folder = shipped_bundle() / "autoencoder"
    config = AutoencoderConfig.from_pretrained(folder)
    pieces = [
        piece.ids
        for text in SAMPLES
        for piece in chunk_text(text, bundle.tokenizer, max_tokens=bundle.codec.max_tokens)
    ]
    for quantization, book in load_codebooks(folder).items():
        encoded = bundle.encode(pieces, quantization=quantization)
        rows, counts = [one.packed for one in encoded], [len(ids) for ids in pieces]
        assert 1 in {row[0] >> 4 for row in rows}
        found = Packer(config, quantization, book).unpack_many(rows, counts)
        for row, count, one in zip(rows, counts, found, strict=True):
            expected = slow_codes(row, count, config, quantization, book)
            assert expected is not None
            assert same(one, expected)


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> LatentCodec:
    folder = tiny_bundle(tmp_path_factory.mktemp("bundle")) / "autoencoder"
    return LatentCodec(NumpyAutoencoder.from_pretrained(folder))


class TestCodec:
    def test_quantizations_are_mixed(self, codec: LatentCodec) -> None:
        rng = np.random.default_rng(0)
        chunks = [rng.integers(0, 384, length).tolist() for length in (3, 200, 17, 40, 1, 256)]
        coded = [
            codec.encode([chunk], quantizations=[quantization], min_fidelity=0.0)[0]
            for chunk, quantization in zip(chunks, ["fine", "coarse"] * 3, strict=True)
        ]
        packed, counts = [one.packed for one in coded], [len(chunk) for chunk in chunks]
        for found, one in zip(codec.unpack_many(packed, counts), coded, strict=True):
            assert same(found, one.latents)
        patches = [one.patch for one in coded]
        assert [ids.tolist() for ids in codec.decode(packed, counts, patches)] == chunks

    def test_damage_stays_where_it_is(self, codec: LatentCodec) -> None:
        chunks = [[5, 6, 7]] * 5
        coded = codec.encode(chunks, quantizations=["coarse"], min_fidelity=0.0)
        packed = [one.packed for one in coded]
        packed[0], packed[2] = b"", b"\x0f" + packed[2][1:]
        packed[3] += b"x"
        found = codec.unpack_many([*packed, packed[1]], [3, 3, 3, 3, 3, 0])
        assert [str(one) for one in found if isinstance(one, ValueError)] == [
            "packed latents are empty",
            "no 3 tokens of quantization 15",
            f"packed latents of {len(packed[3])} bytes do not hold 3 tokens",
            "no 0 tokens of quantization 1",
        ]
        assert same(found[1], coded[1].latents)
        assert same(found[4], coded[4].latents)
        with pytest.raises(ValueError, match="quantization 15"):
            codec.decode(packed[1:], [3] * 4)

    def test_nothing_gives_nothing(self, codec: LatentCodec) -> None:
        assert codec.unpack_many([], []) == []
