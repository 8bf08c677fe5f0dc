"""`Memory.migrate`: to another bundle or embedder and back, with every byte, whatever happens."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine

from agentmem import AsyncMemory, Document, Memory
from agentmem.errors import (
    CorruptRecordError,
    IncompatibleModelError,
    InputError,
    StoreNotFoundError,
)
from agentmem.models import register_embedder
from agentmem.models.bundle.inspect import SAMPLES
from agentmem.testing import tiny_bundle
from agentmem_storage.sql.schema import seal
from tests.support.bundles import with_other_embedder, with_other_tokenizer

LONG = " ".join(
    f"The quick brown fox {n} jumps over the lazy dog; she came back." for n in range(40)
)


class Letters:
    """An embedder of one's own."""

    name, fingerprint, dims = "letters", "1", 26

    def embed_documents(self, texts: Any) -> Any:
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> Any:
        return np.array([text.lower().count(chr(97 + i)) for i in range(26)], np.float32)


register_embedder("letters", lambda _: Letters())


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``a``, ``b`` (another autoencoder), ``embedder`` and ``tokenizer``."""
    folder = tmp_path_factory.mktemp("bundles")
    tiny_bundle(folder / "a")
    tiny_bundle(folder / "b", seed=1)
    with_other_embedder(folder / "embedder")
    with_other_tokenizer(folder / "tokenizer", seed=2)
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Path:
    """A small store of memories of every kind, some of them changed and forgotten."""
    place = tmp_path_factory.mktemp("filled") / "store"
    fill(place, bundles / "a", 8)
    return place


def fill(place: Path, model: Path, notes: int) -> None:
    with Memory(place, model=model) as memory:
        memory.add(list(SAMPLES[:7]), user_id="ana", metadata={"kind": "sample", "n": 1.5})
        memory.add(
            [
                {"role": "user", "name": "Bo", "content": f"note {n} on trains"}
                for n in range(notes)
            ],
            user_id="bo",
            session_id="s",
            created_at=datetime(2024, 5, 3, 9, 40, tzinfo=UTC),
        )
        memory.add(Document(LONG, title="A fox", uri="file:fox"), agent_id="x")
        memory.forget([memory.add("forgotten", user_id="ana").ids[0]])
        memory.update(memory.add("old words", user_id="ana").ids[0], text="new words")
    with Memory(place, model=model, keep_text=True, quantization="coarse") as memory:
        memory.add([f"kept text {n}" for n in range(8)], user_id="ana")


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "store"))


def contents(place: Path, model: Path | None, **options: Any) -> list[dict[str, Any]]:
    """All that a caller sees, but for what depends on the model; every text is decoded."""
    with Memory(place, model=model, create=False, **options) as memory:
        found = [chunk.to_dict() for chunk in memory.list()]
        assert memory.verify(decode=False).ok
    for chunk in found:
        for name in ("fidelity", "positions", "stored_bytes", "tokens"):
            del chunk[name]
    return found


def texts_of(chunks: list[dict[str, Any]]) -> dict[int, str]:
    """The text of each source."""
    found: dict[int, str] = {}
    for chunk in chunks:
        found[chunk["source_id"]] = found.get(chunk["source_id"], "") + chunk["text"]
    return found


def rows(place: Path, columns: str) -> list[Any]:
    with closing(sqlite3.connect(place / "memory.db")) as connection:
        return connection.execute(f"SELECT {columns} FROM chunks ORDER BY id").fetchall()


def test_another_embedder_gets_other_embeddings_only(store: Path, bundles: Path) -> None:
    before = contents(store, bundles / "a")
    columns = "id, source_id, ordinal, start, end, tokens, fidelity, text_hash, patch, latents"
    latents = rows(store, columns)
    with pytest.raises(IncompatibleModelError, match="only the embedder differs.*`agentmem migr"):
        Memory(store, model=bundles / "embedder")
    done = Memory.migrate(store, model=bundles / "embedder")
    assert (done.changed, done.split, done.resumed, done.kept) == ("embeddings", (), 0, None)
    assert done.before.fingerprint != done.after.fingerprint
    assert done.after.embedding_bytes > done.before.embedding_bytes
    assert rows(store, columns) == latents
    assert contents(store, bundles / "embedder") == before
    with Memory(store, model=bundles / "embedder") as memory:
        assert memory.recall("note 7 on trains", user_id="bo", mode="vector").hits
        (chunk,) = [one for one in memory.list() if one.text == "new words"]
        new = memory.add("new words", user_id="new").ids[0]
        assert chunk.embedding is not None
        assert np.array_equal(memory.get(new).embedding, chunk.embedding)


def test_an_embedder_of_ones_own(store: Path, bundles: Path) -> None:
    before = contents(store, bundles / "a")
    assert Memory.migrate(store, model=bundles / "a", embedder="letters").changed == "embeddings"
    assert contents(store, bundles / "a", embedder="letters") == before
    with pytest.raises(IncompatibleModelError, match="embedder='letters'"):
        Memory(store, model=bundles / "a")
    # And from there to an autoencoder and an embedder that are both others.
    done = Memory.migrate(store, model=bundles / "b", from_model=bundles / "a")
    assert done.changed == "latents"
    assert contents(store, bundles / "b") == before


def forget_latents(store: Path) -> None:
    """As in a store that was written before this was noted."""
    engine = create_engine(f"sqlite:///{store / 'memory.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE meta SET latents = NULL")
        seal.write(connection)
    engine.dispose()


def test_an_embedder_of_which_an_old_store_says_nothing(
    store: Path, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its latents nor the bundle are known: what is stored tells."""
    forget_latents(store)
    monkeypatch.setenv("HOME", str(store))
    with pytest.raises(IncompatibleModelError, match="can only be read with the bundle that"):
        Memory.migrate(store, model=bundles / "b")
    before = contents(store, bundles / "a")
    forget_latents(store)
    assert Memory.migrate(store, model=bundles / "embedder").changed == "embeddings"
    assert contents(store, bundles / "embedder") == before


