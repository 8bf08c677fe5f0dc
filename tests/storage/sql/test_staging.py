"""From one model to another: staged beside what is in use, put in place at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agentmem_storage.errors import IncompatibleModelError, InputError, StoreNotFoundError
from agentmem_storage.records import (
    ModelBinding,
    NewChunk,
    NewSource,
    Scope,
    Selection,
    StagedChunk,
)
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_latents, make_source

NEW = ModelBinding("new-model", 5, "new-latents")
ANA = Scope("ana")
LONG = "a longer text in several parts " * 6  # chunks 1 to 3


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "s"


@pytest.fixture
def store(place: Path) -> Iterator[Store]:
    with opened(place) as store:
        store.add([make_source(LONG), make_source("second", name="Bo"), make_source("third")], ANA)
        yield store


def opened(place: Path, binding: ModelBinding | None = None) -> Store:
    binding = binding or ModelBinding(MODEL, EMBEDDING_DIMS)
    return Store.open(
        place,
        model=binding.model,
        embedding_dims=binding.embedding_dims,
        latents=binding.latents,
        index="exact",
    )


def direction(number: int) -> np.ndarray:
    """An embedding of the new model, of shape (5,)."""
    made = np.full(5, 0.1, dtype=np.float32)
    made[number % 5] = 1.0
    return made / np.linalg.norm(made)


def piece(text: str, start: int, number: int = 0) -> NewChunk:
    return NewChunk(
        start=start,
        end=start + len(text),
        tokens=len(text),
        latents=make_latents("new " + text, len(text)),
        positions=1,
        embedding=direction(number),
        patch=b"new patch",
        fidelity=0.5,
        text_hash=hashlib.sha256(text.encode()).digest(),
        terms=text,
    )


def test_other_embeddings_change_nothing_else(store: Store, place: Path) -> None:
    before = store.chunks(store.ids())
    assert store.unstaged(NEW).tolist() == [1, 2, 3, 4, 5]
    store.stage(NEW, [StagedChunk(id, direction(id)) for id in (1, 2, 3)])
    assert store.unstaged(NEW).tolist() == [4, 5]
    assert store.switch(NEW).left == (4, 5)
    assert store.model == MODEL
    store.stage(NEW, [StagedChunk(id, direction(id)) for id in (4, 5)])
    assert store.switch(NEW).left == ()
    after = store.chunks(store.ids())
    for old, new in zip(before, after, strict=True):
        assert new.embedding is not None
        assert np.abs(new.embedding - direction(new.id)).max() < 0.02
        for name in ("id", "source_id", "latents", "patch", "tokens", "fidelity", "text_hash"):
            assert getattr(new, name) == getattr(old, name)
    assert store.search_vectors(direction(4), 1).ids.tolist() == [4]
    assert list(store.check()) == []
    store.close()
    assert Store.binding(place) == NEW
    with opened(place, NEW) as again:
        assert list(again.check()) == []
        assert again.search_vectors(direction(2), 1).ids.tolist() == [2]
        assert again.search_terms("third", 9).ids.tolist() == [5]


def test_chunks_that_are_encoded_again_may_become_several(store: Store) -> None:
    store.forget([2], {2: LONG[64:128]})
    whole = [
        StagedChunk(1, direction(1), (piece(LONG[:40], 0), piece(LONG[40:64], 40))),
        StagedChunk(3, direction(3), (piece(LONG[128:], 128),)),
        StagedChunk(4, direction(4), (piece("sec", 0, 4), piece("on", 3), piece("d", 5))),
        StagedChunk(5, direction(5), (piece("third", 0),)),
    ]
    store.stage(NEW, whole)
    assert store.switch(NEW).split == (1, 4)
    assert [one.chunk_ids for one in store.sources([1, 2, 3])] == [(1, 6, 3), (4, 7, 8), (5,)]
    first, second = store.sources([1, 2])
    assert [(one.start, one.end) for one in store.chunks(first.chunk_ids)] == [
        *((0, 40), (40, 64), (128, len(LONG))),
    ]
    assert [one.tokens for one in store.chunks(second.chunk_ids)] == [3, 2, 1]
    assert {one.patch for one in store.chunks(store.ids())} == {b"new patch"}
    assert store.episodes([4]) == {4: store.episodes([7])[7]}
    assert store.terms_stale
    store.rebuild_terms((id, "some text") for id in store.ids().tolist())
    assert list(store.check()) == []
    assert store.ids(Selection(scope=ANA)).tolist() == [1, 3, 4, 5, 6, 7, 8]
    (added,) = store.add([encoded_by_new("more")], ANA)
    assert added.chunk_ids == (9,)


def encoded_by_new(text: str) -> NewSource:
    source = make_source(text)
    (chunk,) = source.chunks
    return replace(source, chunks=(replace(chunk, embedding=direction(0)),))


def test_what_others_add_is_staged_too(store: Store, place: Path) -> None:
    store.stage(NEW, [StagedChunk(id, direction(id)) for id in store.ids().tolist()])
    with opened(place) as other:
        other.add([make_source("fourth")], ANA)
        other.forget([5], {5: "third"})
    assert store.switch(NEW).left == (6,)
    store.stage(NEW, [StagedChunk(6, direction(6)), StagedChunk(5, direction(5))])
    assert store.switch(NEW).left == ()
    assert store.ids().tolist() == [1, 2, 3, 4, 6]
    assert list(store.check()) == []


def test_whoever_has_it_open_is_refused_afterwards(store: Store, place: Path) -> None:
    with opened(place) as other:
        assert other.search_vectors(make_source("third").chunks[0].embedding, 1).ids.tolist() == [5]
        store.stage(NEW, [StagedChunk(id, direction(id)) for id in store.ids().tolist()])
        store.switch(NEW)
        for call in (
            lambda: other.add([make_source("lost?")], ANA),
            lambda: other.search_vectors(make_source("third").chunks[0].embedding, 1),
            lambda: other.chunks([1]),
            lambda: other.update_source(1, metadata={"a": 1}),
            lambda: other.forget([1], {}),
        ):
            with pytest.raises(IncompatibleModelError, match=r"migrated.*'new-model'.*open it"):
                call()
    assert store.ids().tolist() == [1, 2, 3, 4, 5]
    assert list(store.check()) == []


def test_another_target_begins_anew(store: Store) -> None:
    store.stage(NEW, [StagedChunk(id, direction(id)) for id in store.ids().tolist()])
    third = ModelBinding("third-model", 5)
    assert store.unstaged(third).tolist() == [1, 2, 3, 4, 5]
    store.stage(third, [StagedChunk(1, direction(1))])
    assert store.unstaged(third).tolist() == [2, 3, 4, 5]
    assert store.unstaged(NEW).tolist() == [1, 2, 3, 4, 5]


def test_what_cannot_be_stored_is_refused(store: Store) -> None:
    with pytest.raises(InputError, match=r"shape \(5,\)"):
        store.stage(NEW, [StagedChunk(1, direction(1)), StagedChunk(2, np.ones(4, np.float32))])
    assert store.unstaged(NEW).size == 5


def test_forgetting_reaches_what_is_staged(store: Store, place: Path) -> None:
    secret = piece("a secret that nobody else shares", 0)
    store.stage(NEW, [StagedChunk(5, direction(5), (secret,))])
    store.close()
    assert secret.latents in (place / "memory.db").read_bytes()
    with opened(place) as store:
        assert store.forget([5], {5: "third"}).purged
        assert store.unstaged(NEW).tolist() == [1, 2, 3, 4]
    for file in place.rglob("*"):
        assert not file.is_file() or secret.latents not in file.read_bytes()


def test_nothing_of_the_old_model_remains(store: Store, place: Path) -> None:
    old = store.chunks([4])[0].latents
    parts = {id: piece(f"text {id}", 0) for id in store.ids().tolist()}
    store.stage(NEW, [StagedChunk(id, direction(id), (one,)) for id, one in parts.items()])
    store.switch(NEW)
    store.close()
    data = (place / "memory.db").read_bytes()
    assert old not in data
    assert data.count(parts[4].latents) == 1


def test_an_empty_store_is_switched_too(tmp_path: Path) -> None:
    with opened(tmp_path / "empty") as store:
        assert store.switch(NEW).left == ()
    assert Store.binding(tmp_path / "empty") == NEW


def test_the_binding_of_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        Store.binding(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_an_older_store_learns_what_its_latents_depend_on(tmp_path: Path) -> None:
    with opened(tmp_path / "old"):
        pass
    assert Store.binding(tmp_path / "old").latents is None
    with opened(tmp_path / "old", ModelBinding(MODEL, EMBEDDING_DIMS, "some-latents")):
        pass
    assert Store.binding(tmp_path / "old") == ModelBinding(MODEL, EMBEDDING_DIMS, "some-latents")
    # It is not written over.
    with opened(tmp_path / "old", ModelBinding(MODEL, EMBEDDING_DIMS, "others")):
        pass
    assert Store.binding(tmp_path / "old").latents == "some-latents"
