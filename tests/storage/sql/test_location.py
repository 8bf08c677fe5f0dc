"""Locations of stores: folders, URLs and memory, and what is not a store."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentmem_storage.errors import (
    NotAStoreError,
    StoreError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from agentmem_storage.records import Scope
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source


def open_store(location: str | Path, *, create: bool = True) -> Store:
    return Store.open(location, model=MODEL, embedding_dims=EMBEDDING_DIMS, create=create)


def filled(location: str | Path) -> None:
    with open_store(location) as store:
        store.add([make_source("kept")], Scope())


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_a_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    filled(tmp_path / "a" / "b")
    assert files(tmp_path) == ["a/b/memory.db"]


def test_an_empty_folder_becomes_a_store(tmp_path: Path) -> None:
    filled(tmp_path)
    assert files(tmp_path) == ["memory.db"]


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    filled("~/memories")
    assert files(tmp_path) == ["memories/memory.db"]


def test_a_url_names_a_file(tmp_path: Path) -> None:
    filled(f"sqlite:///{tmp_path}/deep/notes.db")
    assert files(tmp_path) == ["deep/notes.db"]
    with open_store(f"sqlite+pysqlite:///{tmp_path}/deep/notes.db", create=False) as store:
        assert len(store.ids()) == 1


def test_a_url_may_open_a_file_for_reading_only(tmp_path: Path) -> None:
    filled(tmp_path)
    url = f"sqlite:///file:{tmp_path}/memory.db?mode=ro&uri=true"
    with open_store(url, create=False) as store:
        assert len(store.search_terms("kept", 1).ids) == 1
        assert list(store.check()) == []
        with pytest.raises(StoreUnwritableError):
            store.add([make_source("more")], Scope())
        assert len(store.ids()) == 1


@pytest.mark.parametrize("location", [":memory:", "sqlite:///:memory:"])
def test_memory_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.chdir(tmp_path)
    filled(location)
    assert files(tmp_path) == []
    with pytest.raises(StoreNotFoundError):
        open_store(location, create=False)


def test_nothing_is_made_where_nothing_is_to_be(tmp_path: Path) -> None:
    for location in (tmp_path / "none", tmp_path, f"sqlite:///{tmp_path}/none.db"):
        with pytest.raises(StoreNotFoundError, match="there is no store"):
            open_store(location, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_creation_that_was_cut_short_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "memory.db").touch()
    with pytest.raises(StoreNotFoundError):
        open_store(tmp_path, create=False)
    filled(tmp_path)


@pytest.mark.parametrize("content", [b"", b"some notes", b"\x00" * 5000])
def test_a_file_is_no_folder(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes").write_bytes(content)
    with pytest.raises(NotAStoreError, match="is a file"):
        open_store(tmp_path / "notes")
    assert (tmp_path / "notes").read_bytes() == content


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(NotAStoreError, match=r"memory\.db"):
        open_store(tmp_path)
    assert files(tmp_path) == ["letter.txt"]


def test_another_opener_may_create_the_store_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "store"
    place.mkdir()
    listing = Path.iterdir

    def another_opener_comes_first(folder: Path) -> Iterator[Path]:
        monkeypatch.undo()
        filled(place)
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", another_opener_comes_first)
    with open_store(place) as store:
        assert store.count() == 1


def test_a_folder_is_no_url(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError, match="is a folder"):
        open_store(f"sqlite:///{tmp_path}")


@pytest.mark.parametrize("garbage", [b"not a database at all", b"\xff" * 10_000])
@pytest.mark.parametrize("create", [True, False])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, garbage: bytes, create: bool) -> None:
    (tmp_path / "memory.db").write_bytes(garbage)
    with pytest.raises(NotAStoreError, match="not an SQLite database"):
        open_store(tmp_path, create=create)
    assert (tmp_path / "memory.db").read_bytes() == garbage


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "memory.db")
    other.execute("CREATE TABLE meta (store_id TEXT)")
    other.close()
    before = (tmp_path / "memory.db").read_bytes()
    with pytest.raises(NotAStoreError, match="another program"):
        open_store(tmp_path)
    assert (tmp_path / "memory.db").read_bytes() == before


def test_a_store_that_lost_its_second_half_is_reported(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.add([make_source(f"memory {n} " * 20) for n in range(200)], Scope())
    database = tmp_path / "memory.db"
    database.write_bytes(database.read_bytes()[: database.stat().st_size // 2 + 100])
    with pytest.raises(StoreError, match="damaged"), open_store(tmp_path) as store:
        list(store.iterate())


@pytest.mark.parametrize(
    "location",
    [
        "postgresql+psycopg2://me:secret@host/db",
        "mysql+pymysql://host/db",
        "sqlite+aiosqlite:///notes.db",
        "http://host/notes.db",
        "sqlite://host/notes.db",
        "sqlite://me:secret@host/notes.db",
        "sqlite:///file::memory:?cache=shared&uri=true",
        "://",
    ],
)
def test_other_urls_are_refused(location: str) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(location)
    assert "secret" not in str(caught.value)


def test_a_store_can_be_moved(tmp_path: Path) -> None:
    filled(tmp_path / "old")
    shutil.move(tmp_path / "old", tmp_path / "new")
    with open_store(tmp_path / "new", create=False) as store:
        assert len(store.search_terms("kept", 1).ids) == 1
        assert repr(store) == f"Store({str(tmp_path / 'new')!r}, model='test-model')"


def test_a_url_of_a_folders_database_has_the_caches_of_the_folder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's' / 'memory.db'}"
    for location in (tmp_path / "s", url, tmp_path / "s"):
        with open_store(location) as store:
            (added,) = store.add([make_source(f"as {location}")], Scope())
            store.rebuild_index()
    assert sorted(one.name for one in (tmp_path / "s").iterdir()) == ["index", "memory.db"]
    with open_store(url) as store:
        ids = list(added.chunk_ids)
        assert store.forget(ids, {ids[0]: f"as {tmp_path / 's'}"}).purged
        assert list((tmp_path / "s" / "index").iterdir()) == []
