"""BLOB codecs: round trips, and detection of every flipped bit and truncation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from agentmem_storage.errors import CorruptRecordError, InputError
from agentmem_storage.sql.schema import codec


@st.composite
def embeddings(draw: st.DrawFn) -> NDArray[np.float32]:
    values = draw(
        arrays(np.float32, st.integers(1, 300), elements=st.floats(-1, 1, width=32)).filter(
            lambda array: float(np.linalg.norm(array)) > 1e-3
        )
    )
    embedding: NDArray[np.float32] = (values / np.linalg.norm(values)).astype(np.float32)
    return embedding


@given(st.binary(min_size=1, max_size=300), st.integers(1, 65_535))
def test_latents_come_back(latents: bytes, positions: int) -> None:
    blob = codec.encode_latents(latents, positions)
    assert len(blob) == codec.COUNT_BYTES + 4 + len(latents)
    assert codec.decode_latents(blob, 1) == (latents, positions)
    assert codec.latents_positions(blob[: codec.COUNT_BYTES]) == positions


def test_the_header_is_small() -> None:
    assert codec.HEADER_BYTES <= 16


@given(embeddings())
def test_embeddings_come_back_close_and_of_unit_norm(embedding: NDArray[np.float32]) -> None:
    blob = codec.encode_embedding(embedding)
    assert len(blob) == codec.HEADER_BYTES + embedding.size
    restored = codec.decode_embedding(blob, 1)
    assert restored.dtype == np.float32
    assert restored.shape == embedding.shape
    assert abs(float(np.linalg.norm(restored.astype(np.float64))) - 1.0) < 1e-6
    # A level is 1/127 of the largest component, and rounding moves each by half of one at most.
    error = 0.5 / 127 * float(np.abs(embedding).max()) * np.sqrt(embedding.size)
    assert float(np.linalg.norm(restored - embedding)) <= 2 * error + 1e-6


@given(embeddings())
def test_a_decoded_embedding_encodes_to_the_same_bytes(embedding: NDArray[np.float32]) -> None:
    blob = codec.encode_embedding(embedding)
    assert codec.encode_embedding(codec.decode_embedding(blob, 1)) == blob


@given(st.integers(1, 8), st.integers(1, 40))
def test_many_embeddings_decode_as_each_alone(count: int, dims: int) -> None:
    rng = np.random.default_rng(count * 1000 + dims)
    some = rng.standard_normal((count, dims)).astype(np.float32)
    some /= np.linalg.norm(some, axis=1, keepdims=True)
    blobs = [codec.encode_embedding(embedding) for embedding in some]
    together = codec.decode_embeddings(blobs, range(count))
    for number, blob in enumerate(blobs):
        np.testing.assert_array_equal(together[number], codec.decode_embedding(blob, number))


@given(st.binary(max_size=300))
def test_patches_come_back(patch: bytes) -> None:
    blob = codec.encode_patch(patch)
    assert codec.decode_patch(blob, 1) == patch
    assert (blob is None) == (patch == b"")


LATENTS = codec.encode_latents(bytes(range(64)), 2)
EMBEDDING = codec.encode_embedding(np.full(25, 0.2, dtype=np.float32))
PATCH = codec.encode_patch(b"a patch") or b""
DECODERS = {
    "latents": (LATENTS, codec.decode_latents),
    "embedding": (EMBEDDING, codec.decode_embedding),
    "patch": (PATCH, codec.decode_patch),
}


@pytest.mark.parametrize("what", DECODERS)
def test_every_flipped_bit_is_noticed(what: str) -> None:
    blob, decode = DECODERS[what]
    for bit in range(len(blob) * 8):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptRecordError, match=f"the {what} of memory 42") as caught:
            decode(bytes(damaged), 42)
        assert caught.value.id == 42


@pytest.mark.parametrize("what", DECODERS)
def test_every_cut_and_every_tail_is_noticed(what: str) -> None:
    blob, decode = DECODERS[what]
    for size in range(len(blob)):
        with pytest.raises(CorruptRecordError):
            decode(blob[:size], 1)
    with pytest.raises(CorruptRecordError):
        decode(blob + b"\x00", 1)


def test_one_kind_is_not_taken_for_the_other() -> None:
    with pytest.raises(CorruptRecordError):
        codec.decode_latents(EMBEDDING, 1)
    with pytest.raises(CorruptRecordError):
        codec.decode_embedding(LATENTS, 1)


def test_a_damaged_embedding_among_many_is_named() -> None:
    with pytest.raises(CorruptRecordError) as caught:
        codec.decode_embeddings([EMBEDDING, EMBEDDING[:-1], EMBEDDING], [5, 6, 7])
    assert caught.value.id == 6


@pytest.mark.parametrize(
    ("latents", "positions"),
    [
        pytest.param(b"", 1, id="nothing"),
        pytest.param(b"x", 0, id="no vector"),
        pytest.param(b"x", 70_000, id="too many vectors"),
    ],
)
def test_bad_latents_are_refused(latents: bytes, positions: int) -> None:
    with pytest.raises(InputError, match=repr(positions)):
        codec.encode_latents(latents, positions)


@pytest.mark.parametrize(
    "embedding",
    [
        pytest.param(np.zeros(4, dtype=np.float32), id="zero"),
        pytest.param(np.array([np.nan, 1], dtype=np.float32), id="nan"),
        pytest.param(np.array([np.inf, 0], dtype=np.float32), id="infinite"),
        pytest.param(np.array([1, 1], dtype=np.float32), id="not of unit norm"),
        pytest.param(np.array([1, 0], dtype=np.int64), id="wrong dtype"),
        pytest.param(np.ones((1, 1), dtype=np.float32), id="two axes"),
        pytest.param(np.empty(0, dtype=np.float32), id="empty"),
    ],
)
def test_bad_embeddings_are_rejected(embedding: NDArray[np.float32]) -> None:
    with pytest.raises(InputError):
        codec.encode_embedding(embedding)
