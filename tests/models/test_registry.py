"""Custom embedders and rerankers, registered by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agentmem import Memory
from agentmem.errors import IncompatibleModelError, InputError, ModelError
from agentmem.models import register_embedder, register_reranker, registry
from agentmem.models.base import MemoryModel
from agentmem.models.registry import get_embedder
from agentmem.testing import tiny_model

Array = NDArray[np.float32]


class LetterCounts:
    """How often each letter occurs: not of unit norm."""

    name, dims = "letters", 26

    def __init__(self, fingerprint: str = "1") -> None:
        self.fingerprint = fingerprint

    def embed_documents(self, texts: Sequence[str]) -> Array:
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> Array:
        return np.array([text.lower().count(chr(97 + i)) for i in range(26)], dtype=np.float32)


class SharedWords:
    """How many words of the query a text contains."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def score(self, query: str, texts: Sequence[str]) -> Array:
        self.seen += texts
        words = set(query.lower().split())
        return np.array([len(words & set(text.lower().split())) for text in texts], np.float32)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations of a test end with it."""
    for part in (registry._EMBEDDERS, registry._RERANKERS):
        monkeypatch.setattr(part, "_factories", dict(part._factories))
        monkeypatch.setattr(part, "_made", {})


@pytest.fixture
def model() -> MemoryModel:
    return tiny_model()


def test_an_embedder_of_ones_own_is_what_is_searched(model: MemoryModel, tmp_path: Path) -> None:
    register_embedder("letters", lambda _: LetterCounts())
    with Memory(tmp_path / "s", model=model, embedder="letters") as memory:
        memory.add(["zzz zzz", "abc abc", "mmm"])
        hits = memory.recall("cba", mode="vector", k=3)
        assert hits[0].text == "abc abc"
        np.testing.assert_allclose(np.linalg.norm(hits[0].embedding), 1, atol=1e-2)
        assert memory.stats().fingerprint == f"{model.codec.fingerprint}, keys of letters 1"
    with pytest.raises(IncompatibleModelError):
        Memory(tmp_path / "s", model=model)
    register_embedder("letters", lambda _: LetterCounts("2"))
    with pytest.raises(IncompatibleModelError, match="letters 2"):
        Memory(tmp_path / "s", model=model, embedder="letters")


def test_a_text_without_any_letter_resembles_nothing(model: MemoryModel) -> None:
    register_embedder("letters", lambda _: LetterCounts())
    with Memory(":memory:", model=model, embedder="letters") as memory:
        memory.add(["123", "abc"])
        assert memory.recall("abc", mode="vector", k=1)[0].text == "abc"
        assert memory.verify().ok


def test_the_factory_gets_the_argument_and_is_called_once() -> None:
    calls: list[str] = []

    def make(argument: str) -> LetterCounts:
        calls.append(argument)
        return LetterCounts(argument)

    register_embedder("letters", make)
    assert get_embedder("letters:a:b") is get_embedder("letters:a:b")
    assert get_embedder("letters").fingerprint == ""
    assert calls == ["a:b", ""]


@pytest.mark.parametrize("name", ["", "builtin", "a:b"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InputError, match="must be a word other than 'builtin'"):
        register_embedder(name, lambda _: LetterCounts())


@pytest.mark.parametrize("broken", [np.zeros((1, 3)), np.full((1, 26), np.nan)])
def test_an_array_that_does_not_fit_is_rejected(
    model: MemoryModel, broken: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_embedder("letters", lambda _: LetterCounts())
    monkeypatch.setattr(LetterCounts, "embed_documents", lambda *_: broken)
    with (
        Memory(":memory:", model=model, embedder="letters") as memory,
        pytest.raises(ModelError, match=r"'letters' returned .* finite numbers of shape \(1, 26\)"),
    ):
        memory.add("abc")


class TestReranker:
    TALK = ("I like tea", "the grey cat sleeps", "coffee is for the morning")

    def test_it_sees_exact_texts_and_decides(self, model: MemoryModel) -> None:
        own = SharedWords()
        register_reranker("words", lambda _: own)
        with Memory(":memory:", model=model, reranker="words") as memory:
            memory.add([{"role": "user", "content": text, "name": "Ana"} for text in self.TALK])
            hits = memory.recall("where does the grey cat sleep", k=3)
            assert hits[0].text == "the grey cat sleeps"
            assert hits[0].explain["rerank"] == 1.0
        assert set(own.seen) == {f"Ana: {text}" for text in self.TALK}

    def test_patches_are_applied_and_damaged_rows_left_out(
        self, model: MemoryModel, tmp_path: Path
    ) -> None:
        own = SharedWords()
        register_reranker("words", lambda _: own)
        with Memory(tmp_path / "s", model=model, reranker="words") as memory:
            memory.add(self.TALK)
        with closing(sqlite3.connect(tmp_path / "s" / "memory.db")) as database, database:
            database.execute("UPDATE chunks SET patch = x'00000000ff' WHERE id = 1")
            database.execute("UPDATE chunks SET latents = x'00' WHERE id = 2")
        with Memory(tmp_path / "s", model=model, reranker="words") as memory:
            hits = memory.recall("the coffee tea cat", k=3)
        assert {hit.id: hit.explain["rerank"] for hit in hits} == {1: 0.0, 2: 0.0, 3: 1.0}
        assert own.seen == [self.TALK[2]]

    def test_an_array_that_does_not_fit_is_rejected(
        self, model: MemoryModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        register_reranker("words", lambda _: SharedWords())
        monkeypatch.setattr(SharedWords, "score", lambda *_: np.zeros(7))
        with Memory(":memory:", model=model, reranker="words") as memory:
            memory.add(self.TALK)
            with pytest.raises(ModelError, match=r"reranker returned an array of shape \(7,\)"):
                memory.recall("the tea")

    def test_an_unknown_one_is_rejected(self, model: MemoryModel) -> None:
        with pytest.raises(InputError, match="unknown reranker 'best': one of 'builtin'"):
            Memory(":memory:", model=model, reranker="best")


def test_the_example_of_the_module_runs() -> None:
    assert registry.__doc__ is not None
    code = registry.__doc__.split("::\n", 1)[1].split("A name may carry")[0]
    lines = "\n".join(line[4:] for line in code.splitlines())
    names: dict[str, object] = {}
    exec(lines, names)
    with names["mem"] as memory:  # type: ignore[attr-defined]
        memory.add("abc")
        assert memory.recall("cba", mode="vector")[0].text == "abc"
