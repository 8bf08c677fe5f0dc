"""Milvus that is gone, emptied or killed, and stores that are killed while they write to it."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.errors import StoreError
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.sync import milvus as sync_milvus
from agentmem_storage.sync import milvus_writer
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source
from tests.support.milvus import MilvusServer

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

ANA = Scope("ana")
QUERY = make_embedding("query")
# For what hangs, not for what is slow.
PATIENCE_S = 300


def opened(location: str | Path, index: str, **options: Any) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, index=index, **options)


@pytest.fixture
def own() -> Iterator[MilvusServer]:
    """A server that may be killed."""
    server = MilvusServer()
    try:
        yield server
    finally:
        server.stop()


def fill(store: Store, count: int, first: int = 0) -> list[int]:
    new = [make_source(f"memory {n}") for n in range(first, first + count)]
    return [id for one in store.add(new, ANA) for id in one.chunk_ids]


def everything(store: Store) -> list[int]:
    found: list[int] = sorted(store.search_vectors(QUERY, 10_000).ids.tolist())
    return found


@pytest.mark.parametrize("way", ["dropped", "all rows", "our rows"])
def test_emptied_it_is_filled_again(way: str, milvus: MilvusServer, tmp_path: Path) -> None:
    with opened(tmp_path, milvus.index) as store:
        ids = fill(store, 40)
        assert everything(store) == ids
        client = milvus.client()
        (name,) = (one for one in client.list_collections() if store.store_id in one)
        if way == "dropped":
            client.drop_collection(name)
        else:
            client.delete(name, filter="id >= 0" if way == "all rows" else f"id < {2**62}")
        client.close()
        assert everything(store) == ids
        assert sorted(milvus.rows(store.store_id)) == ids
        assert everything(store) == ids


def test_gone_it_says_so_and_nothing_is_lost(own: MilvusServer, tmp_path: Path) -> None:
    with opened(tmp_path, own.index, timeout_s=1) as store:
        ids = fill(store, 20)
        assert everything(store) == ids
        own.kill()
        with pytest.raises(StoreError, match=r"Milvus at 'http://127.*nothing is lost.*'auto'"):
            store.search_vectors(QUERY, 3)
        # What needs no search goes on.
        ids += fill(store, 10, first=20)
        assert store.ids().tolist() == ids
        assert not store.forget(ids[:1], {ids[0]: "memory 0"}).purged
        assert store._flag("unpurged") != 0
        own.start()
        assert everything(store) == ids[1:]
        assert store.purge()
        assert sorted(own.rows(store.store_id)) == ids[1:]


def test_a_killed_server_loses_nothing_acknowledged(own: MilvusServer, tmp_path: Path) -> None:
    stop, ids = threading.Event(), []

    def write() -> None:
        with opened(tmp_path, own.index, timeout_s=1) as writer:
            while not stop.is_set():
                ids.extend(fill(writer, 3, first=len(ids)))

    with opened(tmp_path, own.index, timeout_s=1) as store:
        thread = threading.Thread(target=write)
        thread.start()
        for enough in (30, 90):
            while len(ids) < enough:
                assert thread.is_alive()
                stop.wait(0.01)
            own.kill()
            own.start()
        stop.set()
        thread.join(PATIENCE_S)
        assert everything(store) == sorted(ids)
        store.load_index()
        assert sorted(own.rows(store.store_id)) == sorted(ids)


_WRITER = """
import sys
from tests.storage.milvus.test_faults import fill, milvus_writer, opened, sync_milvus

sync_milvus.SCORED, sync_milvus.BEHIND, milvus_writer._BATCH = 0, 8, 16
with opened(sys.argv[1], sys.argv[2]) as store:
    number = int(sys.argv[3])
    while True:
        (id,) = fill(store, 1, first=number)
        print("added", id, flush=True)
        number += 1
        if id % 4 == 0:
            print("forgetting", id - 2, flush=True)
            store.forget([id - 2], {})
            print("forgot", id - 2, flush=True)
        if id % 40 == 0:
            store.rebuild_index()
