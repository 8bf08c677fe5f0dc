"""A scoped handle's `stats`, `verify` and `reindex` worked on everybody's rows; the change log grew
for ever; replaced metadata stayed in the write-ahead log and in memory."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.sql.elements import BindParameter

from agentmem import AsyncMemory, Document, Memory
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.index import IndexKind
from agentmem_storage.records import EVERYTHING, Scope, Selection
from agentmem_storage.sql.logs import changes
from agentmem_storage.sql.where.filters import Matcher, install
from agentmem_storage.store import Store
from agentmem_storage.testing import (
    EMBEDDING_DIMS,
    MODEL,
    make_embedding,
    make_source,
    terms_of,
)
from tests.support.cli import Cli

Unchanged = Callable[[Memory], AbstractContextManager[None]]

SECRET = "Xylophon-Quartz-Zyklon"


@pytest.fixture
def shared(memory: Memory) -> Memory:
    """Chunks 1 to 3 are Ana's, 4 and 5 Ben's, 6 nobody's."""
    memory.add(["I like tea", "I like cake"], user_id="ana", session_id="s1")
    memory.add("I like jam", user_id="ana")
    memory.add(["I like coffee", "I like beer"], user_id="ben")
    memory.add("Everybody likes water")
    return memory


def damage(place: Path, statement: str) -> None:
    with closing(sqlite3.connect(place / "memory.db")) as connection, connection:
        connection.execute(statement)


class TestStats:
    def test_they_are_those_of_the_scope(self, shared: Memory) -> None:
        everything = shared.stats()
        assert (everything.memories, everything.sources, everything.scopes) == (6, 6, 4)
        assert everything.file_bytes
        ana = shared.scoped(user_id="ana").stats()
        assert (ana.memories, ana.sources, ana.scopes, ana.file_bytes) == (3, 3, 2, None)
        assert shared.stats(user_id="ana") == ana
        assert shared.scoped(user_id="ana").stats(session_id="s1").memories == 2
        nobody = shared.stats(user_id="carla")
        assert (nobody.memories, nobody.scopes, nobody.tokens, nobody.positions) == (0, 0, 0, 0)
        assert nobody.bytes_per_token == 0.0

    def test_the_parts_add_up_to_the_whole(self, memory: Memory) -> None:
        memory.add(Document("A paragraph of some words.\n\n" * 60), user_id="ana")
        memory.add(["I like tea", "I like cake"], user_id="ben")
        parts = [memory.scoped(user_id=user).stats() for user in ("ana", "ben")]
        whole = memory.stats().to_dict()
        for name in ("memories", "sources", "scopes", "tokens", "positions", "latent_bytes"):
            assert sum(part.to_dict()[name] for part in parts) == whole[name], name
        for name in ("patch_bytes", "embedding_bytes", "text_bytes"):
            assert sum(part.to_dict()[name] for part in parts) == whole[name], name
        counts = [[count for _, count in part.fidelity] for part in parts]
        assert [sum(both) for both in zip(*counts, strict=True)] == [
            count for _, count in memory.stats().fidelity
        ]

    def test_what_others_add_changes_nothing(self, shared: Memory) -> None:
        ana = shared.scoped(user_id="ana")
        before = ana.stats()
        shared.add("I like juice", user_id="ben", session_id="s1")
        assert ana.stats() == before


class TestVerify:
    def test_it_is_of_the_scope(self, place: Path, shared: Memory) -> None:
        damage(place, "UPDATE chunks SET text_hash = zeroblob(32) WHERE id IN (1, 4)")
        damage(place, "UPDATE sources SET metadata = 'x' WHERE id = 5")
        damage(place, "DELETE FROM chunk_terms_docsize WHERE id IN (3, 6)")
        assert {item.id for item in shared.verify().damage} >= {1, 3, 4, 5, 6}
        for found in (shared.scoped(user_id="ana").verify(), shared.verify(user_id="ana")):
            assert [item.id for item in found.damage] == [1, 3]
            assert found.checked == 1
        ben = shared.scoped(user_id="ben").verify()
        assert sorted(item.id for item in ben.damage if item.id) == [4, 5]
        assert shared.verify(user_id="ana", session_id="s1").checked == 1

    def test_progress_counts_the_scope(self, shared: Memory) -> None:
        seen: list[tuple[int, int | None]] = []
        shared.scoped(user_id="ana").verify(on_progress=lambda done, of: seen.append((done, of)))
        assert seen == [(3, 3)]

    def test_of_nobody(self, shared: Memory) -> None:
        found = shared.verify(user_id="carla")
        assert (found.ok, found.checked) == (True, 0)


def test_reindex_is_refused_on_a_scoped_handle(shared: Memory, unchanged: Unchanged) -> None:
    ana = shared.scoped(user_id="ana")
    with unchanged(shared):
        for handle in (ana, ana.scoped(session_id="s1")):
            with pytest.raises(InputError, match=r"complete store.*not on Memory\(.*user_id='ana'"):
                handle.reindex()
    shared.reindex()
    assert shared.recall("tea", user_id="ana")[0].text == "I like tea"


