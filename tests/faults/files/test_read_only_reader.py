"""A reader without write permission sees what others write, or says why it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmem_storage.errors import StoreBusyError, StoreUnwritableError
from agentmem_storage.records import ModelBinding, Scope
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.sql.connection.identity import prepare
from agentmem_storage.sql.connection.location import Location, locate_store
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_embedding, make_source, terms_of
from agentmem_storage.timestamps import utc_now

ANA = Scope("ana")


def writer(place: Path) -> Store:
    return Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS, index="exact")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with writer(tmp_path / "s") as store:
        store.add([make_source("one")], ANA)
    return tmp_path / "s"


@pytest.fixture
def reader(place: Path) -> Iterator[Store]:
    """As it is opened where neither the file nor its folder can be written."""
    location = locate_store(place, create=False).read_only(immutable=True)
    database = Database._open(location, create=False, timeout_s=5)
    identity = prepare(database, ModelBinding(MODEL, EMBEDDING_DIMS))
    with Store(
        database, identity, "exact", states_bytes=0, timeout_s=5, purge="now", clock=utc_now
    ) as store:
        assert store._database.location.unlocked
        assert store.count() == 1
        yield store


def seen(store: Store) -> tuple[int, int, int]:
    """What three ways of reading find, with a verdict on the file."""
    assert list(store.check()) == []
    words = store.search_terms("two", 9).ids.size
    return store.count(), store.search_vectors(make_embedding("two"), 9).ids.size, words


def test_what_a_writer_adds_is_seen_while_it_is_open_and_after(place: Path, reader: Store) -> None:
    with writer(place) as store:
        (two,) = store.add([make_source("two")], ANA)
        assert seen(reader) == (2, 2, 1)
        store.forget(two.chunk_ids, terms_of(two, make_source("two")))
        assert seen(reader) == (1, 1, 0)
        store.add([make_source("two of them"), make_source("three")], ANA)
    assert seen(reader) == (3, 3, 1)


def test_what_was_written_and_closed_between_two_reads_is_seen(place: Path, reader: Store) -> None:
    for number in range(3):
        with writer(place) as store:
            store.add([make_source(f"two {number} " * 200)], ANA)
            written = store.count()
        assert seen(reader)[:2] == (written, 9)
    assert reader._database.location.unlocked


def test_what_is_forgotten_does_not_come_back(place: Path, reader: Store) -> None:
    with writer(place) as store:
        store.forget([1], {1: "one"})
    assert seen(reader) == (0, 0, 0)


def test_a_write_during_a_read_is_not_taken_for_damage(place: Path, reader: Store) -> None:
    def read(snapshot: object) -> int:
        with writer(place) as store:
            store.add([make_source("two")], ANA)
        return 0

    with pytest.raises(StoreBusyError, match="while this one was reading"):
        reader.snapshot(read)
    assert seen(reader)[0] == 2


def test_a_log_that_cannot_be_read_is_refused_with_the_way_out(
    place: Path, reader: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(self: Location, *, immutable: bool) -> Location:
        return Location("x", "file:/nowhere/at/all?mode=ro", {"uri": True}, self.path, None)

    with writer(place) as store:
        store.add([make_source("two")], ANA)
        with monkeypatch.context() as patch:
            patch.setattr(Location, "read_only", closed)
            for _ in range(2):
                with pytest.raises(StoreUnwritableError, match="permission to write to its folder"):
                    reader.count()
        assert reader.count() == 2


def test_writing_is_refused(reader: Store) -> None:
    with pytest.raises(StoreUnwritableError):
        reader.add([make_source("two")], ANA)
