"""Latents and patches: exact round trips, even with a model that regenerates half of the ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.modeling import MemoryAutoencoder
from agentmem.models.autoencoder.numpy_runtime import NumpyAutoencoder
from agentmem.models.autoencoder.patch import apply_patch
from agentmem.models.autoencoder.torch_runtime import TorchAutoencoder
from agentmem.models.base import Encoded
from agentmem.testing import tiny_bundle

VOCAB, SLOTS, PER_VECTOR, BITS = 384, 2, 16, 9
# Seeds of chunks and their lengths; ids are drawn uniformly, the hardest text there is.
batches = st.tuples(
    st.integers(0, 2**32 - 1), st.lists(st.integers(1, 256), min_size=1, max_size=8)
)


def chunks_of(batch: tuple[int, list[int]]) -> list[list[int]]:
    seed, lengths = batch
    rng = np.random.default_rng(seed)
    return [rng.integers(0, VOCAB, length).tolist() for length in lengths]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle")) / "autoencoder"


def codec_of(model: MemoryAutoencoder, runtime: str) -> LatentCodec:
    if runtime == "torch":
        return LatentCodec(TorchAutoencoder(model))
    weights = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    return LatentCodec(NumpyAutoencoder(model.config, weights))


@pytest.fixture(scope="module", params=["numpy", "torch"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def exact(folder: Path, runtime: str) -> LatentCodec:
    return codec_of(MemoryAutoencoder.from_pretrained(folder), runtime)


@pytest.fixture(scope="module")
def blurred_model(folder: Path) -> MemoryAutoencoder:
    """A model with noise on its weights: many tokens come back wrong, many by a hair."""
    model = MemoryAutoencoder.from_pretrained(folder)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            size = 0.04 * weight.std() + 0.002
            weight.add_(size * torch.randn(weight.shape, generator=generator))
        # Untrained logits are far apart; bring them as near to each other as trained ones.
        model.decoder_norm.weight.mul_(0.2)
    return model


@pytest.fixture(scope="module")
def blurred(blurred_model: MemoryAutoencoder, runtime: str) -> LatentCodec:
    return codec_of(blurred_model, runtime)


def encoded(codec: LatentCodec, chunks: Sequence[Sequence[int]]) -> list[Encoded]:
    """At the finest quantization, which all these chunks then have in common."""
    return codec.encode(chunks, quantizations=["fine"], min_fidelity=1.0)


def decoded(
    codec: LatentCodec, coded: Sequence[Encoded], chunks: Sequence[Sequence[int]], *, patched: bool
) -> list[list[int]]:
    found = codec.decode(
        [item.packed for item in coded],
        [len(chunk) for chunk in chunks],
        [item.patch for item in coded] if patched else None,
    )
    assert {ids.dtype for ids in found} == {np.dtype(np.int64)}
    return [ids.tolist() for ids in found]


def same(one: Encoded, other: Encoded) -> bool:
    return (one.packed, one.patch, one.fidelity) == (
        other.packed,
        other.patch,
        other.fidelity,
    )


@given(batch=batches)
def test_every_chunk_comes_back(
    exact: LatentCodec, blurred: LatentCodec, batch: tuple[int, list[int]]
) -> None:
    chunks = chunks_of(batch)
    for codec in (exact, blurred):
        assert decoded(codec, encoded(codec, chunks), chunks, patched=True) == chunks


@given(batch=batches)
def test_latents_are_int8_vectors_with_nothing_behind_the_end(
    blurred: LatentCodec, batch: tuple[int, list[int]]
) -> None:
    chunks = chunks_of(batch)
    for chunk, item in zip(chunks, encoded(blurred, chunks), strict=True):
        assert item.latents.dtype == np.int8
        assert item.latents.shape == (-(-len(chunk) // PER_VECTOR), PER_VECTOR * SLOTS)
        assert int(item.latents.min()) >= -127
        codes = item.latents.reshape(-1, SLOTS)
        assert not codes[len(chunk) :].any()
        assert codes[: len(chunk)].any()


@given(batch=batches)
def test_fidelity_is_the_share_that_latents_alone_say(
    blurred: LatentCodec, batch: tuple[int, list[int]]
) -> None:
    chunks = chunks_of(batch)
    coded = encoded(blurred, chunks)
    alone = decoded(blurred, coded, chunks, patched=False)
    for chunk, said, item in zip(chunks, alone, coded, strict=True):
        right = sum(one == other for one, other in zip(chunk, said, strict=True))
        assert item.fidelity == pytest.approx(right / len(chunk))
        assert len(item.patch) <= 1 + (len(chunk) * BITS + 7) // 8


def test_fidelity_of_the_two_models(exact: LatentCodec, blurred: LatentCodec) -> None:
    # The other tests mean something only where one is perfect and the other is not.
    chunks = chunks_of((0, [200] * 10))
    assert all(item.fidelity == 1 and item.patch == b"" for item in encoded(exact, chunks))
    assert 0.5 < np.mean([item.fidelity for item in encoded(blurred, chunks)]) < 0.9


@given(batch=batches)
def test_the_same_input_gives_the_same_bytes(
    blurred: LatentCodec, batch: tuple[int, list[int]]
) -> None:
    chunks = chunks_of(batch)
    assert all(map(same, encoded(blurred, chunks), encoded(blurred, chunks)))


@given(batch=batches)
def test_decoding_does_not_depend_on_order_or_batch(
    blurred: LatentCodec, batch: tuple[int, list[int]]
) -> None:
    chunks = chunks_of(batch)
    coded = encoded(blurred, chunks)
    backwards = decoded(blurred, coded[::-1], chunks[::-1], patched=True)
    assert backwards == chunks[::-1]
    for chunk, item in zip(chunks, coded, strict=True):
        assert decoded(blurred, [item], [chunk], patched=True) == [chunk]


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "one-thread": lambda: threads(1),
    "two-threads": lambda: threads(2),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "bfloat16-default": lambda: default_dtype(torch.bfloat16),
    "gradients-on": torch.enable_grad,
}


@pytest.mark.parametrize("surroundings", SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_encoding_does_not_depend_on_the_batch(
    blurred: LatentCodec, surroundings: Callable[[], AbstractContextManager[None]]
) -> None:
    chunks = chunks_of((5, [256, 256, 17, 250, 3, 1, 100, 16]))
    plain = encoded(blurred, chunks)
    with surroundings():
        assert decoded(blurred, plain, chunks, patched=True) == chunks
        written = encoded(blurred, chunks)
    assert decoded(blurred, written, chunks, patched=True) == chunks


def test_rounding_may_flip_a_close_call(
    blurred: LatentCodec, blurred_model: MemoryAutoencoder
) -> None:
    """The margin rule: where two ids are all but equal, either may be regenerated elsewhere."""
    chunks = chunks_of((6, [250] * 8))
    flipped = 0
    for chunk, item in zip(chunks, encoded(blurred, chunks), strict=True):
        codes = torch.from_numpy(item.latents.reshape(1, -1, SLOTS)[:, : len(chunk)]) / 127
        with torch.no_grad():
            logits = blurred_model.decode_codes(codes, None, "fine")[0]
        best = logits.topk(2)
        close = best.values[:, 0] - best.values[:, 1] < 0.1
        elsewhere = torch.where(close, best.indices[:, 1], best.indices[:, 0]).numpy()
        assert apply_patch(elsewhere, item.patch, bits=BITS).tolist() == chunk
        flipped += int((close & (best.indices[:, 0] == torch.tensor(chunk))).sum())
    assert flipped > 0


def test_noise_far_above_rounding_error_is_patched(
    blurred: LatentCodec, blurred_model: MemoryAutoencoder
) -> None:
    # Logits that differ by 0.04 each stand for another CPU: a thousand times what was seen.
    chunks = chunks_of((7, [250] * 8))
    generator = torch.Generator().manual_seed(0)
    differ = 0
    for chunk, item in zip(chunks, encoded(blurred, chunks), strict=True):
        codes = torch.from_numpy(item.latents.reshape(1, -1, SLOTS)[:, : len(chunk)]) / 127
        with torch.no_grad():
            logits = blurred_model.decode_codes(codes, None, "fine")[0]
        here = logits.argmax(-1)
        there = (logits + 0.08 * (torch.rand(logits.shape, generator=generator) - 0.5)).argmax(-1)
        differ += int((here != there).sum())
        assert apply_patch(there.numpy(), item.patch, bits=BITS).tolist() == chunk
    assert differ > 0


def test_a_large_job_is_split_and_keeps_its_order(exact: LatentCodec) -> None:
    chunks = chunks_of((8, [256, 1, 64] * 25))  # some 8,000 tokens, more than one batch
    coded = encoded(exact, chunks)
    assert [item.latents.shape[0] for item in coded] == [16, 1, 4] * 25
    assert decoded(exact, coded, chunks, patched=True) == chunks


def test_nothing_gives_nothing(exact: LatentCodec) -> None:
    assert encoded(exact, []) == []
    assert exact.decode([], [], []) == []


def test_a_damaged_patch_is_refused(exact: LatentCodec) -> None:
    (item,) = encoded(exact, [[9, 10, 11]])
    with pytest.raises(ValueError, match="unknown kind 77"):
        exact.decode([item.packed], [3], [b"M"])


@given(batch=batches, quantization=st.sampled_from(["fine", "coarse"]))
def test_packed_latents_are_the_latents(
    blurred: LatentCodec, batch: tuple[int, list[int]], quantization: str
) -> None:
    chunks = chunks_of(batch)
    for chunk, item in zip(
        chunks, blurred.encode(chunks, quantizations=[quantization], min_fidelity=0.0), strict=True
    ):
        assert item.quantization == quantization
        assert np.array_equal(blurred.unpack(item.packed, len(chunk)), item.latents)
        for wrong in (item.packed[:-1], item.packed + b"x", b"", b"\x0f" + item.packed[1:]):
            with pytest.raises(ValueError, match="packed|quantization"):
                blurred.unpack(wrong, len(chunk))


@given(batch=batches, least=st.sampled_from([0.0, 0.5, 0.7, 0.9, 1.0]))
def test_the_coarsest_quantization_that_verifies_is_chosen(
    blurred: LatentCodec, batch: tuple[int, list[int]], least: float
) -> None:
    chunks = chunks_of(batch)
    order = ["coarse", "fine"]
    coarse_ones, fine_ones = (
        blurred.encode(chunks, quantizations=[name], min_fidelity=0.0) for name in order
    )
    chosen = blurred.encode(chunks, quantizations=order, min_fidelity=least)
    for one, coarse, fine in zip(chosen, coarse_ones, fine_ones, strict=True):
        expected = coarse if coarse.fidelity >= least else fine
        assert (one.quantization, one.latents.tobytes()) == (
            expected.quantization,
            expected.latents.tobytes(),
        )
    assert decoded(blurred, chosen, chunks, patched=True) == chunks
