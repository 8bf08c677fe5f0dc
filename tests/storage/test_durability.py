"""Durability: kills, several processes, full disks, locks, and rollback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import agentmem_storage
from agentmem_storage.episodes import assign
from agentmem_storage.errors import StoreBusyError, StoreError, StoreUnwritableError
from agentmem_storage.records import Scope
from agentmem_storage.sql.schema.codec import decode_embeddings
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source

ENVIRONMENT = {"PYTHONPATH": str(Path(agentmem_storage.__file__).parents[1])}
PRELUDE = """
import os, resource, sys
from agentmem_storage.errors import StoreError
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source

def open_store(location, **options):
    options = {"timeout_s": 240.0, **options}  # busy machines
    options |= {"model": MODEL, "embedding_dims": EMBEDDING_DIMS, "index": "exact"}
    return Store.open(location, **options)
"""


def open_store(location: Path | str, *, timeout_s: float = 240.0) -> Store:
    return Store.open(
        location, model=MODEL, embedding_dims=EMBEDDING_DIMS, timeout_s=timeout_s, index="exact"
    )


@contextmanager
def process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run a script in another process, which is gone at the end."""
    command = [sys.executable, "-c", PRELUDE + script, *map(str, arguments)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def lines(child: subprocess.Popen[str]) -> Iterator[str]:
    assert child.stdout is not None
    for line in child.stdout:
        yield line.strip()


WRITE_UNTIL_KILLED = """
store = open_store(sys.argv[1])
for number in range(10**6):
    sources = [make_source(f"memory {number} {part} " * 20) for part in range(20)]
    for written in store.add(sources, Scope("a")):
        print(written.source_id, *written.chunk_ids, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [30, 171])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, acknowledged: int) -> None:
    seen = []
    with process(WRITE_UNTIL_KILLED, tmp_path / "s") as child:
        for line in lines(child):
            seen.append([int(number) for number in line.split()])
            if len(seen) == acknowledged:
                # The other one goes on writing until the signal strikes, wherever it is by then.
                child.send_signal(signal.SIGKILL)
                break
        seen += [[int(number) for number in line.split()] for line in lines(child) if line]
    with open_store(tmp_path / "s") as store:
        # The last line may have been torn by the kill.
        for source_id, *chunk_ids in seen[:-1]:
            assert store.sources([source_id])[0].chunk_ids == tuple(chunk_ids)
            store.chunks(chunk_ids)
        assert len(store.ids()) % len(chunk_ids) == 0
        assert store.stats().sources % 20 == 0
        assert list(store.check()) == []
        assert len(store.search_vectors(make_embedding("x"), 10**6).ids) == len(store.ids())


WRITE_FIFTY = """
store = open_store(sys.argv[1])
for number in range(50):
    (written,) = store.add([make_source(f"{sys.argv[2]} says {number}")], Scope(sys.argv[2]))
    print(*written.chunk_ids, flush=True)
store.close()
"""


def test_four_processes_lose_nothing(tmp_path: Path) -> None:
    # None of them finds a store: all make the same one at once.
    with (
        process(WRITE_FIFTY, tmp_path / "s", 0) as a,
        process(WRITE_FIFTY, tmp_path / "s", 1) as b,
        process(WRITE_FIFTY, tmp_path / "s", 2) as c,
        process(WRITE_FIFTY, tmp_path / "s", 3) as d,
    ):
        written = [int(line) for child in (a, b, c, d) for line in lines(child)]
        assert [child.wait(timeout=240) for child in (a, b, c, d)] == [0, 0, 0, 0]
    assert len(written) == 200
    with open_store(tmp_path / "s") as store:
        assert list(store.ids()) == sorted(written)
        assert sorted(store.search_vectors(make_embedding("x"), 500).ids) == sorted(written)
        assert [one.chunks for one in store.scopes()] == [50] * 4
        assert list(store.check()) == []


TALK_IN_ONE_SCOPE = """
store = open_store(sys.argv[1])
for number in range(50):
    store.add([make_source(f"{sys.argv[2]} says {number}")], Scope("both"))
store.close()
"""


def test_two_processes_agree_on_the_episodes_of_one_scope(tmp_path: Path) -> None:
    with (
        process(TALK_IN_ONE_SCOPE, tmp_path / "s", 0) as a,
        process(TALK_IN_ONE_SCOPE, tmp_path / "s", 1) as b,
    ):
        assert [child.wait(timeout=240) for child in (a, b)] == [0, 0]
    with open_store(tmp_path / "s") as store, store._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT key, episode FROM chunks ORDER BY id").all()
        keys = decode_embeddings([row.key for row in rows], range(len(rows)))
    # As if one had written them all, one after the other.
    assert len(rows) == 100
    assert [row.episode for row in rows] == assign(None, [(key, 0) for key in keys])


ANSWER = """
store = open_store(sys.argv[1])
for line in sys.stdin:
    text = line.strip()
    ids = store.search_vectors(make_embedding(text), 1).ids
    print(*ids, *store.search_terms(text, 1).ids, flush=True)
store.close()
"""


def test_another_process_sees_a_memory_as_soon_as_it_is_added(tmp_path: Path) -> None:
    with open_store(tmp_path / "s") as store, process(ANSWER, tmp_path / "s") as child:
        answers = lines(child)
        assert child.stdin is not None
        for number in range(20):
            text = f"memory{number}"
            ((chunk_id,),) = [one.chunk_ids for one in store.add([make_source(text)], Scope())]
            child.stdin.write(text + "\n")
            child.stdin.flush()
            assert next(answers).split() == [str(chunk_id), str(chunk_id)]


FILL_THE_DISK = """
store = open_store(sys.argv[1])
for number in range(20):
    print(*store.add([make_source(f"{number:06} memory " * 64)], Scope("a"))[0].chunk_ids)
limit = max(os.path.getsize(os.path.join(sys.argv[1], name)) for name in os.listdir(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit + 50_000, resource.RLIM_INFINITY))
try:
    for number in range(20, 10_000):
        print(*store.add([make_source(f"{number:06} memory " * 64)], Scope("a"))[0].chunk_ids)
except StoreError as error:
    print(type(error).__name__)
print(len(store.ids()), len(store.search_terms("memory", 10**6).ids))
store.search_vectors(make_embedding("x"), 5)
store.close()
print("closed")
"""


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with process(FILL_THE_DISK, tmp_path / "s") as child:
        *written, error, counts, last = lines(child)
        assert child.wait(timeout=240) == 0
    ids = [int(one) for line in written for one in line.split()]
    assert error == "StoreUnwritableError"
    assert counts == f"{len(ids)} {len(ids)}"
    assert last == "closed"
    with open_store(tmp_path / "s") as store:
        assert list(store.ids()) == ids
        assert list(store.check()) == []
        (more,) = store.add([make_source("room again")], Scope("a"))
        assert more.chunk_ids[0] > ids[-1]


def test_a_full_database_loses_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        (kept,) = store.add([make_source("kept")], Scope())
        with store._database.read() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(StoreUnwritableError, match="full.*nothing was written"):
            store.add([make_source(f"memory {n} " * 50) for n in range(100)], Scope())
        assert list(store.ids()) == list(kept.chunk_ids)
        assert list(store.check()) == []


READ_ONLY = """
# Everything is imported before the rights are given up: nobody may read the interpreter's files.
with open_store(":memory:") as warm:
    warm.add([make_source("warm")], Scope())
    warm.search_terms("warm", 1)
    warm.search_vectors(make_embedding("warm"), 1)
    list(warm.check())
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)

