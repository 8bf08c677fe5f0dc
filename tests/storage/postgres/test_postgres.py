"""Stores in PostgreSQL: the conformance suite, and their own ways."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agentmem_storage.errors import (
    AgentMemError,
    InputError,
    MissingExtraError,
    NotAStoreError,
    StoreBusyError,
    StoreError,
    StoreMovedError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from agentmem_storage.records import NewSource, Scope
from agentmem_storage.snapshot import Snapshot
from agentmem_storage.store import Store
from agentmem_storage.testing import (
    EMBEDDING_DIMS,
    MODEL,
    DurableStoreConformance,
    make_embedding,
    make_source,
    terms_of,
)
from agentmem_storage.testing.postgres import USER, PostgresServer
from tests.support.pooler import Pooler

ANA = Scope("ana")


def opened(location: str | Path, **options: Any) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, **options)


class TestPostgres(DurableStoreConformance):
    @pytest.fixture(autouse=True)
    def _server(self, postgres: PostgresServer) -> None:
        self.postgres = postgres

    def open_store(self, place: Path) -> Store:
        return opened(self.postgres.url(place))


@pytest.fixture
def url(postgres: PostgresServer, tmp_path: Path) -> str:
    return postgres.url(tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with opened(url) as store:
        yield store


def test_a_snapshot_sees_one_state(store: Store, url: str) -> None:
    store.add([make_source("old")], ANA)
    with opened(url) as other:

        def read(one: Snapshot) -> tuple[int, int]:
            before = one.count()
            (new,) = other.add([make_source("new")], ANA)
            other.forget([1], {1: "old"})
            assert other.count() == 1
            return before, len(one.chunks([1]))

        assert store.snapshot(read) == (1, 1)
    assert [chunk.id for chunk in store.chunks(store.ids().tolist())] == [2]


def test_a_writer_waits_for_another_and_gives_up(url: str, postgres: PostgresServer) -> None:
    with opened(url, timeout_s=0.2) as store, opened(url, timeout_s=60) as other:
        with other._database.write():
            with pytest.raises(StoreBusyError):
                store.add([make_source("late")], ANA)
            assert store.count() == 0  # reading does not wait
        store.add([make_source("late")], ANA)
        assert other.count() == 1


def test_another_writers_changes_are_found(store: Store, url: str) -> None:
    with opened(url) as other:
        for n in range(3):
            (written,) = other.add([make_source(f"memory {n}")], ANA)
            assert list(store.search_vectors(make_embedding(f"memory {n}"), 1).ids) == list(
                written.chunk_ids
            )
        other.forget(written.chunk_ids, {written.chunk_ids[0]: "memory 2"})
        assert written.chunk_ids[0] not in store.search_vectors(make_embedding("memory 2"), 9).ids


def test_a_forgotten_memory_is_in_no_table(
    postgres: PostgresServer, url: str, store: Store
) -> None:
    secret = make_source("walrus", title="walrus", metadata={"walrus": "walrus"}, keep_text=True)
    (written,) = store.add([secret], ANA)
    store.add([make_source("kept")], ANA)
    with postgres.connect() as connection:
        assert b"walrus" in dumped(connection, url)
        receipt = store.forget(written.chunk_ids, terms_of(written, secret))
        assert receipt.chunks == 1
        assert not receipt.purged  # for its bytes may be in the server's log
        assert store.purge()
        assert b"walrus" not in dumped(connection, url)
        assert b"kept" in dumped(connection, url)
    assert list(store.check()) == []


def dumped(connection: psycopg.Connection[Any], url: str) -> bytes:
    """All rows of a store, as text."""
    schema = url.rpartition("schema=")[2]
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
    rows = [
        repr(row)
        for (name,) in names.fetchall()
        for row in connection.execute(f'SELECT * FROM {schema}."{name}"').fetchall()  # type: ignore[arg-type]
    ]
    return "\n".join(rows).encode()


def test_what_it_cannot_keep_is_refused_and_nothing_written(store: Store) -> None:
    good = make_source("good")
    bad: list[NewSource] = [
        make_source("x", title="a\x00b"),
        make_source("x", metadata={"a": {"b\x00": 1}, "c\x00": 1}),
        make_source("x", metadata={"a": "b\x00"}),
        make_source("x", metadata={"a": {"b": ["c", "\x00"]}}),
        make_source("x", metadata={"a": {"b\x00": 1}}),
        make_source("x", external_id=hashlib.shake_256(b"x").hexdigest(9_000)),
    ]
    for source in bad:
        with pytest.raises(InputError):
            store.add([good, source], ANA)
    with pytest.raises(InputError):
        store.add([good], Scope("a\x00"))
    assert store.count() == 0
    assert store.scopes() == []
    # Six characters that look like it are none.
    written = store.add([make_source("fine", metadata={"a": "\\u0000"})], ANA)
    with pytest.raises(InputError):
        store.update_source(written[0].source_id, metadata={"a": "\x00"})
    assert store.sources([written[0].source_id])[0].metadata == {"a": "\\u0000"}
    store.forget(written[0].chunk_ids, {})
    # A text itself may have it.
    store.add([make_source("a\x00b", keep_text=True)], ANA)
    assert [chunk.text for chunk in store.chunks(store.ids().tolist())] == ["a\x00b"]


def test_what_makes_no_sense_says_what_does(store: Store, url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pg_dump"):
        store.backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(InputError, match="encrypted"):
        store.change_key(b"k" * 32)
    with pytest.raises(InputError, match="without a key"):
        opened(url, key=b"k" * 32)


@pytest.mark.parametrize("table", ["sources (id int)", "migrations (id int, name text)"])
def test_only_a_store_or_nothing_is_opened(postgres: PostgresServer, url: str, table: str) -> None:
    with pytest.raises(StoreNotFoundError):
        opened(url, create=False)
    schema = url.rpartition("schema=")[2]
    with postgres.connect() as connection:
        connection.execute(f"CREATE SCHEMA {schema} CREATE TABLE {table}")
    with pytest.raises(NotAStoreError, match="another program"):
        opened(url)


def test_a_reader_reads_and_does_not_write(
    postgres: PostgresServer, url: str, store: Store
) -> None:
    schema = url.rpartition("schema=")[2]
    store.add([make_source("kept")], ANA)
    with postgres.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader")
    with opened(url.replace("agentmem@", "reader@")) as reader:
        assert len(reader.search_terms("kept", 1).ids) == 1
        with pytest.raises(StoreUnwritableError):
            reader.add([make_source("more")], ANA)
    with postgres.connect() as connection:
        connection.execute("DROP OWNED BY reader; DROP ROLE reader")


@pytest.mark.parametrize(
    "location",
    [
        "postgresql://me:secret@localhost:1/db",
        "postgresql://me:a/secret@localhost:1/db?sslmode=disable",
        "postgresql://me@localhost:1/db?password=secret&sslmode=disable",
        "postgresql+psycopg2://me:secret@localhost/db",
        "postgres://me:secret@localhost/db",
        "postgresql://me:secret@localhost",
        "postgresql://me:secret@localhost/db?schema=public",
        "postgresql://me:secret@localhost/db?schema=" + "x" * 64,
        "postgresql://me:secret@localhost/db?schema=\ud800",
        "postgresql://me:secret@localhost/\ud800",
        f"postgresql://me:secret@{'x' * 64}.example.org/db",
        "postgresql://me:secret@localhost/db?row_factory=x",
        "postgresql://me:secret@localhost/db?autocommit=true",
        "postgresql://me:secret@localhost/db?connect_timeout=soon",
    ],
)
def test_an_error_has_no_password_in_it(location: str) -> None:
    with pytest.raises(AgentMemError) as caught:
        opened(location)
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value, InputError | StoreError)
    assert "not as agentmem has made it" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_texts_are_in_utf8_whatever_the_client_is_told(
    url: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    with opened(f"{url}&client_encoding={encoding}") as store:
        store.add([make_source("漢字", metadata={"k": "é"}, keep_text=True)], ANA)
        assert [chunk.text for chunk in store.chunks(store.ids().tolist())] == ["漢字"]


def test_a_fork_goes_on_by_itself(store: Store) -> None:
    store.add([make_source("before")], ANA)
    child = os.fork()
    if child == 0:
        try:
            store.add([make_source("in the child")], ANA)
            os._exit(store.count() != 2)
        except BaseException:
            os._exit(9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    store.add([make_source("after")], ANA)
    assert store.count() == 3


def test_without_psycopg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "agentmem_storage.sql.postgres.database", raising=False)
    with pytest.raises(MissingExtraError, match=r"\[postgres\]") as caught:
        opened("postgresql://localhost/db")
    assert caught.value.extra == "postgres"


def test_a_pooler_that_exchanges_sessions_is_refused(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """One store would read and write in the schema of another."""
    urls = [postgres.url(tmp_path / name) for name in ("one", "two")]
    for url in urls:
        opened(url).close()
    pooler = Pooler(postgres.folder, USER)
    try:
        one, two = (
            opened(
                f"postgresql://{USER}@127.0.0.1:{pooler.port}/postgres?sslmode=disable"
                f"&gssencmode=disable&schema={url.rpartition('schema=')[2]}"
            )
            for url in urls
        )
        with one, two:
            two.add([make_source("of two")], ANA)
            for refused in (one.ids, lambda: one.add([make_source("of one")], ANA)):
                with pytest.raises(StoreError, match="pool_mode=session"):
                    refused()
            assert len(two.ids()) == 1
    finally:
        pooler.stop()
    with opened(urls[0]) as store:
        assert store.count() == 0


def test_a_store_that_takes_the_place_of_an_open_one_is_noticed(
    postgres: PostgresServer, url: str, store: Store
) -> None:
    store.add([make_source("old")], ANA)
    with postgres.connect() as connection:
        connection.execute(f"DROP SCHEMA {url.rpartition('schema=')[2]} CASCADE")
    with opened(url) as other:
        other.add([make_source("new")], ANA)
        for refused in (store.count, lambda: store.add([make_source("more")], ANA)):
            with pytest.raises(StoreMovedError, match="replaced"):
                refused()
        assert other.count() == 1


def test_nothing_waits_longer_than_it_was_told(
    postgres: PostgresServer, url: str, store: Store
) -> None:
    store.add([make_source("kept")], ANA)
    with opened(url, timeout_s=0.1) as hasty, postgres.connect() as connection:
        schema = url.rpartition("schema=")[2]
        with connection.transaction():
            connection.execute(f"LOCK TABLE {schema}.chunks, {schema}.sources")
            for busy in (hasty.ids, lambda: hasty.search_terms("kept", 1)):
                with pytest.raises(StoreBusyError):
                    busy()
        assert len(hasty.ids()) == 1
        with connection.transaction():
            # As whoever creates a store at the moment.
            connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [0x41674D6D])
            with pytest.raises(StoreBusyError):
                opened(f"{url}x", timeout_s=0.1)