@pytest.mark.parametrize("notes", [40, pytest.param(5000, marks=pytest.mark.slow)])
def test_to_another_bundle_and_back_returns_every_byte(
    tmp_path: Path, bundles: Path, notes: int
) -> None:
    store = tmp_path / "store"
    fill(store, bundles / "a", notes)
    before, bytes_before = contents(store, bundles / "a"), rows(store, "*")
    done = Memory.migrate(store, model=bundles / "b", from_model=bundles / "a")
    assert (done.changed, done.split) == ("latents", ())
    assert done.after.memories == done.before.memories == len(before)
    assert contents(store, bundles / "b") == before
    latents = [row[0] for row in rows(store, "latents")]
    assert not set(latents) & {row[11] for row in bytes_before}
    Memory.migrate(store, model=bundles / "a", from_model=bundles / "b")
    assert contents(store, bundles / "a") == before
    # What was quantized otherwise than "auto" is not written so again.
    for old, new in zip(bytes_before, rows(store, "*"), strict=True):
        assert old == new or new[-2] is not None


def test_what_is_too_long_for_the_new_tokenizer_is_split(store: Path, bundles: Path) -> None:
    before = contents(store, bundles / "a")
    done = Memory.migrate(store, model=bundles / "tokenizer", from_model=bundles / "a")
    assert done.split
    after = contents(store, bundles / "tokenizer")
    assert texts_of(after) == texts_of(before)
    assert done.after.memories == len(after) > len(before)
    first = {chunk["id"]: chunk for chunk in before}
    for chunk in after:
        assert chunk["id"] > max(first) or chunk["text"][:20] == first[chunk["id"]]["text"][:20]
    with Memory(store, model=bundles / "tokenizer") as memory:
        found = memory.recall("lazy dog", agent_id="x", mode="lexical", k=50)
        assert {hit.id for hit in found} >= set(done.split)
        neighbors = memory.recall("lazy dog", agent_id="x", k=1, expand="neighbors")
        assert {hit.source.id for hit in neighbors} == {neighbors[0].source.id}


