"""NumPy and torch: the same latents, patches and texts; tiny embeddings and scores that agree."""

from __future__ import annotations

import importlib.util
import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.errors import InputError, MissingExtraError
from agentmem.models.autoencoder.codec import LatentCodec
from agentmem.models.autoencoder.numpy_runtime import NumpyAutoencoder
from agentmem.models.base import Encoded, Latent, Passage
from agentmem.models.bundle.load import ModelBundle, load_bundle
from agentmem.models.bundle.manifest import shipped_bundle
from benchmarks.robustness.samples import KINDS, sample_chunks

# Chunks of each kind, and their length.
SHORT = (12, 48)
MANY = (2000 // len(KINDS) + 1, 256)


@pytest.fixture(scope="module")
def bundles() -> tuple[ModelBundle, ModelBundle]:
    return load_bundle(tiny=True), load_bundle(None, "torch", tiny=True)


def chunks_of_every_kind(model: ModelBundle, count: int, tokens: int) -> list[tuple[int, ...]]:
    """Of mixed lengths: every other one is cut somewhere."""
    rng = random.Random(0)
    chunks = []
    for kind in KINDS:
        samples = sample_chunks(kind, model.tokenizer, count=count, seed=7, max_tokens=tokens)
        for number, sample in enumerate(samples):
            end = rng.randint(1, len(sample.ids)) if number % 2 else len(sample.ids)
            chunks.append(sample.ids[:end])
    return chunks


def stored(one: Encoded) -> tuple[object, ...]:
    return one.packed, one.quantization, one.patch, one.fidelity, one.latents.tobytes()


def assert_the_same(
    bundles: tuple[ModelBundle, ModelBundle], chunks: list[tuple[int, ...]]
) -> None:
    one, other = bundles
    for quantization in one.codec.quantizations:
        made = one.encode(chunks, quantization=quantization)
        again = other.encode(chunks, quantization=quantization)
        assert [stored(a) for a in made] == [stored(b) for b in again]
        for a, b in zip(made, again, strict=True):
            np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-4, rtol=0)
        latents = [Latent(a.packed, len(ids), a.patch) for a, ids in zip(made, chunks, strict=True)]
        for model in bundles:
            assert model.codec.regenerate(latents) == [list(ids) for ids in chunks]
    # Of the coarser quantization some chunks need a patch.
    assert 0 < sum(bool(a.patch) for a in made) < len(made)


def assert_scores_agree(
    bundles: tuple[ModelBundle, ModelBundle], chunks: list[tuple[int, ...]]
) -> None:
    rng = random.Random(1)
    made = bundles[0].encode(chunks)
    passages = [Passage(a.packed, len(ids)) for a, ids in zip(made, chunks, strict=True)]
    for _ in range(max(4, len(chunks) // 50)):
        at = rng.sample(range(len(chunks)), 40)
        views = [(own, *rng.choices([None, *range(40)], k=2)) for own in range(40)]
        query = chunks[rng.choice(at)][: rng.randint(1, 30)]
        scores = []
        for model in bundles:
            assert model.reranker is not None
            scores.append(model.reranker.rerank(query, [passages[place] for place in at], views))
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-4, rtol=0)


def test_they_store_and_find_the_same(bundles: tuple[ModelBundle, ModelBundle]) -> None:
    chunks = chunks_of_every_kind(bundles[0], *SHORT)
    assert_the_same(bundles, chunks)
    assert_scores_agree(bundles, chunks)


@pytest.mark.slow
def test_they_store_and_find_the_same_of_thousands(
    bundles: tuple[ModelBundle, ModelBundle],
) -> None:
    chunks = chunks_of_every_kind(bundles[0], *MANY)
    assert_the_same(bundles, chunks)
    assert_scores_agree(bundles, chunks)


class AnotherMachine(NumpyAutoencoder):
    """Float32 comes out differently: codes by a hundredth of a step. Float64 does not."""

    noise = np.random.default_rng(0)

    def to_codes(self, states: Any, quantization: str) -> Any:
        return self._shaken(super().to_codes(states, quantization), 0.01 / 127)

    def to_logits(self, states: Any) -> Any:
        return self._shaken(super().to_logits(states), 1e-4)

    def _shaken(self, made: NDArray[Any], by: float) -> NDArray[Any]:
        if made.dtype == np.float64:
            return made
        return made + np.float32(by) * self.noise.uniform(-1, 1, made.shape).astype(np.float32)


@pytest.mark.parametrize("close", [0.02, 0.0])
def test_what_is_stored_does_not_depend_on_how_a_machine_rounds(
    bundles: tuple[ModelBundle, ModelBundle], monkeypatch: pytest.MonkeyPatch, close: float
) -> None:
    monkeypatch.setattr("agentmem.models.autoencoder.rounding._CLOSE", close)
    chunks = chunks_of_every_kind(bundles[0], 3, 48)
    folder = shipped_bundle() / "autoencoder"
    here, there = (
        [
            stored(one)
            for one in LatentCodec(kind.from_pretrained(folder)).encode(
                chunks, quantizations=["standard"], min_fidelity=1
            )
        ]
        for kind in (NumpyAutoencoder, AnotherMachine)
    )
    # Without float64 some codes are rounded to the other side.
    assert (here == there) == bool(close)


def test_a_memory_uses_the_one_that_it_is_told(bundles: tuple[ModelBundle, ModelBundle]) -> None:
    for runtime, model in zip((None, "torch"), bundles, strict=True):
        with Memory(":memory:", embedder="tiny", runtime=runtime) as memory:  # type: ignore[arg-type]
            assert memory._model is model
            memory.add("Booked the 9:40 to Lyon")
            assert memory.recall("train to Lyon", rerank="latent")[0].text.startswith("Booked")


def test_a_runtime_that_there_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"runtime must be one of .*'numpy', 'torch'.* got 'jax'"):
        Memory(":memory:", runtime="jax")  # type: ignore[arg-type]
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "agentmem.models.bundle.runtimes.find_spec",
        lambda name: None if name == "torch" else found(name),
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'latent-agentmem\[reader\]'"):
        ModelBundle(runtime="torch")


def test_a_loaded_model_has_one_already(model: ModelBundle) -> None:
    with pytest.raises(InputError, match="runtime='torch' cannot change a loaded model"):
        Memory(":memory:", model=model, runtime="torch")
