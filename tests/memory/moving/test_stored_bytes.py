"""The same input and bundle give the same stored bytes, and an old store stays readable."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agentmem import Memory
from agentmem_storage.sql.schema.codec import decode_embedding
from tests.support.stored import FIXTURE, answers, expected, fill, inputs, stored

# A key is a float vector rounded to int8: another processor may round a component the other way.
KEY_STEP = 2 / 127


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored") / "new"
    fill(folder)
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(FIXTURE / "memory.db", folder)
    return folder


def without_embeddings(found: dict[str, Any]) -> dict[str, Any]:
    chunks = [{name: v for name, v in row.items() if name != "key"} for row in found["chunks"]]
    return {**found, "chunks": chunks}


def embeddings(database: Path) -> list[Any]:
    with closing(sqlite3.connect(database)) as connection:
        return [
            decode_embedding(blob, id)
            for id, blob in connection.execute("SELECT id, key FROM chunks ORDER BY id")
        ]


def test_the_same_input_gives_the_same_rows(new: Path) -> None:
    found, then = (
        without_embeddings(stored(new / "memory.db")),
        without_embeddings(expected()["stored"]),
    )
    # A release may add steps to the schema, and changes none.
    steps = then.pop("migrations")
    assert found.pop("migrations")[: len(steps)] == steps
    # How words are split may change: the lexical index of an older store is made anew.
    del found["terms"], then["terms"]
    assert found == then


def test_the_same_input_gives_the_same_embeddings(new: Path) -> None:
    pairs = zip(embeddings(new / "memory.db"), embeddings(FIXTURE / "memory.db"), strict=True)
    for now, then in pairs:
        assert np.abs(now - then).max() < KEY_STEP


def test_the_database_is_the_one_that_the_digests_are_of() -> None:
    assert stored(FIXTURE / "memory.db") == expected()["stored"]


def test_every_text_of_an_old_store_comes_back(old: Path) -> None:
    with Memory(old, create=False) as memory:
        texts: dict[int, str] = {}
        for chunk in memory.list():
            texts[chunk.source.id] = texts.get(chunk.source.id, "") + chunk.text
        assert memory.verify().ok
    adds = inputs()["adds"]
    plain = [add["content"] for add in adds if isinstance(add.get("content"), str)]
    said = [add["content"]["content"] for add in adds if isinstance(add.get("content"), dict)]
    documents = [add["document"]["text"] for add in adds if "document" in add]
    assert {*plain, *said, *documents} <= set(texts.values())


def test_an_old_store_is_brought_to_the_bundle_of_this_release(old: Path) -> None:
    """Its latents stay, whatever embedder this release has: they are what holds the texts."""
    before = stored(old / "memory.db")["chunks"]
    assert Memory.migrate(old).changed in ("nothing", "embeddings")
    after = stored(old / "memory.db")["chunks"]
    names = ("id", "source_id", "latents", "patch", "tokens", "fidelity", "text_hash")
    for one, other in zip(before, after, strict=True):
        assert [one[name] for name in names] == [other[name] for name in names]
    with Memory(old, create=False) as memory:
        assert memory.verify().ok


def test_an_old_store_takes_new_memories_and_knows_what_it_has(old: Path) -> None:
    with Memory(old, create=False, quantization="fine") as memory:
        add = inputs()["adds"][0]
        again = memory.add(
            add["content"],
            created_at=add["created_at"],
            metadata=add["metadata"],
            **add["scope"],
        )
        assert again.duplicates == again.ids
        assert not memory.add("Something else altogether.", user_id="ana").duplicates


@pytest.mark.parametrize("which", ["old", "new"])
def test_recall_finds_the_same(which: str, request: pytest.FixtureRequest) -> None:
    found, wanted = answers(request.getfixturevalue(which)), expected()["answers"]
    for one, other in zip(found, wanted, strict=True):
        # Processors differ in the last bits of keys, so near ties may change places.
        then, scores = dict(other), [score for _, score in other]
        assert [score for _, score in one] == pytest.approx(scores, abs=0.01)
        assert [then.get(id, scores[-1]) for id, _ in one] == pytest.approx(scores, abs=0.01)
