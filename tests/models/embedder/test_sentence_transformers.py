"""Embeddings of a sentence-transformers model: a real one, made small and untrained."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import BertConfig, BertModel, BertTokenizerFast

from agentmem import Memory
from agentmem.errors import (
    IncompatibleModelError,
    InputError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
)
from agentmem.models.bundle.load import ModelBundle
from agentmem.models.embedder.sentence_transformers import SentenceTransformerEmbedder
from agentmem.models.registry import get_embedder
from agentmem.models.text import with_embedder
from tests.support.cli import Cli

TRAIN = "We take the train to Lyon."
WORDS = "we take the train to lyon a grey cat sleeps on my roof when does it leave ? ."


def make_model(folder: Path, *, seed: int = 0, prompt: str = "") -> Path:
    """A BERT of two layers that knows a few words, and the mean of what it says of them."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    plain = folder.with_name(f"{folder.name}-bert")
    plain.mkdir()
    words = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()])
    (plain / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    BertTokenizerFast(str(plain / "vocab.txt")).save_pretrained(plain)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=len(words),
            hidden_size=24,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
        )
        BertModel(config).save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=32)
    prompts = {"query": prompt, "document": ""}
    SentenceTransformer(
        modules=[transformer, Pooling(24)], prompts=prompts, device="cpu"
    ).save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("keys") / "small")


@pytest.fixture(scope="module")
def embedder(place: Path) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(str(place))


def test_embeddings_have_unit_norm_and_do_not_depend_on_the_batch(
    embedder: SentenceTransformerEmbedder,
) -> None:
    assert embedder.name == "small"
    made = embedder.embed_documents([TRAIN, "a grey cat sleeps", "", "train " * 500])
    assert made.shape == (4, embedder.dims) == (4, 24)
    assert made.dtype == np.float32
    np.testing.assert_allclose((made * made).sum(-1), 1.0, atol=1e-5)
    np.testing.assert_allclose(embedder.embed_query(TRAIN), made[0], atol=1e-5)
    assert float(made[0] @ made[1]) < 0.999


def test_a_prompt_for_questions_is_used(tmp_path: Path) -> None:
    embedder = SentenceTransformerEmbedder(
        str(make_model(tmp_path / "asking", prompt="when does it "))
    )
    (passage,) = embedder.embed_documents(["leave ?"])
    assert float(passage @ embedder.embed_query("leave ?")) < 0.999
    np.testing.assert_allclose(
        embedder.embed_documents(["when does it leave ?"])[0], embedder.embed_query("leave ?")
    )


