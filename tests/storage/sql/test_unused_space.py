"""Erasing what is unused in a database file: nothing deleted is left, nothing else is touched."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentmem_storage.errors import StoreBusyError
from agentmem_storage.sql.connection import erasing, unused_space
from agentmem_storage.sql.connection.unused_space import UnsuitableError

MARK = b"forgotten"
KEPT = b"remembered"


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=0.05)
    connection.execute("PRAGMA secure_delete = ON").fetchone()
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def make(path: Path, page_bytes: int = 4096, mode: str = "WAL") -> sqlite3.Connection:
    connection = connect(path)
    connection.execute(f"PRAGMA page_size = {page_bytes}")
    connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text BLOB, gone INTEGER)")
    connection.execute("CREATE INDEX by_text ON rows (text)")
    connection.execute("CREATE TABLE pairs (name BLOB PRIMARY KEY, id INTEGER) WITHOUT ROWID")
    return connection


def fill(connection: sqlite3.Connection, chance: random.Random, rows: int, most: int) -> None:
    """Rows in any order, every other one to be deleted, some too long for one page."""
    (last,) = connection.execute("SELECT ifnull(max(id), 0) FROM rows").fetchone()
    ids = chance.sample(range(last + 1, last + 10 * rows), rows)
    connection.execute("BEGIN")
    for id in ids:
        gone = id % 2
        start = MARK if gone else KEPT
        text = start + chance.randbytes(4).hex().encode() * chance.randint(1, most)
        connection.execute("INSERT INTO rows VALUES (?, ?, ?)", (id, text, gone))
        connection.execute("INSERT INTO pairs VALUES (?, ?)", (text[:40], id))
    connection.execute("COMMIT")


def delete(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Delete what is to go, in several transactions, so that pages are joined in between."""
    ids = [row[0] for row in connection.execute("SELECT id FROM rows WHERE gone")]
    chance.shuffle(ids)
    for first in range(0, len(ids), 50):
        part = [(id,) for id in ids[first : first + 50]]
        connection.execute("BEGIN")
        connection.executemany("DELETE FROM pairs WHERE id = ?", part)
        connection.executemany("DELETE FROM rows WHERE id = ?", part)
        connection.execute("COMMIT")


def truncate(connection: sqlite3.Connection) -> None:
    assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def marks(path: Path) -> int:
    log = path.with_name(f"{path.name}-wal")
    return sum(one.read_bytes().count(MARK) for one in (path, log) if one.exists())


def content(connection: sqlite3.Connection) -> list[list[Any]]:
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    tables = ("SELECT * FROM rows ORDER BY id", "SELECT * FROM pairs ORDER BY name")
    by_index = "SELECT text FROM rows INDEXED BY by_text WHERE text > '' ORDER BY text"
    return [connection.execute(one).fetchall() for one in (*tables, by_index)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.db"


@pytest.fixture
def used(path: Path) -> Iterator[sqlite3.Connection]:
    """A file from which rows were deleted, and copies of them were not."""
    with closing(make(path)) as connection:
        chance = random.Random(0)
        for _ in range(3):
            fill(connection, chance, 300, 60)
            delete(connection, chance)
        truncate(connection)
        assert marks(path) > 2  # or nothing below would show anything
        yield connection


def test_nothing_deleted_is_left_and_everything_else_is_there(
    path: Path, used: sqlite3.Connection
) -> None:
    before = content(used)
    size = path.stat().st_size
    assert erasing.erase(path, "here", 5.0)
    assert marks(path) == 0
    assert path.stat().st_size == size
    assert content(used) == before
    used.execute("INSERT INTO rows VALUES (-1, 'new', 0)")
    assert erasing.erase(path, "here", 5.0)
    assert len(content(used)[0]) == len(before[0]) + 1


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    page_bytes=st.sampled_from([512, 1024, 4096, 65536]),
    rows=st.integers(1, 250),
    most=st.sampled_from([2, 40, 400]),
)
def test_files_of_all_shapes(
    tmp_path_factory: pytest.TempPathFactory, seed: int, page_bytes: int, rows: int, most: int
) -> None:
    path = tmp_path_factory.mktemp("shapes") / "file.db"
    chance = random.Random(seed)
    with closing(make(path, page_bytes)) as connection:
        fill(connection, chance, rows, most)
        delete(connection, chance)
        fill(connection, chance, 1 + rows // 3, most) if chance.random() < 0.5 else None
        connection.execute("DELETE FROM pairs WHERE id % 2")
        connection.execute("DELETE FROM rows WHERE gone")
        truncate(connection)
        before = content(connection)
        with FileIO(str(path), "r+b") as file:
            written = unused_space.erase(file)
            assert unused_space.erase(file) == 0 <= written
    assert marks(path) == 0
    with closing(connect(path)) as connection:
        assert content(connection) == before
        connection.execute("VACUUM")
        assert content(connection) == before


def test_what_others_keep_of_earlier_pages_does_not_come_back(
    path: Path, used: sqlite3.Connection
) -> None:
    content(used)  # which keeps all pages
    assert erasing.erase(path, "here", 5.0)
    used.execute("UPDATE rows SET gone = gone + 2")
    assert marks(path) == 0
    truncate(used)
    assert marks(path) == 0


def test_a_reader_of_the_past_is_waited_for_and_reported(
    path: Path, used: sqlite3.Connection
) -> None:
    with closing(connect(path)) as reader:
        used.execute("UPDATE rows SET gone = 2")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM rows").fetchone()
        used.execute("UPDATE rows SET gone = 0")
        with pytest.raises(StoreBusyError, match="'here'"):
            erasing.erase(path, "here", 0.0)
        assert marks(path)
        reader.execute("COMMIT")
        assert erasing.erase(path, "here", 0.0)
    assert marks(path) == 0


def test_a_writer_is_waited_for(path: Path, used: sqlite3.Connection) -> None:
    used.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusyError):
        erasing.erase(path, "here", 0.0)
    used.execute("COMMIT")
    assert erasing.erase(path, "here", 0.0)