def test_the_old_store_can_be_kept(store: Path, bundles: Path, tmp_path: Path) -> None:
    before = contents(store, bundles / "a")
    kept = tmp_path / "kept"
    done = Memory.migrate(store, model=bundles / "b", from_model=bundles / "a", keep_old=kept)
    assert done.kept == kept
    assert contents(kept, bundles / "a") == contents(store, bundles / "b") == before


def test_nothing_to_do(store: Path, bundles: Path) -> None:
    before = {path: path.read_bytes() for path in store.rglob("memory.db")}
    done = Memory.migrate(store, model=bundles / "a")
    assert (done.changed, done.before) == ("nothing", done.after)
    assert {path: path.read_bytes() for path in store.rglob("memory.db")} == before


def test_damage_is_named_and_nothing_is_changed(store: Path, bundles: Path) -> None:
    with closing(sqlite3.connect(store / "memory.db")) as connection, connection:
        connection.execute("UPDATE chunks SET latents = x'00' WHERE id IN (3, 11)")
    for _ in range(2):
        with pytest.raises(CorruptRecordError, match="2 memories.*3, 11;") as caught:
            Memory.migrate(store, model=bundles / "b", from_model=bundles / "a")
        assert caught.value.id == 3
    with Memory(store, model=bundles / "a") as memory:
        memory.forget([3, 11])
    # What was encoded before is not encoded again.
    done = Memory.migrate(store, model=bundles / "b", from_model=bundles / "a")
    assert done.resumed == done.after.memories
    assert len(contents(store, bundles / "b")) == done.after.memories


def test_what_is_open_is_refused_afterwards(store: Path, bundles: Path) -> None:
    with Memory(store, model=bundles / "a") as memory:
        seen: list[tuple[int, int]] = []

        def add_more(done: int, total: int) -> None:
            if not seen:
                memory.add("added while it migrates", user_id="late")
            seen.append((done, total))

        done = Memory.migrate(
            store, model=bundles / "b", from_model=bundles / "a", on_progress=add_more
        )
        for call in (lambda: memory.add("lost"), lambda: memory.recall("trains"), memory.stats):
            with pytest.raises(IncompatibleModelError, match="open it again"):
                call()
    assert seen[-1] == (done.after.memories, done.after.memories)
    with Memory(store, model=bundles / "b") as memory:
        (late,) = memory.list(user_id="late")
        assert late.text == "added while it migrates"
        assert memory.verify().ok


def test_a_bundle_that_did_not_write_it_is_refused(store: Path, bundles: Path) -> None:
    with pytest.raises(IncompatibleModelError, match="was not written with the bundle 'tiny-2-tok"):
        Memory.migrate(store, model=bundles / "b", from_model=bundles / "tokenizer")
    assert len(contents(store, bundles / "a")) > 20


def test_what_cannot_be_migrated(tmp_path: Path, bundles: Path) -> None:
    with pytest.raises(InputError, match="in memory"):
        Memory.migrate(":memory:", model=bundles / "a")
    with pytest.raises(StoreNotFoundError):
        Memory.migrate(tmp_path / "nowhere", model=bundles / "a")
    assert not (tmp_path / "nowhere").exists()


def test_asynchronously(store: Path, bundles: Path) -> None:
    done = asyncio.run(AsyncMemory.migrate(store, model=bundles / "embedder"))
    assert done.changed == "embeddings"


def test_it_is_interrupted_and_goes_on(store: Path, bundles: Path) -> None:
    before = contents(store, bundles / "a")

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Memory.migrate(store, model=bundles / "b", from_model=bundles / "a", on_progress=stop)
    assert contents(store, bundles / "a") == before
    done = Memory.migrate(store, model=bundles / "b", from_model=bundles / "a")
    assert done.resumed == len(before)
    assert contents(store, bundles / "b") == before