def test_the_fingerprint_goes_with_the_files_and_not_with_the_place(
    place: Path, embedder: SentenceTransformerEmbedder, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(place, moved)
    (moved / "README.md").write_text("a card", encoding="utf-8")
    assert SentenceTransformerEmbedder(str(moved)).fingerprint == embedder.fingerprint
    (moved / "1_Pooling" / "config.json").write_text(
        (place / "1_Pooling" / "config.json").read_text(encoding="utf-8") + " ", encoding="utf-8"
    )
    assert SentenceTransformerEmbedder(str(moved)).fingerprint != embedder.fingerprint
    other = SentenceTransformerEmbedder(str(make_model(tmp_path / "small", seed=1)))
    assert other.fingerprint != embedder.fingerprint


def test_a_store_remembers_finds_and_regenerates_with_them(
    place: Path, model: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    how = f"sentence-transformers:{place}"
    with Memory(tmp_path / "s", model=model, embedder=how) as memory:
        memory.add([TRAIN, "A grey cat sleeps on my roof."], user_id="ana")
    with Memory(tmp_path / "s", model=model, embedder=how) as memory:
        hit = memory.recall(TRAIN, mode="vector", k=1)[0]
        assert hit.text == TRAIN
        assert hit.embedding.shape == (24,)
        assert hit.latents_fingerprint == model.codec.fingerprint
        assert memory.verify().ok
        stats = memory.stats()
        assert stats.model == f"{model.name}, keys of small"
        assert stats.fingerprint.startswith(f"{model.codec.fingerprint}, keys of small ")


def test_a_store_with_another_embedder_is_rejected_by_name(
    place: Path, model: ModelBundle, tmp_path: Path
) -> None:
    how = f"sentence-transformers:{place}"
    with Memory(tmp_path / "theirs", model=model, embedder=how):
        pass
    with Memory(tmp_path / "own", model=model):
        pass
    with pytest.raises(
        IncompatibleModelError, match=r"keys of small .*24 dims.*embedder"
    ) as caught:
        Memory(tmp_path / "theirs", model=model)
    assert model.fingerprint in str(caught.value)
    with pytest.raises(IncompatibleModelError, match=r"not with .*keys of small .*embedder="):
        Memory(tmp_path / "own", model=model, embedder=how)
    other = make_model(tmp_path / "small", seed=1)
    with pytest.raises(IncompatibleModelError, match="keys of small .*keys of small"):
        Memory(tmp_path / "theirs", model=model, embedder=f"sentence-transformers:{other}")


def test_latents_are_the_bundles(embedder: SentenceTransformerEmbedder, model: ModelBundle) -> None:
    ids = [model.tokenizer.encode(text) for text in (TRAIN, "cat")]
    composed = with_embedder(model, embedder)
    for own, other in zip(model.encode(ids), composed.encode(ids), strict=True):
        assert (own.packed, own.patch, own.quantization) == (
            other.packed,
            other.patch,
            other.quantization,
        )
        assert other.embedding.shape == (24,)


def test_one_model_serves_many_threads(embedder: SentenceTransformerEmbedder) -> None:
    texts = [" ".join(WORDS.split()[:n]) for n in range(1, 12)]
    wanted = [embedder.embed_query(text) for text in texts]
    failed: list[Exception] = []

    def ask() -> None:
        try:
            for text, key in zip(texts, wanted, strict=True):
                np.testing.assert_allclose(embedder.embed_query(text), key, atol=1e-5)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_it_is_loaded_once(place: Path) -> None:
    name = f"sentence-transformers:{place}"
    assert get_embedder(name) is get_embedder(name)


@pytest.mark.parametrize(
    "wrong", ["", "minilm", "sentence-transformers", "sentence-transformers:", "builtin:x"]
)
def test_an_unknown_embedder_is_rejected(wrong: str, model: ModelBundle, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=f"unknown embedder '{wrong}'.*'builtin'.*'sentence-transformers:'"
    ):
        Memory(tmp_path / "s", model=model, embedder=wrong)
    assert not (tmp_path / "s").exists()


def test_an_embedder_that_is_not_a_string_is_rejected(model: ModelBundle, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="embedder is a string, not NoneType"):
        Memory(tmp_path / "s", model=model, embedder=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", ["no-such/model", "./nothing", "/no/where", "a b", "model"])
def test_what_is_not_on_this_machine_is_not_fetched(missing: str, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=rf"{missing!r} on this machine.*hf download"):
        Memory(tmp_path / "s", embedder=f"sentence-transformers:{missing}")
    assert not (tmp_path / "s").exists()


def test_a_damaged_model_is_an_error_of_ours(place: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(place, broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="broken"):
        SentenceTransformerEmbedder(str(broken))


def test_without_the_package_the_way_out_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"latent-agentmem\[sentence-t.*\]'") as caught:
        SentenceTransformerEmbedder(str(place))
    assert caught.value.extra == "sentence-transformers"


def test_the_command_line_opens_such_a_store(place: Path, tmp_path: Path) -> None:
    cli, how = Cli(tmp_path), f"sentence-transformers:{place}"
    cli.ok("add", TRAIN, "--embedder", how)
    assert "keys of small" in cli.error(6, "recall", "train")
    assert TRAIN in cli.ok("recall", "train", "--embedder", how)
    cli.environment["AGENTMEM_EMBEDDER"] = how
    assert cli.json("stats")["model"].endswith("keys of small")
    assert "fail" not in cli.ok("doctor")
