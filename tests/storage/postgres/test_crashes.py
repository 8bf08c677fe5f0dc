"""A server that is killed, and several processes that write to one store."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest

from agentmem_storage.errors import StoreError
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source
from agentmem_storage.testing.postgres import PostgresServer

ANA = Scope("ana")
# For what hangs, not for what is slow.
PATIENCE_S = 300


def opened(url: str) -> Store:
    return Store.open(url, model=MODEL, embedding_dims=EMBEDDING_DIMS)


def test_a_killed_server_loses_nothing_acknowledged(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.url(tmp_path)
    enough, acknowledged = threading.Event(), {}

    def write() -> None:
        with opened(url) as writer:
            for n in range(100_000):
                try:
                    (written,) = writer.add([make_source(f"memory {n}")], ANA)
                except StoreError:
                    return
                acknowledged[n] = written.chunk_ids
                if n >= 10:
                    enough.set()

    with opened(url) as store:
        for _ in range(2):
            enough.clear()
            thread = threading.Thread(target=write)
            thread.start()
            assert enough.wait(PATIENCE_S)
            postgres.kill()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
            with pytest.raises(StoreError, match="cannot be reached"):
                store.count()
            postgres.start()
            # The same open store goes on.
            held = {id: chunk for chunk in store.chunks(store.ids().tolist()) for id in [chunk.id]}
            for n, ids in acknowledged.items():
                assert [held[id].id for id in ids] == list(ids)
                assert ids[0] in store.search_terms(f"memory {n}", 5).ids
            assert list(store.check()) == []
            assert store.search_vectors(make_embedding("memory 3"), 1).ids[0] == acknowledged[3][0]


def _write(url: str, name: str, count: int) -> None:
    with opened(url) as store:
        for n in range(count):
            store.add([make_source(f"{name} {n}")], ANA)


def test_two_processes_write_to_a_new_store(postgres: PostgresServer, tmp_path: Path) -> None:
    url, count = postgres.url(tmp_path), 15
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write, args=(url, name, count)) for name in ("one", "two")]
    for one in writers:
        one.start()
    for one in writers:
        one.join(PATIENCE_S)
        assert one.exitcode == 0
    with opened(url) as store:
        assert store.count() == 2 * count
        for name in ("one", "two"):
            assert len(store.search_terms(name, 99).ids) == count
        assert list(store.check()) == []
