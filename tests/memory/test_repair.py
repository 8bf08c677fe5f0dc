"""Mending a store: what can be made again is, and what cannot is taken out of use, by name."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agentmem import AsyncMemory, Document, Memory
from agentmem.errors import InputError, UnknownIdError
from agentmem.models.bundle.load import ModelBundle

NOTES = [f"note number {n} about the trains to Lyon" for n in range(12)]
LONG = " ".join(f"The quick brown fox {n} jumps over the lazy dog." for n in range(60))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, model: ModelBundle) -> Path:
    """Notes 1 to 12 of Ana, the chunks of a document after them, and one note of Bo at the end."""
    place = tmp_path_factory.mktemp("sound") / "store"
    with Memory(place, model=model) as memory:
        memory.add(NOTES, user_id="ana", metadata={"price": 500})
        memory.add(Document(LONG, title="A fox"), agent_id="x")
        memory.add("the last one", user_id="bo")
        memory.recall("trains")
    return place


@pytest.fixture
def store(sound: Path, place: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(sound, place)
    return place


def run(place: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        assert connection.execute(statement, values).rowcount > 0


def read(memory: Memory) -> dict[int, str]:
    return {chunk.id: chunk.text for chunk in memory.list()}


def same_results(memory: Memory) -> list[Any]:
    return [
        [(hit.id, round(hit.score, 6)) for hit in memory.recall(query, mode=mode, k=9)]
        for query in ("trains to Lyon", "lazy fox 7")
        for mode in ("hybrid", "vector", "lexical")
    ]


def test_a_sound_store_is_left_alone(store: Path, model: ModelBundle) -> None:
    before = (store / "memory.db").read_bytes()[100:]  # but for the counters in its header
    with Memory(store, model=model) as memory:
        done = memory.repair()
    assert done.ok
    assert done.to_dict() == {
        **{"ok": True, "damage": (), "rebuilt": (), "embedded": ()},
        **{"quarantined": [], "left": ()},
    }
    assert (store / "memory.db").read_bytes()[100:] == before


DERIVED: dict[str, Callable[[Path], None]] = {
    "an embedding": lambda at: run(at, "UPDATE chunks SET key = zeroblob(42) WHERE id = 3"),
    "the embedding of another": lambda at: run(
        at, "UPDATE chunks SET key = (SELECT key FROM chunks WHERE id = 4) WHERE id = 3"
    ),
    "fidelity": lambda at: run(at, "UPDATE chunks SET fidelity = 0.25 WHERE id = 3"),
    "values of metadata": lambda at: run(at, "UPDATE metadata_values SET value = 9"),
    "lengths of words": lambda at: run(at, "UPDATE chunk_terms_docsize SET sz = x'05'"),
    "words": lambda at: run(at, "UPDATE chunk_terms_data SET block = zeroblob(90) WHERE id > 99"),
    "the format of words": lambda at: run(at, "UPDATE chunk_terms_config SET v = 9"),
    "the structure of words": lambda at: run(at, "DELETE FROM chunk_terms_data WHERE id = 10"),
    "the change log": lambda at: run(at, "UPDATE changes SET chunk_id = 2 WHERE seq = 5"),
    "ids given": lambda at: run(at, "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'chunks'"),
    "the number of memories": lambda at: run(at, "UPDATE totals SET chunks = chunks + 1"),
    "no number of memories": lambda at: run(at, "DELETE FROM totals"),
    "its own row": lambda at: run(at, "UPDATE meta SET created_at = created_at + 1"),
    "an index": lambda at: _spoil_index(at),
}


def _spoil_index(place: Path) -> None:
    """An entry of an index is lost, as by a torn page."""
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        name, sql = "chunks_in_scope", "CREATE INDEX chunks_in_scope ON chunks (scope_id)"
        less = f"{sql} WHERE id <> 2"
        connection.execute("DROP INDEX chunks_in_scope")
        connection.execute(less)
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (sql, name))


@pytest.mark.parametrize("fault", DERIVED.values(), ids=DERIVED.keys())
def test_what_is_derived_is_made_again(
    store: Path, model: ModelBundle, fault: Callable[[Path], None]
) -> None:
    with Memory(store, model=model) as memory:
        texts, results = read(memory), same_results(memory)
    fault(store)
    with Memory(store, model=model) as memory:
        assert not memory.verify().ok
        done = memory.repair()
        assert done.damage
        assert (done.left, done.quarantined) == ((), ())
        assert memory.verify().ok
        assert read(memory) == texts
        assert same_results(memory) == results
        assert memory.recall("trains", where={"price": 500}, k=20).hits
        (new,) = memory.add("one more", user_id="bo").ids
        assert new == max(texts) + 1
    with Memory(store, model=model) as memory:
        assert memory.verify().ok


LOST = {
    "latents": ("UPDATE chunks SET latents = x'00' WHERE id = 3", [3]),
    "tokens": ("UPDATE chunks SET tokens = 2 WHERE id = 3", [3]),
    "text hash": ("UPDATE chunks SET text_hash = zeroblob(32) WHERE id = 3", [3]),
    "metadata": ("UPDATE sources SET metadata = '{\"price\":900}' WHERE id = 3", [3]),
    "speaker": ("UPDATE sources SET role = 'assistant' WHERE id = 3", [3]),
    "time": ("UPDATE sources SET created_at = 0 WHERE id = 3", [3]),
    "another scope": ("UPDATE chunks SET scope_id = 3 WHERE id = 3", [3]),
    "a user": ("UPDATE scopes SET user_id = 'bea' WHERE user_id = 'bo'", [-1]),
    "an owner": ("UPDATE chunks SET source_id = 77 WHERE id = 3", [-3, 3]),
}


@pytest.mark.parametrize(("statement", "lost"), LOST.values(), ids=LOST.keys())
def test_what_cannot_be_mended_is_taken_out_of_use(
    store: Path, model: ModelBundle, statement: str, lost: list[int]
) -> None:
    with Memory(store, model=model) as memory:
        texts = read(memory)
    lost = [max(texts)] if lost == [-1] else lost
    run(store, statement)
    with Memory(store, model=model) as memory:
        done = memory.repair()
        assert (done.left, [one.id for one in done.quarantined]) == ((), lost)
        assert all(one.why for one in done.quarantined)
        left = {id: text for id, text in texts.items() if id not in lost}
        assert read(memory) == left
        assert memory.count() == memory.stats().memories == len(left)
        for mode in ("hybrid", "vector", "lexical"):
            found = {hit.id for hit in memory.recall("note number 2", k=30, mode=mode)}
            assert found
            assert not found & set(lost)
        with pytest.raises(UnknownIdError):
            memory.get(lost[-1])
        checked = memory.verify()
        assert checked.ok
        assert [one.id for one in checked.quarantined] == lost
        # A second time, there is nothing to do; the list stays, also in another process.
        assert memory.repair().damage == ()
    with Memory(store, model=model) as memory:
        assert [one.id for one in memory.verify().quarantined] == lost


def test_a_document_keeps_its_other_parts(store: Path, model: ModelBundle) -> None:
    with Memory(store, model=model) as memory:
        parts = [chunk.id for chunk in memory.list(agent_id="x")]
    run(store, "UPDATE chunks SET patch = x'00112233' WHERE id = ?", parts[1])
    with Memory(store, model=model) as memory:
        assert [one.id for one in memory.repair().quarantined] == [parts[1]]
        assert [chunk.id for chunk in memory.list(agent_id="x")] == [parts[0], *parts[2:]]
        assert memory.verify().ok


def test_what_is_kept_is_the_row_as_it_was(store: Path, model: ModelBundle) -> None:
    with closing(sqlite3.connect(store / "memory.db")) as connection:
        (latents,) = connection.execute("SELECT latents FROM chunks WHERE id = 3").fetchone()
    run(store, "UPDATE sources SET metadata = '{\"price\":900}' WHERE id = 3")
    with Memory(store, model=model) as memory:
        memory.repair()
        (one,) = memory.verify(user_id="ana").quarantined
        assert (one.scope.user_id, one.noted_at.tzinfo is not None) == ("ana", True)
        assert memory.verify(user_id="bo").quarantined == ()
    with closing(sqlite3.connect(store / "memory.db")) as connection:
        (kept,) = connection.execute("SELECT rows FROM quarantine").fetchone()
    assert json.loads(kept)["chunk"]["latents"] == {"bytes": latents.hex()}
    assert json.loads(kept)["source"]["metadata"] == '{"price":900}'


@pytest.mark.parametrize("by", ["ids", "user"])
def test_it_stays_until_it_is_forgotten(store: Path, model: ModelBundle, by: str) -> None:
    run(store, "UPDATE sources SET name = 'a name nobody else has' WHERE id = 3")
    with Memory(store, model=model) as memory:
        memory.repair()
        if by == "ids":
            with pytest.raises(UnknownIdError):
                memory.forget([3], user_id="bo")
            assert memory.forget([3], user_id="ana", dry_run=True).ids == (3,)
            assert memory.forget([3]).ids == (3,)
        else:
            assert set(memory.forget(user_id="ana").ids) == set(range(1, 13))
        assert memory.verify().quarantined == ()
        assert memory.verify().ok
    for file in store.rglob("*"):
        assert not file.is_file() or b"a name nobody else has" not in file.read_bytes()
        assert (
            not file.is_file() or b"a name nobody else has".hex().encode() not in file.read_bytes()
        )


def test_what_was_lost_can_be_added_again(store: Path, model: ModelBundle) -> None:
    run(store, "UPDATE chunks SET latents = x'00' WHERE id = 13 - 1")
    with Memory(store, model=model) as memory:
        memory.repair()
        assert memory.add(NOTES[11], user_id="ana", metadata={"price": 500}).duplicates == ()


def test_for_the_complete_store_only(memory: Memory) -> None:
    with pytest.raises(InputError, match="complete store"):
        memory.scoped(user_id="ana").repair()


def test_asynchronously(store: Path, model: ModelBundle) -> None:
    async def main() -> int:
        async with AsyncMemory(store, model=model) as memory:
            return len((await memory.repair()).damage)

    run(store, "UPDATE chunks SET latents = x'00' WHERE id = 3")
    assert asyncio.run(main()) > 0
