"""Locations that hold no store, cannot hold one, or cannot be written."""

from __future__ import annotations

import os
import resource
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from agentmem import Memory
from agentmem.errors import (
    ModelNotFoundError,
    NotAStoreError,
    StoreError,
    StoreNotFoundError,
    StoreUnwritableError,
)
from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_bundle

Unchanged = Callable[[Memory], AbstractContextManager[None]]


def tree(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def a_file(folder: Path) -> Path:
    (folder / "notes.txt").write_text("my notes")
    return folder / "notes.txt"


def a_folder_of_something_else(folder: Path) -> Path:
    a_file(folder)
    return folder


def another_program_s_database(folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "memory.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.commit()
    return folder


def garbage_by_that_name(folder: Path) -> Path:
    (folder / "memory.db").write_bytes(b"not a database " * 100)
    return folder


@pytest.mark.parametrize(
    "make",
    [a_file, a_folder_of_something_else, another_program_s_database, garbage_by_that_name],
    ids=lambda make: make.__name__.replace("_", " "),
)
@pytest.mark.parametrize("create", [True, False])
def test_what_is_no_store_is_left_alone(
    tmp_path: Path, model: ModelBundle, make: Callable[[Path], Path], create: bool
) -> None:
    place = make(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(NotAStoreError, match=str(place)):
        Memory(place, model=model, create=create)
    assert tree(tmp_path) == before


def test_nothing_there_and_not_to_be_made(tmp_path: Path, model: ModelBundle) -> None:
    with pytest.raises(StoreNotFoundError, match="no store at"):
        Memory(tmp_path / "missing", model=model, create=False)
    assert tree(tmp_path) == {}


def test_a_store_is_made_where_nothing_or_an_empty_folder_is(
    tmp_path: Path, model: ModelBundle
) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "new" / "deep", tmp_path / "empty"):
        with Memory(place, model=model) as memory:
            memory.add("x")
        with Memory(place, model=model, create=False) as memory:
            assert [chunk.text for chunk in memory.list()] == ["x"]


def test_other_locations(tmp_path: Path, model: ModelBundle) -> None:
    url = f"sqlite:///{tmp_path / 'notes.db'}"
    for location in (url, str(tmp_path / "folder"), tmp_path / "path"):
        with Memory(location, model=model) as memory:
            memory.add("x")
        with Memory(location, model=model, create=False) as memory:
            assert memory.recall("x")[0].text == "x"
            assert str(location) in repr(memory)
    with Memory(":memory:", model=model) as memory:
        memory.add("x")
        assert memory.recall("x")[0].text == "x"
    with pytest.raises(StoreError, match="stores are in SQLite or PostgreSQL"):
        Memory("mysql://host/db", model=model)


def test_a_missing_bundle_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        Memory(tmp_path / "store", model=tmp_path / "nowhere")
    assert tree(tmp_path) == {}


def test_a_bundle_may_be_named_by_its_folder(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    with Memory(tmp_path / "store", model=str(bundle)) as memory:
        memory.add("x")
        assert memory.stats().model == "tiny-0"


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that somebody else can enter too, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)
        for path in folder.rglob("*"):
            path.chmod(0o755)


def test_no_store_is_made_in_a_read_only_folder(open_to_all: Path, model: ModelBundle) -> None:
    folder = open_to_all / "locked"
    folder.mkdir(0o555)
    with unprivileged():
        for place in (folder, folder / "store", f"sqlite:///{folder}/notes.db"):
            with pytest.raises(StoreUnwritableError, match="cannot be written.*permissions"):
                Memory(place, model=model)
    assert tree(folder) == {}


def test_a_read_only_store_is_read_and_refuses_to_write(
    open_to_all: Path, model: ModelBundle, unchanged: Unchanged
) -> None:
    place = open_to_all / "store"
    with Memory(place, model=model) as memory:
        memory.add(["first memory", "second memory"], user_id="ana")
        expected = [(hit.id, hit.score, hit.text) for hit in memory.recall("memory")]
    for path in (*place.rglob("*"), place):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(place)
    with unprivileged(), Memory(place, model=model) as memory:
        assert [(hit.id, hit.score, hit.text) for hit in memory.recall("memory")] == expected
        with unchanged(memory):
            for verb in (
                lambda: memory.add("third"),
                lambda: memory.update(1, text="new"),
                lambda: memory.update(1, metadata={"a": 1}),
                lambda: memory.forget(user_id="ana"),
            ):
                with pytest.raises(StoreUnwritableError, match="nothing was written"):
                    verb()
    assert tree(place) == before


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk looks like to a program: the kernel refuses to let files grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 10_000, 50_000])
def test_a_full_disk_loses_nothing(
    place: Path, memory: Memory, unchanged: Unchanged, room: int
) -> None:
    memory.add([f"memory {n}" for n in range(50)], user_id="ana")
    size = max(path.stat().st_size for path in place.iterdir())
    with unchanged(memory):
        with (
            files_no_larger_than(size + room),
            pytest.raises(StoreUnwritableError, match="nothing was written: check free space"),
        ):
            memory.add([f"too much {n} " * 30 for n in range(100)])
    receipt = memory.add("there is room again")
    assert memory.recall("there is room again")[0].id == receipt.ids[0]


def test_forget_on_a_full_disk_deletes_nothing(
    place: Path, memory: Memory, unchanged: Unchanged
) -> None:
    memory.add([f"secret {n} " * 20 for n in range(100)])
    with unchanged(memory), files_no_larger_than(4096), pytest.raises(StoreUnwritableError):
        memory.forget(before="2100-01-01")
    assert memory.forget(before="2100-01-01").purged
    assert memory.stats().memories == 0


def test_forget_purges_once_the_log_has_made_room(place: Path, memory: Memory) -> None:
    memory.add([f"secret {n} " * 20 for n in range(100)])
    log = (place / "memory.db-wal").stat().st_size
    # Room for what changes, and for writing the whole file anew only where the log is empty.
    with files_no_larger_than(log + 100_000):
        done = memory.forget([1, 2, 3])
    assert done.purged
    assert memory.stats().memories == 97
    assert memory.forget([4]).purged
    assert memory.recall("secret", k=200).candidates == 96
    assert memory.verify().ok
