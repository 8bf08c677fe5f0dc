"""Baselines of storage size: correct, lossless, and with favorable settings."""

from __future__ import annotations

import math
import random
import sys

import pytest
import zstandard

from agentmem.errors import InputError, MissingExtraError
from agentmem.evaluation.baselines import (
    BaselineBytes,
    baseline_bytes,
    huffman_lengths,
    id_packing_bytes,
    train_dictionary,
    zstd_pack,
)

WORDS = [
    f"{stem}{ending}" for stem in ("walk", "talk", "plan", "café") for ending in ("", "s", "ed")
]


def chunks(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=40)) for _ in range(count)]


@pytest.fixture(scope="module")
def dictionary() -> bytes:
    return train_dictionary(chunks(300, seed=0), size=4096)


def test_id_packing_by_hand() -> None:
    assert id_packing_bytes(256, 8192) == 416  # 13 bits each
    assert id_packing_bytes(256, 8193) == 448  # 14 bits
    assert id_packing_bytes(3, 8192) == 5  # 39 bits
    assert id_packing_bytes(0, 8192) == 0
    assert id_packing_bytes(9, 1) == 0
    with pytest.raises(ValueError, match="no chunk has -1 tokens"):
        id_packing_bytes(-1, 5)


@pytest.mark.parametrize("vocab", [2, 3, 255, 256, 257, 50_000])
def test_id_packing_is_the_formula(vocab: int) -> None:
    for tokens in range(20):
        assert id_packing_bytes(tokens, vocab) == math.ceil(
            tokens * math.ceil(math.log2(vocab)) / 8
        )


def test_packing_loses_nothing(dictionary: bytes) -> None:
    data = [text.encode() for text in (*chunks(5, seed=1), "", "ünïcödé 🙂", "x")]
    for given in (None, dictionary):
        unpacker = zstandard.ZstdDecompressor(
            dict_data=zstandard.ZstdCompressionDict(given) if given else None,
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        )
        unpacked = [unpacker.decompress(frame, 10_000) for frame in zstd_pack(data, given)]
        assert unpacked == data


def test_huffman_by_hand() -> None:
    # Counts with one added: 5, 3, 1, 1.
    assert huffman_lengths([0] * 4 + [1] * 2, 4) == [1, 2, 3, 3]
    assert huffman_lengths([], 4) == [2, 2, 2, 2]
    assert huffman_lengths([], 1) == [0]
    for ids in ([4], [-1]):
        with pytest.raises(ValueError, match="are not in 4"):
            huffman_lengths(ids, 4)


@pytest.mark.parametrize("vocab", [2, 3, 17, 500])
def test_huffman_is_the_best_prefix_code(vocab: int) -> None:
    rng = random.Random(vocab)
    ids = [min(int(rng.expovariate(5 / vocab)), vocab - 1) for _ in range(3000)]
    lengths = huffman_lengths(ids, vocab)
    # All of the code space is used, so that no code could be shorter by itself.
    assert sum(2.0**-bits for bits in lengths) == 1.0
    counts = [ids.count(id) + 1 for id in range(vocab)]
    total = sum(counts)
    entropy = -sum(count / total * math.log2(count / total) for count in counts)
    mean = sum(count * bits for count, bits in zip(counts, lengths, strict=True)) / total
    assert entropy <= mean < entropy + 1
    # More frequent, never longer.
    by_count = sorted(zip(counts, lengths, strict=True), key=lambda pair: (pair[0], -pair[1]))
    assert [bits for _, bits in by_count] == sorted(lengths, reverse=True)


def test_totals_and_per_token(dictionary: bytes) -> None:
    texts = ["café", *chunks(4, seed=2)]
    ids = [[0, 1], *[[1] * 50] * 4]
    lengths = [16, *[3] * 8191]
    sizes = baseline_bytes(texts, ids, dictionary=dictionary, code_lengths=lengths)
    assert sizes.utf8 == sum(len(text.encode()) for text in texts)
    assert sizes.id_packing == 4 + 4 * 82
    assert sizes.id_huffman == 3 + 4 * 19  # 19 bits, and 150
    # The dictionary knows the words; and our frames are below those that zstd makes by default.
    plain = [zstandard.ZstdCompressor(level=19).compress(text.encode()) for text in texts]
    assert sizes.zstd_dictionary < sizes.zstd < sum(map(len, plain))
    assert sizes.zstd_dictionary < sizes.utf8 / 3
    assert BaselineBytes(9, 10, 20, 30, 40).per_token(10) == {
        "zstd": 1.0,
        "zstd_dictionary": 2.0,
        "id_packing": 3.0,
        "id_huffman": 4.0,
    }
    with pytest.raises(ValueError, match="tokens must be 1 or more, got 0"):
        sizes.per_token(0)
    with pytest.raises(ValueError, match="shorter"):
        baseline_bytes(texts, ids[:1], dictionary=dictionary, code_lengths=lengths)


def test_a_dictionary_is_the_same_each_time_and_keeps_its_size(dictionary: bytes) -> None:
    assert train_dictionary(chunks(300, seed=0), size=4096) == dictionary
    assert 0 < len(dictionary) <= 4096


@pytest.mark.parametrize("texts", [[], ["too little"]], ids=["nothing", "one chunk"])
def test_too_little_text_for_a_dictionary_is_refused(texts: list[str]) -> None:
    with pytest.raises(InputError, match="give more text"):
        train_dictionary(texts)


def test_without_zstandard_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(
        MissingExtraError, match=r"pip install 'latent-agentmem\[train\]'"
    ) as raised:
        zstd_pack([b"x"])
    assert raised.value.extra == "train"
