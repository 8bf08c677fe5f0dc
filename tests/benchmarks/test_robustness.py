"""The robustness samples: reproducible, of the kind they claim, measured at every quantization."""

from __future__ import annotations

import json
import unicodedata
import uuid
from pathlib import Path

import numpy as np
import pytest

from agentmem.evaluation.coding import Coding, automatic, automatic_indices, measure
from agentmem.models.base import MIN_FIDELITY
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.tokenizer import SPECIAL_TOKENS
from agentmem.testing import tiny_bundle
from benchmarks.robustness.samples import KINDS, RANDOM_TOKENS, sample_chunks
from benchmarks.robustness.study import evaluate_robustness

FIGURES = {
    "token_accuracy",
    "exact_chunks",
    "latent_bytes_per_token",
    "patch_bytes_per_token",
    "stored_bytes_per_token",
    "patch_share",
    "byte_exact",
}


def joined(kind: str, model: ModelBundle) -> str:
    return "".join(chunk.text for chunk in sample_chunks(kind, model.tokenizer, count=20, seed=1))


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_are_what_their_ids_say_and_the_same_each_time(
    kind: str, model: ModelBundle
) -> None:
    chunks = sample_chunks(kind, model.tokenizer, count=20, seed=1)
    assert len(chunks) == 20
    for chunk in chunks:
        assert 0 < len(chunk.ids) <= 64
        assert model.tokenizer.decode(chunk.ids) == chunk.text
        if kind != RANDOM_TOKENS:
            assert tuple(model.tokenizer.encode(chunk.text)) == chunk.ids
    # Half of the room at least, else the kind would be one of shorter chunks.
    assert sum(len(chunk.ids) for chunk in chunks) > 20 * 32
    assert sample_chunks(kind, model.tokenizer, count=20, seed=1) == chunks
    other = sample_chunks(kind, model.tokenizer, count=20, seed=2)
    assert len({chunk.text for chunk in chunks} & {chunk.text for chunk in other}) < 5


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("Chinese", "CJK"),
        ("Arabic", "ARABIC"),
        ("Hindi", "DEVANAGARI"),
        ("Cyrillic", "CYRILLIC"),
    ],
)
def test_sentences_are_in_their_script(kind: str, script: str, model: ModelBundle) -> None:
    letters = [char for char in joined(kind, model) if char.isalpha()]
    assert len(letters) > 100
    assert {unicodedata.name(char).split()[0].split("-")[0] for char in letters} == {script}


def test_ids_numbers_and_noise_are_what_they_are_called(model: ModelBundle) -> None:
    assert set(joined("hex ids", model)) <= set("0123456789abcdef\n")
    # The last one may be cut by the end of the last chunk.
    for line in joined("UUIDs", model).split()[:-1]:
        assert uuid.UUID(line).version == 4
    for line in joined("URLs", model).split("\n")[:-1]:
        assert line.startswith("https://")
    assert any(line.endswith("Z") for line in joined("dates", model).split())
    assert max(joined("binary as text", model)) <= "\xff"
    assert not any(char.isascii() for char in joined("emoji", model))
    records = joined("JSON", model).replace("\n", " ").split('{"id": ')
    assert len(records) > 2


def test_random_tokens_are_no_special_tokens_and_differ(model: ModelBundle) -> None:
    chunks = sample_chunks(RANDOM_TOKENS, model.tokenizer, count=100, seed=0)
    ids = {id for chunk in chunks for id in chunk.ids}
    assert {len(chunk.ids) for chunk in chunks} == {64}
    assert ids == set(range(len(SPECIAL_TOKENS), model.tokenizer.vocab_size))


def test_an_unknown_kind_is_refused(model: ModelBundle) -> None:
    with pytest.raises(KeyError, match="poems"):
        sample_chunks("poems", model.tokenizer, count=1, seed=0)