def test_async_handles_are_scoped_too(place: Path, model: ModelBundle) -> None:
    async def run() -> None:
        async with await AsyncMemory.open(place, model=model) as memory:
            await memory.add(["I like tea", "I like cake"], user_id="ana")
            await memory.add("I like coffee", user_id="ben")
            ana = memory.scoped(user_id="ana")
            assert (await ana.stats()).memories == 2
            assert (await ana.verify()).checked == 2
            assert (await memory.verify(user_id="ben")).checked == 1
            with pytest.raises(InputError, match="complete store"):
                await ana.reindex()
            await memory.reindex()

    asyncio.run(run())


def test_scopes_of_stats_and_verify_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "I like tea", "I like cake", "--user", "ana")
    cli.ok("add", "I like coffee", "--user", "ben")
    assert cli.ok("stats", "--user", "ana", "-q") == "2\n"
    assert cli.json("stats", "--user", "ana")["file_bytes"] is None
    assert "all files" in cli.ok("stats")
    assert "all files" not in cli.ok("stats", "--user", "ana")
    assert cli.ok("verify", "--user", "ana") == "no damage: 2 memories decoded byte for byte\n"
    damage(cli.store, "UPDATE chunks SET text_hash = zeroblob(32) WHERE id = 3")
    assert cli.json("verify", "--user", "ana")["ok"]
    assert cli.run("verify", "--user", "ben", "-q").stdout == "3\n"
    assert cli.run("verify", "-q").exit_code == 7


# The change log


def open_store(folder: Path, index: IndexKind = "exact") -> Store:
    return Store.open(folder, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=index)


def log_more(store: Store, count: int) -> None:
    """Log changes as if chunks with high ids had come and gone."""
    with store._database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO changes (op, chunk_id) WITH RECURSIVE numbers (n) AS "
            "(SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?) "
            "SELECT n % 2, 1000000 + n FROM numbers",
            (count - 1,),
        )
        changes.append(connection, changes.REMOVE, [2_000_000])


def logged(folder: Path) -> tuple[int, int]:
    """Number of changes in the log, and the highest number."""
    with closing(sqlite3.connect(folder / "memory.db")) as connection:
        count, last = connection.execute("SELECT count(*), max(seq) FROM changes").fetchone()
    return int(count), int(last)


def nearest(store: Store, text: str) -> list[int]:
    ids: list[int] = store.search_vectors(make_embedding(text), 50).ids.tolist()
    return ids


def test_the_change_log_is_pruned(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with open_store(folder) as store:
        store.add([make_source("I like tea")], Scope())
        log_more(store, 2 * changes.KEPT)
        assert logged(folder) == (changes.KEPT, 2 * changes.KEPT + 1)
        store.add([make_source("I like coffee")], Scope())
        assert logged(folder) == (changes.KEPT, 2 * changes.KEPT + 2)


@pytest.mark.parametrize("index", ["exact", "faiss"])
@pytest.mark.parametrize("state", ["empty", "loaded", "saved"])
def test_an_index_that_the_log_no_longer_reaches_is_rebuilt(
    tmp_path: Path, index: IndexKind, state: str
) -> None:
    """Of a process that was idle meanwhile, and of a cache file."""
    folder = tmp_path / "s"
    kept, gone, late = make_source("I like tea"), make_source("I like jam"), make_source("At last")
    with open_store(folder, index) as writer:
        other = open_store(folder, index)
        if state == "empty":
            assert nearest(other, "I like tea") == []
        old = writer.add([kept, gone], Scope("ana"))
        if state != "empty":
            assert nearest(other, "I like jam") == [2, 1]
        if state == "saved":
            other.close()
            assert list((folder / "index").iterdir())
        terms = terms_of(old[1], gone)
        writer.forget([2], terms)
        if state == "saved":
            # `forget` deletes the file; a copy of an old one may come from a backup.
            with open_store(folder, index) as saver:
                nearest(saver, "I like tea")
        log_more(writer, changes.KEPT)
        writer.add([late], Scope("ana"))
        other = open_store(folder, index) if state == "saved" else other
        with other:
            assert sorted(nearest(other, "At last")) == [1, 3]
            assert nearest(other, "At last")[0] == 3
        assert nearest(writer, "At last")[0] == 3


def test_an_index_within_reach_is_not_rebuilt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="agentmem_storage")
    with open_store(tmp_path / "s") as store:
        store.add([make_source("I like tea")], Scope())
        nearest(store, "tea")
        caplog.clear()
        store.add([make_source("I like jam")], Scope())
        assert len(nearest(store, "tea")) == 2
        assert "vector index built" not in caplog.text
        log_more(store, changes.KEPT)
        assert len(nearest(store, "tea")) == 2
        assert "no longer logged" in caplog.text


# Replaced metadata


def raw(place: Path, pattern: str = "*") -> bytes:
    files = sorted(path for path in place.rglob(pattern) if path.is_file())
    return b"\n".join(path.read_bytes() for path in files)


