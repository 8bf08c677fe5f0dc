"""Readers' states beside a store: bounded, gone with their memories, and never in the way."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage import forks
from agentmem_storage.errors import InputError, StoreUnwritableError
from agentmem_storage.records import NewStates, Scope
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.sql.connection.location import Location
from agentmem_storage.sql.reader_states import states, states_file
from agentmem_storage.sql.reader_states.states import StatesCache
from agentmem_storage.states import StatesSync
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
from tests.storage.test_forget import ENVIRONMENT

READER = "a reader"
PIECE = 16  # bytes of random states that no file has by chance
ROW = 2 * 4096  # what a row of less than a page of states takes


def open_store(location: Path | str, **options: Any) -> Store:
    given: dict[str, Any] = {"index": "exact", **options}
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, **given)


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def add(store: Store, *texts: str) -> list[int]:
    written = store.add([make_source(text, title="a title") for text in texts], Scope("ana"))
    return [one.chunk_ids[0] for one in written]


def states_of(store: Store, ids: Sequence[int], packed: Mapping[int, bytes]) -> list[NewStates]:
    rows = {row.id: row for row in store.chunks(ids)}
    sources = {row.source_id: store.sources([row.source_id])[0] for row in rows.values()}
    return [
        NewStates(
            id,
            sources[rows[id].source_id],
            rows[id].text_hash,
            digest_of(str(id)),
            packed[id],
        )
        for id in ids
    ]


def keep(store: Store, *ids: int, size: int = 100, reader: str = READER) -> dict[int, bytes]:
    """Keep random states of chunks; returns those that were kept."""
    packed = {id: random.Random(id * 1_000_003 + size).randbytes(size) for id in ids}
    done = store.keep_states(reader, states_of(store, ids, packed))
    return {id: packed[id] for id in done.ids}


def find(store: Store, *ids: int, reader: str = READER) -> dict[int, bytes]:
    return store.find_states(reader, {id: digest_of(str(id)) for id in ids})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with open_store(folder) as store:
        yield store


@pytest.fixture(params=["folder", "url", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    places = {
        "folder": str(tmp_path / "store"),
        "url": f"sqlite:///{tmp_path}/notes.db",
        "memory": ":memory:",
    }
    with open_store(places[request.param]) as store:
        yield store


def test_they_are_found_as_they_were_kept(any_store: Store, tmp_path: Path) -> None:
    ids = add(any_store, "one", "two", "three")
    assert find(any_store, *ids) == {}
    assert any_store.held_states(READER, {ids[0]: digest_of("1")}) == set()
    kept = keep(any_store, *ids[:2], size=30_000)
    assert set(kept) == set(ids[:2])
    assert find(any_store, *ids) == kept
    assert find(any_store, *ids, reader="another") == {}
    other = digest_of("another text")
    assert any_store.find_states(READER, {ids[0]: other}) == {}
    wanted = {ids[0]: digest_of(str(ids[0])), ids[1]: other, ids[2]: other}
    assert any_store.held_states(READER, wanted) == {ids[0]}
    again = keep(any_store, ids[0], size=10)
    assert find(any_store, *ids) == kept | again
    assert any_store.stats().states_bytes > 30_000
    assert any_store.stats(Scope("ana")).states_bytes is None
    names = {file.name for file in tmp_path.rglob("*states*")}
    assert names <= {"states.db", "notes.db-states"}


def test_another_process_finds_them(folder: Path) -> None:
    with open_store(folder) as store:
        ids = add(store, "one")
        kept = keep(store, *ids)
    with open_store(folder) as store:
        assert find(store, *ids) == kept


def test_what_was_used_least_recently_goes_first(folder: Path) -> None:
    with open_store(folder, states_bytes=3 * ROW) as store:
        ids = add(store, *"abcdef")
        for id in ids[:3]:
            keep(store, id)
        find(store, ids[0])
        keep(store, ids[3])
        assert set(find(store, ids[0], ids[1])) == {ids[0]}
        find(store, ids[2])
        find(store, ids[3])
        keep(store, ids[4], size=5000)  # of three pages: two others go
        assert set(find(store, *ids)) == {ids[3], ids[4]}
        keep(store, ids[5], size=10 * 4096)  # more than all the room
        assert set(find(store, *ids)) == {ids[3], ids[4]}


def test_without_eviction_what_is_there_stays(folder: Path) -> None:
    with open_store(folder, states_bytes=2 * ROW) as store:
        ids = add(store, *"abc")
        packed = dict.fromkeys(ids, b"x" * 100)
        done = store.keep_states(READER, states_of(store, ids, packed), evict=False)
        assert (done.ids, done.full) == (frozenset(ids[:2]), True)
        done = store.keep_states(READER, states_of(store, ids[2:], packed), evict=False)
        assert (done.ids, done.full) == (frozenset(), True)
        assert set(find(store, *ids)) == set(ids[:2])


def test_reading_the_same_again_writes_nothing(store: Store, folder: Path) -> None:
    ids = add(store, "one", "two")
    keep(store, *ids)
    before = (folder / "states.db").stat().st_mtime_ns
    find(store, *ids)
    assert (folder / "states.db").stat().st_mtime_ns == before


def test_the_file_stays_within_its_bound(folder: Path) -> None:
    with open_store(folder) as store:
        ids = add(store, *(f"text {n}" for n in range(40)))
        keep(store, *ids, size=30_000)
        assert store.stats().states_bytes > 1_200_000
    with open_store(folder, states_bytes=200_000) as store:
        new = add(store, "new")
        assert keep(store, *new, size=30_000)
        assert len(find(store, *ids)) == 4
        assert store.stats().states_bytes < 600_000


def test_0_switches_it_off(folder: Path) -> None:
    with open_store(folder) as store:
        ids = add(store, "one")
        kept = keep(store, *ids)
    with open_store(folder, states_bytes=0) as store:
        assert not store.keeps_states
        assert (find(store, *ids), keep(store, *ids)) == ({}, {})
        assert store.held_states(READER, {ids[0]: digest_of(str(ids[0]))}) == set()
        store.forget(ids, {})
    assert not found_in(folder, kept)
    with pytest.raises(InputError, match="states_bytes must be 0 or more, got -1"):
        open_store(folder, states_bytes=-1)


def found_in(folder: Path, packed: Mapping[int, bytes]) -> set[int]:
    """Of which chunks a piece of the states, or of the digest, is in any file."""
    raw = b"\0".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())
    return {
        id
        for id, states in packed.items()
        if digest_of(str(id))[:PIECE] in raw
        or any(states[at : at + PIECE] in raw for at in range(0, len(states) - PIECE + 1, 400))
    }


@pytest.mark.parametrize("seed", [1])
def test_no_byte_of_a_forgotten_memory_is_left(folder: Path, seed: int) -> None:
    # Sizes on both sides of what a page takes; rows come, go, are replaced and driven out.
    chance = random.Random(seed)
    live: dict[int, bytes] = {}
    gone: dict[int, bytes] = {}
    with open_store(folder, states_bytes=150 * ROW) as store:
        for turn in range(5):
            ids = add(store, *(f"text {turn} {n}" for n in range(50)))
            chance.shuffle(ids)
            while ids:
                size = chance.choice([20, 200, 700, 1500, 4000, 5000, 9000])
                live |= keep(store, *ids[:5], size=size)
                del ids[:5]
            live |= keep(store, *chance.sample(sorted(live), 3), size=300)
            live = find(store, *live)
            forgotten = chance.sample(sorted(live), len(live) * chance.choice([1, 5, 9]) // 10)
            gone |= {id: live.pop(id) for id in forgotten}
            assert store.forget(forgotten, {}).purged
            assert found_in(folder, gone) == set()
        assert len(live) > 10
        assert find(store, *live) == live
        assert found_in(folder, live) == set(live)
    assert found_in(folder, gone) == set()


def test_what_is_replaced_or_retitled_is_gone_too(store: Store, folder: Path) -> None:
    ids = add(store, "one", "two", "three", "four")
    kept = keep(store, *ids, size=5000)
    sources = {chunk.id: chunk.source_id for chunk in store.chunks(ids)}
    store.replace_source(sources[ids[0]], make_source("new"), {})
    store.update_source(sources[ids[1]], title="another title")
    store.update_source(sources[ids[2]], created_at=datetime(2020, 1, 1, tzinfo=UTC))
    store.update_source(sources[ids[3]], metadata={"read by": "no reader"})
    assert set(find(store, *ids)) == {ids[3]}
    assert found_in(folder, kept) == {ids[3]}


def test_what_is_no_longer_as_it_was_read_is_not_kept(store: Store) -> None:
    ids = add(store, "one", "two", "three", "four")
    made = states_of(store, ids, dict.fromkeys(ids, b"states"))
    sources = {chunk.id: chunk.source_id for chunk in store.chunks(ids)}
    store.forget(ids[:1], {})
    store.update_source(sources[ids[1]], title="another title")
    store.update_source(sources[ids[2]], created_at=datetime(2020, 1, 1, tzinfo=UTC))
    done = store.keep_states(READER, made)
    assert (done.ids, done.full) == (frozenset(ids[3:]), False)
    assert set(find(store, *ids)) == {ids[3]}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_memory_that_is_forgotten_meanwhile(
    folder: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = StatesSync._as_read
    with open_store(folder) as store, open_store(folder) as other:
        ids = add(store, "one")
        packed = dict.fromkeys(ids, random.Random(1).randbytes(5000))
        made = states_of(store, ids, packed)
        forgetting = threading.Thread(target=lambda: other.forget(ids, {}))
        gone = threading.Event()
        sweep = StatesSync.sweep

        def noted(self: StatesSync, *, wait: bool) -> bool:
            gone.set()  # deleted, and about to be erased here
            return sweep(self, wait=wait)

        def as_read(self: StatesSync, by_id: Any) -> Any:
            there = usual(self, by_id) if when == "before" else None
            forgetting.start()
            assert gone.wait(60)
            return there if there is not None else usual(self, by_id)

        monkeypatch.setattr(StatesSync, "sweep", noted)
        monkeypatch.setattr(StatesSync, "_as_read", as_read)
        done = store.keep_states(READER, made)
        assert done.ids == (frozenset(ids) if when == "before" else frozenset())
        forgetting.join(60)
        assert found_in(folder, packed) == set()


CRASHER = """
import os, sys
from agentmem_storage.sql.reader_states.states import StatesCache
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL
StatesCache.sweep = lambda *args, **options: os._exit(9)
store = Store.open(sys.argv[1], model=MODEL, embedding_dims=EMBEDDING_DIMS)
store.forget([int(sys.argv[2])], {})
"""


def test_a_crash_before_they_are_erased_is_made_good_at_the_next_opening(folder: Path) -> None:
    with open_store(folder) as store:
        ids = add(store, "one", "two")
        kept = keep(store, *ids, size=5000)
    command = [sys.executable, "-c", CRASHER, str(folder), str(ids[0])]
    assert subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 9
    assert found_in(folder, kept) == set(ids)
    with open_store(folder) as store:
        assert found_in(folder, kept) == {ids[1]}
        assert set(find(store, *ids)) == {ids[1]}


def test_erasure_waits_and_says_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_store(folder, timeout_s=0.1) as store:
        ids = add(store, "one")
        kept = keep(store, *ids, size=5000)
        with closing(sqlite3.connect(folder / "states.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert not store.forget(ids, {}).purged
            assert "states of forgotten memories remain in" in caplog.text
        assert found_in(folder, kept) == set(ids)
        assert store.forget([], {}).purged
        assert found_in(folder, kept) == set()


def test_a_locked_file_is_read_and_not_waited_for(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(states, "_PATIENCE_S", 0.0)
    ids = add(store, "one", "two", "three")
    kept = keep(store, ids[0]) | keep(store, ids[1])
    with closing(sqlite3.connect(folder / "states.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert find(store, *ids) == kept
        done = store.keep_states(READER, states_of(store, ids[2:], {ids[2]: b"x"}))
        assert (done.ids, done.full) == (frozenset(), True)
    assert "no states are kept in" in caplog.text
    assert keep(store, ids[2])


def test_a_full_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = add(store, "one", "two")
    kept = keep(store, ids[0])

    def full(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = usual(*args, **options)
        connection.execute("PRAGMA max_page_count = 20").fetchone()
        return connection

    usual = states_file.connect
    monkeypatch.setattr(states_file, "connect", full)
    assert keep(store, ids[1], size=200_000) == {}
    assert "disk is full" in caplog.text
    assert find(store, *ids) == kept
    monkeypatch.undo()
    assert set(keep(store, ids[1], size=200_000)) == {ids[1]}


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(20_000))


def torn(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def without_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE packed")
        connection.commit()


def later(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.commit()


def of_another_store(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE store SET id = 'another'")
        connection.commit()


@pytest.mark.parametrize(
    "spoil", [garbage, torn, cut, empty, without_tables, later, of_another_store, Path.unlink]
)
@pytest.mark.parametrize("first", ["find", "keep", "forget"])
def test_a_file_that_cannot_be_used_is_made_again(
    store: Store, folder: Path, spoil: Any, first: str
) -> None:
    ids = add(store, "one", "two", "three")
    kept = keep(store, *ids, size=9000)
    spoil(folder / "states.db")
    if first == "find":
        assert find(store, *ids) == {}
    elif first == "keep":
        keep(store, *ids)
    else:
        assert store.forget(ids[2:], {}).purged
    again = keep(store, *ids[:2])
    assert set(again) == set(ids[:2])
    assert find(store, *ids[:2]) == again
    store.forget(ids, {})
    assert found_in(folder, kept | again) == set()


def test_damaged_states_are_not_found(store: Store, folder: Path) -> None:
    ids = add(store, "one", "two")
    kept = keep(store, *ids, size=9000)
    raw = bytearray((folder / "states.db").read_bytes())
    raw[raw.index(kept[ids[0]][4000:4100])] ^= 1
    (folder / "states.db").write_bytes(raw)
    assert find(store, *ids) == {ids[1]: kept[ids[1]]}
    assert keep(store, ids[0]) == find(store, ids[0])


def test_the_file_of_another_program_is_left_alone(
    store: Store, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(sqlite3.connect(folder / "states.db")) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
    before = (folder / "states.db").read_bytes()
    ids = add(store, "one")
    assert (keep(store, *ids), find(store, *ids)) == ({}, {})
    assert store.forget(ids, {}).purged
    assert (folder / "states.db").read_bytes() == before
    assert "it is a database of another program" in caplog.text


@pytest.mark.parametrize(
    "foreign",
    [
        "CREATE TRIGGER spy AFTER INSERT ON packed BEGIN INSERT INTO copies VALUES (new.data); END",
        "CREATE VIEW spy AS SELECT * FROM copies",
    ],
)
def test_a_file_with_a_trigger_or_a_view_is_made_anew(
    store: Store, folder: Path, foreign: str
) -> None:
    ids = add(store, "one")
    keep(store, *ids)
    with closing(sqlite3.connect(folder / "states.db")) as connection, connection:
        connection.execute("CREATE TABLE copies (x)")
        connection.execute(foreign)
    assert find(store, *ids) == {}
    kept = keep(store, *ids)
    assert find(store, *ids) == kept != {}
    with closing(sqlite3.connect(folder / "states.db")) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert names.isdisjoint({"copies", "spy"})


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_it_is_private_and_no_link_is_followed(
    store: Store, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = add(store, "one")
    keep(store, *ids)
    assert stat.S_IMODE((folder / "states.db").stat().st_mode) == 0o600
    (folder / "states.db").unlink()
    (folder / "states.db").symlink_to(tmp_path / "victim")
    assert (keep(store, *ids), find(store, *ids)) == ({}, {})
    assert store.forget(ids, {}).purged
    assert not (tmp_path / "victim").exists()
    assert "it is a link, which is not followed" in caplog.text


def test_a_read_only_store_reads_them_and_writes_nothing(folder: Path) -> None:
    with open_store(folder) as store:
        ids = add(store, "one", "two")
        kept = keep(store, ids[0])
        keep(store, ids[1], reader="another")
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    cache = StatesCache(
        folder / "states.db", store_id=store.store_id, most_bytes=10**6, writable=False
    )
    wanted = {id: digest_of(str(id)) for id in ids}
    assert cache.find(READER, wanted) == kept
    assert cache.held(READER, wanted) == set(kept)
    assert not cache.keeps
    assert cache.keep(READER, {ids[1]: (wanted[ids[1]], b"x")}, lambda: ids).full
    later(folder / "states.db")
    later_file = (folder / "states.db").read_bytes()
    assert cache.find(READER, wanted) == {}
    assert (folder / "states.db").read_bytes() == later_file
    (folder / "states.db").unlink()
    assert cache.find(READER, wanted) == {}
    after = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    assert {name: one for name, one in before.items() if name != "states.db"} == after


def test_a_store_that_is_opened_for_reading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(folder) as store:
        ids = add(store, "one", "two")
        kept = keep(store, ids[0])
    usual = Database._open.__func__  # type: ignore[attr-defined]

    def closed(cls: Any, location: Location, **options: Any) -> Database:
        if location.writable:
            raise StoreUnwritableError("a read-only disk")
        opened: Database = usual(cls, location, **options)
        return opened

    monkeypatch.setattr(Database, "_open", classmethod(closed))
    before = {file.name: file.read_bytes() for file in folder.glob("states*")}
    with open_store(folder) as store:
        assert find(store, *ids) == kept
        assert not store.keeps_states
        assert keep(store, ids[1]) == {}
    assert {file.name: file.read_bytes() for file in folder.glob("states*")} == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("location", ["store", ":memory:"])
def test_a_forked_child_finds_and_keeps(tmp_path: Path, location: str) -> None:
    place = location if location == ":memory:" else str(tmp_path / location)
    program = FORKING.format(location=place)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{Path(__file__).parents[3]}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.split() == ["child", "True", "True", "parent", "True"], done.stderr


FORKING = """
import os, signal
from tests.storage.sql.test_states import add, find, keep, open_store
store = open_store({location!r})
ids = add(store, "one", "two")
kept = keep(store, ids[0])
pid = os.fork()
if pid == 0:
    signal.alarm(60)
    print("child", find(store, *ids) == kept, bool(keep(store, ids[1])), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print("parent", find(store, *ids)[ids[0]] == kept[ids[0]])
"""


def test_a_fork_waits_for_who_reads_rows_while_keeping_states() -> None:
    # Keeping states reads the store inside: that must not wait for the fork that waits for it.
    gate = forks._Gate()
    ended: list[bool] = []
    forking = threading.Thread(target=lambda: ended.append(gate.close()))
    with gate.entered():
        forking.start()
        while not gate._closed:
            time.sleep(0.001)
        with gate.entered():
            assert ended == []
    forking.join(60)
    assert ended == [True]


def test_threads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "_PATIENCE_S", 120.0)
    ids = add(store, *(f"text {n}" for n in range(24)))
    wrong: list[Any] = []

    def work(mine: list[int]) -> None:
        for id in mine:
            kept = keep(store, id, size=3000)
            if find(store, id) != kept:
                wrong.append(id)

    threads = [threading.Thread(target=work, args=(ids[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(find(store, *ids)) == len(ids)


KEEPER = """
import random, sys
from tests.storage.sql.test_states import READER, find, open_store, states_of
chance = random.Random(int(sys.argv[2]))
with open_store(sys.argv[1]) as store:
    ids = store.ids().tolist()
    packed = {id: random.Random(id).randbytes(6000) for id in ids}
    made = states_of(store, ids, packed)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(25):
        some = chance.sample(made, 5)
        store.keep_states(READER, some)
        found = find(store, *(one.chunk_id for one in some))
        assert all(packed[id] == states for id, states in found.items())
print("done", flush=True)
"""


def test_processes_keep_find_and_forget(folder: Path) -> None:
    with open_store(folder, states_bytes=20 * 3 * 4096) as store:
        ids = add(store, *(f"text {n}" for n in range(24)))
        children = [
            subprocess.Popen(
                [sys.executable, "-c", KEEPER, str(folder), str(seed)],
                env={"PYTHONPATH": f"{ENVIRONMENT['PYTHONPATH']}:{Path(__file__).parents[3]}"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed in range(2)
        ]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        gone = {id: random.Random(id).randbytes(6000) for id in ids[::3]}
        for id in gone:
            store.forget([id], {})
        assert [child.communicate(timeout=120)[0] for child in children] == ["done\n"] * 2
        store.forget([], {})
        assert found_in(folder, gone) == set()
        left = find(store, *ids)
        assert left
        assert not left.keys() & gone.keys()
        assert found_in(folder, left) == set(left)


def test_backup_and_check_leave_it_out(store: Store, folder: Path, tmp_path: Path) -> None:
    ids = add(store, "one")
    keep(store, *ids)
    store.backup(tmp_path / "copy")
    assert {file.name for file in (tmp_path / "copy").iterdir()} == {"memory.db"}
    torn(folder / "states.db")
    assert list(store.check()) == []


def test_a_closed_store_neither_finds_nor_keeps(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(folder) as store:
        ids = add(store, "one")
        made = states_of(store, ids, dict.fromkeys(ids, b"x"))
        keep(store, *ids)
    assert find(store, *ids) == {}
    assert store.keep_states(READER, made).ids == frozenset()


def test_nothing_is_logged_where_nothing_is_wrong(
    any_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="agentmem_storage.sql")
    ids = add(any_store, "one", "two")
    keep(any_store, *ids)
    find(any_store, *ids)
    any_store.forget(ids[:1], {})
    assert "states" not in caplog.text