def test_every_kind_is_measured_at_every_quantization(tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    folder = tiny_bundle(tmp_path)
    result = evaluate_robustness(
        model=folder, chunks=3, seed=5, on_progress=lambda *n: done.append(n)
    )
    quantizations = ModelBundle(folder).codec.quantizations
    assert (result.task, result.seed) == ("robustness", 5)
    assert result.config["quantizations"] == list(quantizations)
    assert tuple(result.results["kinds"]) == KINDS
    for kind in result.results["kinds"].values():
        assert kind["chunks"] == 3
        assert kind["utf8_bytes_per_token"] >= 0.5
        assert tuple(kind["quantizations"]) == quantizations
        for figures in kind["quantizations"].values():
            assert set(figures) == FIGURES
            assert figures["byte_exact"] is True
        # The tiny model has, at its finest quantization, a code of its own for every token.
        assert kind["quantizations"][quantizations[0]]["token_accuracy"] == 1.0
    assert done == [(n + 1, len(KINDS)) for n in range(len(KINDS))]
    json.loads(result.to_json())


def test_figures_are_those_of_what_is_stored(forgetful_model: ModelBundle) -> None:
    """What the sums say follows from what `encode` gives, where latents alone are not enough."""
    model = forgetful_model
    chunks = sample_chunks("code", model.tokenizer, count=20, seed=0)
    ids = [chunk.ids for chunk in chunks]
    for quantization in model.codec.quantizations:
        coding = measure(
            ids, [chunk.text for chunk in chunks], model.codec, quantization=quantization
        )
        encoded = model.encode(ids, quantization=quantization)
        assert coding.patch_bytes.tolist() == [len(item.patch) for item in encoded]
        assert coding.latent_bytes.tolist() == [len(item.packed) for item in encoded]
        figures, tokens = coding.figures(), sum(map(len, ids))
        patches, latents = int(coding.patch_bytes.sum()), int(coding.latent_bytes.sum())
        assert patches > 0
        assert figures["patch_share"] == patches / (patches + latents)
        assert figures["stored_bytes_per_token"] == (patches + latents) / tokens
        right = sum(round(item.fidelity * len(row)) for item, row in zip(encoded, ids, strict=True))
        assert figures["token_accuracy"] == pytest.approx(right / tokens)
        assert figures["token_accuracy"] < 1
        assert figures["byte_exact"] is True


def test_a_text_that_does_not_come_back_is_seen(model: ModelBundle) -> None:
    ids = [model.tokenizer.encode("as it was"), model.tokenizer.encode("as it is")]
    coding = measure(
        ids, ["as it was", "as it was"], model.codec, quantization=model.codec.quantizations[0]
    )
    assert coding.is_exact.tolist() == [True, False]
    assert coding.figures()["byte_exact"] is False


def test_automatic_is_what_encode_takes_by_itself(forgetful_model: ModelBundle) -> None:
    model = forgetful_model
    chunks = sample_chunks("JSON", model.tokenizer, count=30, seed=0)
    ids, texts = [chunk.ids for chunk in chunks], [chunk.text for chunk in chunks]
    found = automatic(
        {
            name: measure(ids, texts, model.codec, quantization=name)
            for name in model.codec.quantizations
        },
        MIN_FIDELITY,
    )
    encoded = model.encode(ids)
    assert found.latent_bytes.tolist() == [len(item.packed) for item in encoded]
    assert found.patch_bytes.tolist() == [len(item.patch) for item in encoded]
    assert found.fidelity.tolist() == [item.fidelity for item in encoded]


def test_automatic_takes_the_coarsest_that_is_good_enough() -> None:
    fine, middle, coarse = (
        np.array([1.0, 1.0, 0.5, 0.9]),
        np.array([1.0, 0.99, 0.4, 1.0]),
        np.array([0.99, 0.98, 0.3, 0.9]),
    )
    assert automatic_indices([fine, middle, coarse], 0.99).tolist() == [2, 1, 0, 1]
    whole = np.arange(4)

    def coding(fidelity: np.ndarray, size: int) -> Coding:
        return Coding(np.full(4, 10), fidelity, whole + size, whole, fidelity < 2)

    found = automatic(
        {"f": coding(fine, 100), "m": coding(middle, 50), "c": coding(coarse, 0)}, 0.99
    )
    assert found.latent_bytes.tolist() == [0, 51, 102, 53]
    assert found.fidelity.tolist() == [0.99, 0.99, 0.5, 1.0]
    assert found.figures()["exact_chunks"] == 0.25
