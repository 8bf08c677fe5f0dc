"""Whatever is altered of what a user reads is found by the check, and named by its row."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentmem_storage.errors import AgentMemError
from agentmem_storage.records import Scope
from agentmem_storage.sql.schema import sums
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source, terms_of

COLUMNS = {
    "sources": (
        *("scope_id", "kind", "role", "name", "title", "uri", "created_at", "added_at", "chars"),
        *("content_hash", "metadata", "occurrence", "former", "sums"),
    ),
    "chunks": (
        *("source_id", "scope_id", "ordinal", "start", "end", "tokens", "fidelity", "text_hash"),
        *("key", "patch", "latents", "text", "episode"),
    ),
    "scopes": ("user_id", "agent_id", "session_id"),
    "changes": ("op", "chunk_id"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two scopes; sources with all fields, one of them of three chunks."""
    said: dict[str, Any] = {"role": "user", "name": "Ana", "title": "T", "uri": "u:1"}
    with Store.open(
        tmp_path_factory.mktemp("sums") / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS
    ) as store:
        long = make_source("a longer text " * 12, metadata={"n": 500}, keep_text=True, **said)
        store.add([long, make_source("plain", patch=b"corrected")], Scope("ana", "bot"))
        store.add([make_source("another", metadata={"n": 1})], Scope("ben", None, "s"))
        assert list(store.check()) == []
        yield store


def problems_after(store: Store, table: str, column: str, id: int, value: Any) -> list[Any] | None:
    """What the check finds with one value altered; None if SQLite does not take the value."""
    key = "seq" if table == "changes" else "id"
    query = f'SELECT "{column}" FROM {table} WHERE {key} = ?'
    change = f'UPDATE {table} SET "{column}" = ? WHERE {key} = ?'
    raw = store._database._connect()
    try:
        raw.execute("PRAGMA foreign_keys = OFF")
        (old,) = raw.execute(query, (id,)).fetchone()
        try:
            raw.execute(change, (value, id))
        except sqlite3.IntegrityError:
            return None
        (now,) = raw.execute(query, (id,)).fetchone()
        if (type(now), now) == (type(old), old):
            return None
        found = list(store.check())
        raw.execute(change, (old, id))
        return found
    finally:
        raw.close()


def altered(draw: random.Random, old: Any) -> Any:
    """One bit of a value, or the value itself, another."""
    if isinstance(old, bytes) and old:
        flipped = bytearray(old)
        flipped[draw.randrange(len(old))] ^= 1 << draw.randrange(8)
        return draw.choice([bytes(flipped), old[:-1], None])
    if isinstance(old, str) and old:
        at = draw.randrange(len(old))
        return draw.choice([old[:at] + chr(ord(old[at]) ^ 1) + old[at + 1 :], old + "x", None])
    if isinstance(old, int):
        return draw.choice([old ^ (1 << draw.randrange(40)), old + 1, "x", None])
    if isinstance(old, float):
        return draw.choice([old / 2, old + 0.25, "x"])
    return draw.choice([1, "x", b"\xff"])


def test_every_altered_field_is_found_and_check_never_raises(store: Store) -> None:
    draw = random.Random(18)
    rows = {"sources": 3, "chunks": 5, "scopes": 2, "changes": 5}
    tried = 0
    for table, columns in COLUMNS.items():
        for column in columns:
            for _ in range(3):
                id = draw.randint(1, rows[table])
                with store._database.read() as connection:
                    key = "seq" if table == "changes" else "id"
                    old = connection.exec_driver_sql(
                        f'SELECT "{column}" FROM {table} WHERE {key} = ?', (id,)
                    ).scalar_one()
                value = altered(draw, old)
                found = problems_after(store, table, column, id, value)
                if found is not None:
                    tried += 1
                    assert found, (table, column, id, old, value)
    assert tried > 60
    assert list(store.check()) == []


@pytest.mark.parametrize(
    ("table", "column", "value", "named"),
    [
        ("sources", "name", "Ena", "source 1 is not as it was written: its speaker"),
        ("sources", "metadata", b'{"n":900}', "source 1 is not as it was written: its metadata"),
        ("sources", "created_at", 1, "its time was altered"),
        ("sources", "title", "U", "its title was altered"),
        ("sources", "sums", None, "its speaker"),
        ("scopes", "user_id", "eve", "its speaker, origin or scope was altered"),
        ("chunks", "episode", 77, "the place, length or hash of one of its chunks"),
        ("chunks", "scope_id", 2, "it is in another scope than its source 1"),
        ("sources", "role", b"\xff", "source 1 cannot be read: role is not UTF-8"),
        ("sources", "chars", "many", "source 1 cannot be read: chars is text, not integer"),
    ],
)
def test_what_was_altered_is_named(
    store: Store, table: str, column: str, value: Any, named: str
) -> None:
    found = problems_after(store, table, column, 1, value)
    assert found
    assert named in found[0].what
    assert found[0].chunk_id == 1