@pytest.mark.parametrize("filler", [0, 40], ids=["alone", "among others"])
def test_replaced_metadata_leave_no_byte(place: Path, model: ModelBundle, filler: int) -> None:
    with Memory(place, model=model) as memory:
        memory.add([f"before {n}" for n in range(filler)] or "before", user_id="ben")
        (id,) = memory.add("I like tea", user_id="ana", metadata={"name": SECRET}).ids
        memory.add([f"after {n}" for n in range(filler)] or "after", user_id="ben")
        assert SECRET.encode() in raw(place)
        memory.update(id, metadata={"name": "x"})
        assert SECRET.encode() not in raw(place)
        assert memory.get(id).metadata == {"name": "x"}
        assert memory.verify().ok
    assert SECRET.encode() not in raw(place)


@pytest.mark.parametrize("new", [{}, {"name": SECRET.lower()}, {"long": "x" * 20_000}], ids=repr)
def test_whatever_takes_their_place(place: Path, memory: Memory, new: dict[str, Any]) -> None:
    (id,) = memory.add("I like tea", metadata={"name": SECRET, "long": "y" * 9_000}).ids
    memory.scoped(user_id="ana").add("I like jam")
    for value in ({"name": f"{SECRET}!"}, new):
        memory.update(id, metadata=value)
    assert SECRET.encode() not in raw(place)
    assert b"yyyyyyyyy" not in raw(place)


def test_a_replaced_title_leaves_no_byte_either(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with open_store(folder) as store:
        (one,) = store.add([make_source("I like tea", title=SECRET)], Scope())
        assert SECRET.encode() in raw(folder)
        store.update_source(one.source_id, title=None)
        assert SECRET.encode() not in raw(folder)


def test_replaced_on_the_command_line(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "I like tea", "--meta", f"name={SECRET}")
    cli.ok("update", 1, "--meta", "name=x")
    assert SECRET.encode() not in raw(cli.store)


def test_replaced_by_async(place: Path, model: ModelBundle) -> None:
    async def run() -> None:
        async with await AsyncMemory.open(place, model=model) as memory:
            await memory.add("I like tea", metadata={"name": SECRET})
            await memory.update(1, metadata={"name": "x"})
            assert SECRET.encode() not in raw(place)

    asyncio.run(run())


def test_an_update_that_changes_nothing_writes_nothing(place: Path, memory: Memory) -> None:
    (id,) = memory.add("I like tea", metadata={"name": "x"}).ids
    memory.update(id, metadata={"name": "y"})
    before = raw(place, "*.db"), raw(place, "*-wal")
    memory.update(id, metadata={"name": "y"})
    assert (raw(place, "*.db"), raw(place, "*-wal")) == before


# What filters have read


def cached(matcher: Matcher) -> int:
    return matcher._cached.cache_info().currsize


def test_metadata_read_by_filters_do_not_stay_in_memory(tmp_path: Path) -> None:
    """Of any process: it need not be the one that forgets."""
    with open_store(tmp_path / "s") as store:
        new = [make_source(f"tea {n}", metadata={"by": f"{SECRET} {n}"}) for n in range(20)]
        store.add(new, Scope())
        assert store.count(Selection(where={"by": {"contains": "Quartz"}})) == 20
        with store._database.read() as connection:
            record = connection.connection._connection_record  # type: ignore[attr-defined]
            (matcher,) = [one for one in record.info.values() if isinstance(one, Matcher)]
            assert cached(matcher) == 0
        assert store.count(EVERYTHING) == 20


def bound_values(secret: str) -> list[object]:
    """Values of SQL statements in memory that contain a text."""
    gc.collect()
    bound = [one for one in gc.get_objects() if issubclass(type(one), BindParameter)]
    return [one.value for one in bound if secret in repr(one.value)]


@pytest.mark.parametrize("kind", ["folder", ":memory:"])
def test_no_statement_keeps_what_was_forgotten(place: Path, model: ModelBundle, kind: str) -> None:
    user, value = f"{SECRET} of {kind}", f"{SECRET} by {kind}"
    with Memory(place if kind == "folder" else kind, model=model) as memory:
        (id,) = memory.add("I like tea", user_id=user, metadata={"by": value}).ids
        memory.update(id, text="I like jam", metadata={"by": f"{value}!"})
        memory.recall("jam", user_id=user, where={"by": {"contains": value}})
        assert bound_values(user)
        assert bound_values(value)
        memory.forget(user_id=user)
        assert bound_values(user) == []
        assert bound_values(value) == []


def test_what_a_filter_keeps_during_a_query_is_bounded() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        matcher = install(connection)
        call = "SELECT agentmem_metadata_matches(?, 'a', 'exists', 'true')"
        long = b'{"a":"' + b"x" * 100_000 + b'"}'
        assert connection.execute(call, (long,)).fetchone() == (1,)
        assert cached(matcher) == 1  # the operand
        for number in range(1000):
            row = b'{"a":%d}' % number
            assert connection.execute(call, (row,)).fetchone() == (1,)
        assert cached(matcher) == 256
        matcher.forget()
        assert cached(matcher) == 0