def test_it_may_be_killed_at_any_moment(path: Path, used: sqlite3.Connection) -> None:
    before = content(used)
    inode = unused_space.identity(path.stat())
    command = [sys.executable, "-I", "-S", unused_space.__file__, str(path), inode, "5"]
    for wait in (0.0, 0.01, 0.02, 0.03):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        assert content(used) == before
        used.execute("UPDATE rows SET gone = 0")
    assert erasing.erase(path, "here", 5.0)
    assert marks(path) == 0


def spoiled(path: Path, at: int, value: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(value)


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (0, b"x", "not a database"),
        (16, b"\1\0", "the size of its pages"),
        (28, b"\0\0\0\1", "not as large as it says"),
        (52, b"\0\0\0\1", "pages that tell"),
        (36, b"\0\0\1\0", "list of free pages is too short"),
        (4096 + 5, b"\0\1", "cells in the wrong place"),
        (4096 + 1, b"\0\2", "free block in the wrong place"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_left(
    path: Path, at: int, value: bytes, why: str
) -> None:
    with closing(make(path)) as connection:
        fill(connection, random.Random(2), 120, 20)
    spoiled(path, at, value)
    before = path.read_bytes()
    with FileIO(str(path), "r+b") as file, pytest.raises(UnsuitableError, match=why):
        unused_space.erase(file)
    # What was free on the pages before it is zero by now, and nothing else has changed.
    assert all(new in (old, 0) for new, old in zip(path.read_bytes(), before, strict=True))
    assert path.read_bytes()[at : at + len(value)] == value


def test_free_pages_are_erased_too(path: Path) -> None:
    with closing(make(path)) as connection:
        connection.execute("PRAGMA secure_delete = OFF").fetchone()
        fill(connection, random.Random(3), 300, 60)
        connection.execute("DROP TABLE rows")
        connection.execute("DROP TABLE pairs")
        truncate(connection)
        assert marks(path) > 100
        assert connection.execute("PRAGMA freelist_count").fetchone()[0] > 10
        assert erasing.erase(path, "here", 5.0)
        assert marks(path) == 0
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute("CREATE TABLE again (text)")
        connection.execute("INSERT INTO again VALUES (zeroblob(200000))")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_file_without_a_log_or_in_another_place_is_left(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with closing(make(path, mode="DELETE")) as connection:
        fill(connection, random.Random(4), 50, 20)
        before = path.read_bytes()
        assert not erasing.erase(path, "here", 5.0)
        assert "no write-ahead log" in caplog.text
        assert path.read_bytes() == before
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        command = [sys.executable, "-I", "-S", unused_space.__file__, str(path), "1:2", "0"]
        said = subprocess.run(command, capture_output=True, check=True).stdout
        assert said == b"unsuitable: another file is in its place"


def test_the_log_stays_even_if_nobody_has_locks(path: Path, used: sqlite3.Connection) -> None:
    """They are lost when the file is read and closed in this process, as `marks` does."""
    assert erasing.erase(path, "here", 5.0)
    assert path.with_name(f"{path.name}-wal").exists()
    used.execute("UPDATE rows SET gone = 3")
    with closing(connect(path)) as another:
        assert another.execute("SELECT DISTINCT gone FROM rows").fetchall() == [(3,)]


@pytest.mark.parametrize("python", ["", "/usr/bin/another-program", "/nowhere/python"])
def test_without_python_nothing_is_started(
    path: Path, used: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    assert not erasing.erase(path, "here", 5.0)
    assert marks(path)


def test_locks_of_this_process_stay(path: Path) -> None:
    """What closing the file here would take away, as reading it for `marks` does."""
    with closing(make(path)) as connection:
        fill(connection, random.Random(5), 50, 20)
        assert erasing.erase(path, "here", 5.0)
        log = path.with_name(f"{path.name}-wal")
        code = (
            "import sqlite3, sys; one = sqlite3.connect(sys.argv[1]);"
            "one.execute('SELECT count(*) FROM rows').fetchone(); one.close()"
        )
        # The last connection deletes the log: it is not the last while this one has its lock.
        subprocess.run([sys.executable, "-I", "-S", "-c", code, str(path)], check=True)
        assert log.exists()
        connection.execute("UPDATE rows SET gone = 3")
        assert os.stat(log).st_size > 0


def test_a_large_file_is_erased_unless_much_of_it_is_free(
    path: Path, used: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not erasing.is_worthwhile(used)
    monkeypatch.setattr(erasing, "LEAST_BYTES", 0)
    used.execute("VACUUM")
    assert erasing.is_worthwhile(used)
    used.execute("DELETE FROM rows")
    assert not erasing.is_worthwhile(used)