def outcome(call):
    try:
        return call()
    except StoreError as error:
        return type(error).__name__

folder = sys.argv[1]
with open_store(folder + "/clean") as store:
    print(len(store.search_vectors(make_embedding("kept"), 9).ids), end=" ")
    print(len(store.search_terms("kept", 9).ids))
    print(list(store.check()))
    print(outcome(lambda: store.add([make_source("more")], Scope())))
    print(outcome(lambda: store.forget([1], {1: "kept"})))
    print(len(store.ids()))
print(outcome(lambda: open_store(folder + "/unfinished")))
print(outcome(lambda: open_store(folder + "/new")))
print(outcome(lambda: open_store("sqlite:///" + folder + "/new.db")))
"""


def test_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    # pytest's own folders are closed to the user that a root process turns into here.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with open_store(folder / "clean") as store:
            store.add([make_source("kept")], Scope())
        with open_store(tmp_path / "s") as store:
            store.add([make_source("kept")], Scope())
            # Copied while it is open: the rows are in the write-ahead log.
            (folder / "unfinished").mkdir()
            for file in ("memory.db", "memory.db-wal", "memory.db-mark"):
                (folder / "unfinished" / file).write_bytes((tmp_path / "s" / file).read_bytes())
        closed = [folder / "clean", folder / "unfinished", folder]
        for one in closed:
            for inside in one.iterdir():
                if inside.is_file():
                    inside.chmod(0o444)
            one.chmod(0o555)
        with process(READ_ONLY, folder) as child:
            answers = list(lines(child))
            assert child.wait(timeout=240) == 0
        for one in closed:
            one.chmod(0o755)
    assert answers == [
        "1 1",
        "[]",
        "StoreUnwritableError",
        "StoreUnwritableError",
        "1",
        # Without its log it would seem to be empty.
        "StoreUnwritableError",
        "StoreUnwritableError",
        "StoreUnwritableError",
    ]


def test_a_locked_store_is_busy_and_not_harmed(tmp_path: Path) -> None:
    with open_store(tmp_path) as one, open_store(tmp_path, timeout_s=0.1) as other:
        other.add([make_source("before")], Scope())
        with one._database.write():
            with pytest.raises(StoreBusyError, match="locked by another writer"):
                other.add([make_source("meanwhile")], Scope())
            assert len(other.search_terms("before", 3).ids) == 1
        other.add([make_source("after")], Scope())
        assert len(other.ids()) == 2


@pytest.mark.parametrize("location", ["folder", ":memory:"])
def test_a_thread_that_waits_too_long_gets_an_error(tmp_path: Path, location: str) -> None:
    place = tmp_path if location == "folder" else location
    with open_store(place, timeout_s=0.1) as store, store._database.write():
        with pytest.raises(StoreBusyError, match="another thread"):
            store.add([make_source("meanwhile")], Scope())


@pytest.mark.parametrize("location", ["folder", ":memory:"])
def test_threads_share_a_store(tmp_path: Path, location: str) -> None:
    failures: list[BaseException] = []

    def work(store: Store, name: str) -> None:
        for number in range(10):
            text = f"{name} says {number}"
            (written,) = store.add([make_source(text)], Scope(name))
            assert store.search_vectors(make_embedding(text), 1).ids[0] == written.chunk_ids[0]
            assert written.chunk_ids[0] in store.search_terms(name, 100).ids
            assert store.chunks(written.chunk_ids)[0].id == written.chunk_ids[0]

    def guarded(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            failures.append(error)

    with open_store(tmp_path if location == "folder" else location) as store:
        threads = [
            threading.Thread(target=guarded, args=(lambda name=f"t{n}": work(store, name),))
            for n in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(store.ids()) == 60
        assert list(store.check()) == []


def test_an_error_in_the_middle_undoes_everything(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        with store._database.write() as connection:
            connection.exec_driver_sql(
                "CREATE TEMP TRIGGER stop BEFORE INSERT ON main.changes "
                "BEGIN SELECT raise(ABORT, 'x'); END"
            )
        with pytest.raises(StoreError, match="SQLITE_CONSTRAINT"):
            store.add([make_source("never")], Scope("new"))
        with store._database.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER stop")
        assert len(store.ids()) == 0
        assert store.scopes() == []
        assert len(store.search_terms("never", 1).ids) == 0
        assert list(store.check()) == []


def test_a_store_is_synchronous_and_wipes(tmp_path: Path) -> None:
    with open_store(tmp_path) as store, store._database.read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        }
    full = 2
    assert settings == {
        "journal_mode": "wal",
        "synchronous": full,
        "secure_delete": 1,
        "foreign_keys": 1,
    }
    assert os.listdir(tmp_path) == ["memory.db"]
