"""The rivals: counted right, packed without loss, and given every advantage."""

from __future__ import annotations

import math
import random
import sys

import pytest
import zstandard

from agentmem.errors import InputError, MissingExtraError
from agentmem.evaluation.rivals import (
    RivalBytes,
    id_packing_bytes,
    rival_bytes,
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


def test_totals_and_per_token(dictionary: bytes) -> None:
    texts = ["café", *chunks(4, seed=2)]
    rivals = rival_bytes(texts, [2, 50, 50, 50, 50], vocab_size=8192, dictionary=dictionary)
    assert rivals.utf8 == sum(len(text.encode()) for text in texts)
    assert rivals.id_packing == 4 + 4 * 82
    # The dictionary knows the words; and our frames are below those that zstd makes by default.
    plain = [zstandard.ZstdCompressor(level=19).compress(text.encode()) for text in texts]
    assert rivals.zstd_dictionary < rivals.zstd < sum(map(len, plain))
    assert rivals.zstd_dictionary < rivals.utf8 / 3
    assert RivalBytes(9, 10, 20, 30).per_token(10) == {
        "zstd": 1.0,
        "zstd_dictionary": 2.0,
        "id_packing": 3.0,
    }
    with pytest.raises(ValueError, match="tokens must be 1 or more, got 0"):
        rivals.per_token(0)
    with pytest.raises(ValueError, match="shorter"):
        rival_bytes(texts, [2], vocab_size=8192, dictionary=dictionary)


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
