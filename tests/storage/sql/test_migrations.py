"""Schema migrations: run once each, atomic, and readable old stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from agentmem_storage.errors import IncompatibleModelError, SchemaVersionError
from agentmem_storage.records import Scope
from agentmem_storage.sql.connection.database import Database
from agentmem_storage.sql.connection.location import locate_store
from agentmem_storage.sql.connection.migrations import (
    APPLICATION_ID,
    STEPS,
    Step,
    applied,
    migrate,
    pending,
)
from agentmem_storage.sql.schema.tables import schema
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
from tests.support.older import UNDO, make_older

ANA = Scope("ana")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    place = locate_store(tmp_path / "store", create=True)
    database = Database.open(place, create=True, timeout_s=5)
    yield database
    database.close()


def _add_column(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE scopes ADD COLUMN tenant TEXT")


def _break(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE half (id INTEGER)")
    raise RuntimeError("power cut")


def test_steps_make_the_tables_that_queries_see(database: Database) -> None:
    migrate(database.write, STEPS)
    with database.read() as connection:
        made = describe(connection)
        assert connection.exec_driver_sql("PRAGMA application_id").scalar() == APPLICATION_ID
    plain = create_engine("sqlite://")
    schema.create_all(plain)
    with plain.connect() as connection:
        assert made == describe(connection)
    plain.dispose()


def test_a_later_new_store_has_what_the_steps_made_of_the_first(tmp_path: Path) -> None:
    everything: list[list[object]] = []
    # Functions of their own: no store in this process was made by these.
    own = [Step(step.name, lambda on, step=step: step.apply(on)) for step in STEPS]  # type: ignore[misc]
    calls = []
    own.append(Step("counted", lambda _: calls.append(1)))
    for name in ("first", "second"):
        place = locate_store(tmp_path / name, create=True)
        database = Database.open(place, create=True, timeout_s=5)
        migrate(database.write, own)
        with database.read() as connection:
            found: list[object] = [
                *connection.exec_driver_sql(
                    "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
                ).all(),
                connection.exec_driver_sql("PRAGMA application_id").scalar(),
            ]
            tables = [one[1] for one in found[:-1] if one[0] == "table"]  # type: ignore[index]
            for table in tables:
                if table != "chunk_terms":
                    rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()
                    found.append((table, rows))
        everything.append(found)
        database.close()
    assert everything[0] == everything[1]
    assert ("totals", [(0,)]) in everything[1]
    assert len(calls) == 1


def describe(connection: Connection) -> dict[str, object]:
    """Columns, foreign keys and indexes of each table, as SQLite itself tells them."""

    def rows(query: str) -> list[list[object]]:
        return [list(row) for row in connection.exec_driver_sql(query)]

    found: dict[str, object] = {}
    for name, sql in connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'chunk_terms%'"
    ).all():
        columns = rows(f"PRAGMA table_info({name})")
        for column in columns:
            # A key of integers is never NULL, whether the table says so or not.
            column[3] = column[3] or column[5]
        indexes = rows(f"SELECT name, sql FROM sqlite_master WHERE tbl_name='{name}' AND sql<>''")
        found[name] = {
            "columns": columns,
            "keys": rows(f"PRAGMA foreign_key_list({name})"),
            "indexes": sorted("".join(str(sql).split()) for one, sql in indexes if one != name),
            "ids return": "AUTOINCREMENT" not in sql,
        }
    return found


def test_each_step_runs_once_and_is_recorded(database: Database) -> None:
    names = [step.name for step in STEPS]
    with database.read() as connection:
        assert applied(connection) == []
        assert pending(connection, STEPS) == list(STEPS)
    assert migrate(database.write, STEPS) == names
    assert migrate(database.write, STEPS) == []
    later = (*STEPS, Step("9999_tenant", _add_column))
    assert migrate(database.write, later) == ["9999_tenant"]
    with database.read() as connection:
        assert applied(connection) == [*names, "9999_tenant"]
        connection.execute(text("SELECT tenant FROM scopes"))


def test_a_new_store_is_made_in_one_transaction(database: Database) -> None:
    """Each waits for the disk."""
    begun = 0

    @contextmanager
    def write() -> Iterator[Connection]:
        nonlocal begun
        begun += 1
        with database.write() as connection:
            yield connection

    with pytest.raises(RuntimeError, match="power cut"):
        migrate(write, (*STEPS, Step("9999_broken", _break)))
    with database.read() as connection:
        assert applied(connection) == []
    assert migrate(write, STEPS) == [step.name for step in STEPS]
    assert begun == 2
    migrate(write, (*STEPS, Step("9998_tenant", _add_column), Step("9999_none", lambda _: None)))
    assert begun == 4


def test_a_step_that_fails_leaves_nothing(database: Database) -> None:
    migrate(database.write, STEPS)
    broken = (*STEPS, Step("9998_tenant", _add_column), Step("9999_broken", _break))
    with pytest.raises(RuntimeError, match="power cut"):
        migrate(database.write, broken)
    with database.read() as connection:
        assert applied(connection) == [step.name for step in broken[:-1]]
        tables = connection.exec_driver_sql("SELECT name FROM sqlite_master").scalars().all()
    assert "half" not in tables


def test_a_newer_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s", model="m", embedding_dims=4):
        pass
    place = locate_store(tmp_path / "s", create=False)
    database = Database.open(place, create=False, timeout_s=5)
    migrate(database.write, (*STEPS, Step("9999_tenant", _add_column)))
    database.close()
    before = (tmp_path / "s" / "memory.db").read_bytes()
    with pytest.raises(SchemaVersionError, match=r"'9999_tenant'.*upgrade"):
        Store.open(tmp_path / "s", model="m", embedding_dims=4)
    assert (tmp_path / "s" / "memory.db").read_bytes() == before


@pytest.mark.parametrize(("model", "embedding_dims"), [("other", 4), ("m", 5)])
def test_another_model_is_refused_by_name(tmp_path: Path, model: str, embedding_dims: int) -> None:
    with Store.open(tmp_path / "s", model="m", embedding_dims=4):
        pass
    with pytest.raises(IncompatibleModelError, match=r"'m' .*4 dims.*model=") as caught:
        Store.open(tmp_path / "s", model=model, embedding_dims=embedding_dims)
    assert repr(model) in str(caught.value)


def test_an_older_store_gets_episodes_and_its_rows_are_alone(tmp_path: Path) -> None:
    """As it was before the step: without its column and index, and those of later steps."""
    sources = [make_source(f"old {number}") for number in range(3)]
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        old = [one.chunk_ids[0] for one in store.add(sources, ANA)]
    make_older(tmp_path / "s" / "memory.db", "0002_episodes")
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        assert [chunk.id for chunk in store.chunks(old)] == old
        assert store.episodes(old) == {one: (one,) for one in old}
        new = [one.chunk_ids[0] for one in store.add([make_source("a"), make_source("b")], ANA)]
        assert store.episodes([*old, *new]) == {
            **{one: (one,) for one in old},
            **dict.fromkeys(new, tuple(new)),
        }
        # The lexical index is that of an older version, too.
        assert store.terms_stale
        texts = [*(f"old {number}" for number in range(3)), "a", "b"]
        assert not len(store.rebuild_terms(zip([*old, *new], texts, strict=True)))
        # What is put in the place of an old one is alone as it was.
        source_id = store.chunks(old)[0].source_id
        changed = store.replace_source(source_id, make_source("c"), {old[0]: "old 0"})
        assert store.episodes(changed.chunk_ids) == {changed.chunk_ids[0]: changed.chunk_ids}
        assert store.became(old[0], ANA) == changed.chunk_ids
        assert list(store.check()) == []


@pytest.mark.parametrize("step", sorted(UNDO))
def test_a_store_of_every_version_is_upgraded(tmp_path: Path, step: str) -> None:
    """It has the tables of a new one, and its memories."""
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        store.add([make_source("old " * 40, metadata={"a": 1}), make_source("new")], ANA)
        before = store.snapshot(lambda one: one.chunks_with_sources(one.ids()))
    make_older(tmp_path / "s" / "memory.db", step)
    with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        after = store.snapshot(lambda one: one.chunks_with_sources(one.ids()))
        assert [source for _, source in after] == [source for _, source in before]
        for (old, _), (new, _) in zip(before, after, strict=True):
            assert (new.id, new.latents, new.text_hash) == (old.id, old.latents, old.text_hash)
        texts = {id: "any" for id in store.ids().tolist()}
        assert not store.terms_stale or not len(store.rebuild_terms(texts.items()))
        assert list(store.check()) == []


def test_every_step_but_the_first_is_undone_by_the_tests() -> None:
    assert ["0001_first_tables", *UNDO] == [step.name for step in STEPS]