def read_all(store: Store) -> list[int]:
    """Ids of the chunks that two ways of reading give, damaged or not."""
    ids = [one.id for part in store.iterate(keep_damaged=True) for one in part]
    pairs = store.snapshot(lambda one: one.chunks_with_sources(ids, keep_damaged=True))
    assert [record.id for record, _ in pairs] == ids
    return ids


def messages(store: Store) -> list[str]:
    """What ways of reading say that do not expect damage; no error but those of this package."""
    found = []
    for use in (
        lambda: store.chunks([1]),
        lambda: store.sources([1]),
        lambda: store.latents([1]),
        lambda: store.neighbors([1]),
        lambda: store.search_terms("longer", 3),
        store.stats,
        store.ids,
    ):
        try:
            use()
        except AgentMemError as error:
            found.append(str(error))
    return found


def test_wrong_types_are_errors_of_ours_that_hide_no_other_row(store: Store) -> None:
    raw = store._database._connect()
    raw.execute("PRAGMA foreign_keys = OFF")
    ids = read_all(store)
    for table in ("sources", "chunks"):
        for column in COLUMNS[table]:
            (old,) = raw.execute(f'SELECT "{column}" FROM {table} WHERE id = 1').fetchone()
            for wrong in (b"\xff\xfe", "Geheimnis", 3.5, 10**12):
                if type(wrong) is type(old) or column == "sums":
                    continue
                try:
                    raw.execute(f'UPDATE {table} SET "{column}" = ? WHERE id = 1', (wrong,))
                except sqlite3.IntegrityError:
                    continue
                assert read_all(store) == ids, (table, column, wrong)
                assert not [one for one in messages(store) if "Geheimnis" in one]
                raw.execute(f'UPDATE {table} SET "{column}" = ? WHERE id = 1', (old,))
    raw.close()
    assert list(store.check()) == []


class TestWriting:
    """What is written afterwards neither hides damage nor keeps it for longer than it is there."""

    @pytest.fixture
    def own(self, tmp_path: Path) -> Iterator[Store]:
        with Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
            new = make_source("a longer text " * 12, name="Ana", title="T", metadata={"n": 1})
            store.add([new], Scope("ana"))
            yield store

    def alter(self, store: Store, assignment: str) -> None:
        with store._database.write() as connection:
            connection.exec_driver_sql(f"UPDATE {assignment}")

    def names(self, store: Store) -> list[str]:
        return [problem.what.partition(": ")[2] for problem in store.check()]

    def test_other_fields_stay_damaged(self, own: Store) -> None:
        self.alter(own, "sources SET name = 'Ena'")
        own.update_source(1, metadata={"n": 2}, title="U")
        assert self.names(own) == [f"{sums.NAMES[0]} was altered"]
        own.forget([1], {})
        assert [problem.what for problem in own.check() if sums.NAMES[0] in problem.what]

    def test_the_field_that_is_written_is_healed(self, own: Store) -> None:
        self.alter(own, "sources SET metadata = x'7B7D'")
        assert self.names(own) == ["its metadata was altered"]
        own.update_source(1, metadata={"n": 2})
        assert self.names(own) == []

    def test_a_new_text_heals_what_was_said_of_the_old(self, own: Store) -> None:
        self.alter(own, "chunks SET tokens = 999 WHERE id = 2")
        assert self.names(own) == [f"{sums.NAMES[sums.CHUNKS]} was altered"]
        (old,) = own.sources([1])
        new = make_source("short", name="Ana", title="T", metadata={"n": 1})
        own.replace_source(1, new, dict.fromkeys(old.chunk_ids, ""))
        own.rebuild_terms(terms_of(own.add([new], Scope("ben"))[0], new).items())
        assert [name for name in self.names(own) if "altered" in name] == []

    def test_partly_forgotten_sources_are_checked_too(self, own: Store) -> None:
        own.forget([2], {})
        own.rebuild_terms([(id, None) for id in own.ids().tolist()])
        assert not [one for one in own.check() if "altered" in one.what]
        self.alter(own, "chunks SET tokens = 999 WHERE id = 3")
        assert [one.chunk_id for one in own.check() if "altered" in one.what] == [1]


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE TRIGGER spy AFTER INSERT ON sources BEGIN SELECT 1; END", "trigger 'spy'"),
        ("CREATE VIEW mine AS SELECT * FROM sources", "view 'mine'"),
    ],
)
def test_triggers_and_views_of_others_are_refused(
    tmp_path: Path, statement: str, kind: str
) -> None:
    import sqlite3

    def opened() -> Store:
        return Store.open(tmp_path / "s", model=MODEL, embedding_dims=EMBEDDING_DIMS)

    opened().close()
    with sqlite3.connect(tmp_path / "s" / "memory.db") as raw:
        raw.execute(statement)
    raw.close()
    with pytest.raises(AgentMemError, match=f"has a {kind}, which agentmem has not made"):
        opened()
    with sqlite3.connect(tmp_path / "s" / "memory.db") as raw:
        raw.execute(f"DROP {statement.split()[1]} {statement.split()[2]}")
    raw.close()
    opened().close()