"""


@pytest.mark.parametrize("place", ["server", "file"])
def test_a_killed_process_loses_nothing(place: str, milvus: MilvusServer, tmp_path: Path) -> None:
    index = milvus.index if place == "server" else f"milvus+{tmp_path}/embeddings.db"
    location = str(tmp_path / "store")
    moments = random.Random(place)
    added: set[int] = set()
    forgotten: set[int] = set()
    unsure: set[int] = set()
    for turn in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, location, index, str(1000 * turn)],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines = moments.randrange(8, 60)
            for line, _ in zip(process.stdout, range(lines), strict=False):
                _note(line, added, forgotten, unsure)
            process.send_signal(signal.SIGKILL)
            for line in process.stdout:
                if line.endswith("\n"):
                    _note(line, added, forgotten, unsure)
        assert process.returncode == -signal.SIGKILL
        if turn == 1 and place == "file":
            shutil.rmtree(tmp_path / "embeddings.db")
    with opened(location, index) as store, opened(location, "exact") as exact:
        rows = store.ids().tolist()
        found = everything(store)
        assert found == rows == everything(exact)
        assert set(found) >= added - forgotten - unsure
        assert not set(found) & forgotten
        store.load_index()
        if place == "server":
            assert sorted(milvus.rows(store.store_id)) == rows


def _note(line: str, added: set[int], forgotten: set[int], unsure: set[int]) -> None:
    what, id = line.split()
    if what == "added":
        added.add(int(id))
    elif what == "forgetting":
        unsure.add(int(id))
    else:
        unsure.discard(int(id))
        forgotten.add(int(id))


def _work(location: str, index: str, name: str, count: int) -> None:
    sync_milvus.SCORED, sync_milvus.BEHIND, milvus_writer._BATCH = 0, 8, 16
    with opened(location, index) as store:
        for n in range(count):
            text = f"{name} {n}"
            ((id,),) = (one.chunk_ids for one in store.add([make_source(text)], ANA))
            assert store.search_vectors(make_embedding(text), 1).ids.tolist() == [id]
            if n % 5 == 4:
                store.forget([id], {id: text})
                assert id not in store.search_vectors(make_embedding(text), 3).ids
            if n == count // 2:
                store.rebuild_index()


def test_two_processes_share_it(milvus: MilvusServer, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_work, args=(str(tmp_path), milvus.index, name, 20))
        for name in ("one", "two")
    ]
    for one in workers:
        one.start()
    for one in workers:
        one.join(PATIENCE_S)
        assert one.exitcode == 0
    with opened(tmp_path, milvus.index) as store:
        assert everything(store) == store.ids().tolist()
        assert store.count() == 32
        store.load_index()
        assert sorted(milvus.rows(store.store_id)) == store.ids().tolist()


def test_a_file_is_for_one_process(tmp_path: Path) -> None:
    index = f"milvus+{tmp_path}/embeddings.db"
    with opened(tmp_path / "store", index, timeout_s=1) as store:
        fill(store, 20)
        store.load_index()
        asked = (
            "import sys; from tests.storage.milvus.test_faults import *; "
            "opened(*sys.argv[1:], timeout_s=1).load_index()"
        )
        other = subprocess.run(
            [sys.executable, "-c", asked, str(tmp_path / "store"), index],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert other.returncode == 1
        assert "one process at a time can use a file" in other.stderr


def test_it_is_made_anew_beside_the_former(milvus: MilvusServer, tmp_path: Path) -> None:
    with opened(tmp_path, milvus.index) as store:
        ids = fill(store, 60)
        store.load_index()
        # As a process that is killed while it makes it anew.
        index: Any = store._index
        index._writer.begin_again()
        first, second = index._writer.step()
        assert not first.complete
        assert second.complete
        # Both follow, and what is forgotten is in neither.
        store.forget(ids[:1], {ids[0]: "memory 0"})
        assert ids[0] not in milvus.rows(store.store_id)
        assert everything(store) == ids[1:]
    with opened(tmp_path, milvus.index) as store:
        store.load_index()
        assert sorted(milvus.rows(store.store_id)) == ids[1:]
        client = milvus.client()
        assert len([one for one in client.list_collections() if store.store_id in one]) == 1
        client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_process_is_refused(milvus: MilvusServer, tmp_path: Path) -> None:
    with opened(tmp_path, milvus.index) as store:
        fill(store, 20)
        store.load_index()
        child = os.fork()
        if child == 0:
            try:
                store.search_vectors(QUERY, 1)
            except StoreError as error:
                os._exit(0 if "was forked" in str(error) else 2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
