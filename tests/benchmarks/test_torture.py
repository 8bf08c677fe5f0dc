"""The torture: a disk that forgets, a book that sees every loss, and a short form of it all."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentmem.models.bundle.load import ModelBundle
from agentmem.testing import tiny_model
from benchmarks.torture import servers, sqlite_calls
from benchmarks.torture.book import FAULTS, Book, Memo, Op, Tally
from benchmarks.torture.crowd import crowd
from benchmarks.torture.disk import Disk
from benchmarks.torture.kills import kill_processes
from benchmarks.torture.look import search_files
from benchmarks.torture.parallel import in_forks
from benchmarks.torture.power import cut_power
from benchmarks.torture.work import KINDS

# Python 3.12 and later warn of what is tested here: forks of a process that has threads.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

ONE, TWO = Memo("ana", "1" * 16), Memo("ana", "2" * 16)


class Always(random.Random):
    """Takes the same of several choices each time."""

    def __init__(self, choice: str) -> None:
        super().__init__(0)
        self._choice = choice

    def choice(self, options: Any) -> Any:
        return self._choice if self._choice in options else super().choice(options)


def after_a_commit(folder: Path, synchronous: str, how: str) -> list[int]:
    """The rows that a database has, if the power is cut after the second of two commits."""
    disk = folder / "disk"
    disk.mkdir()

    def work() -> None:
        watched = Disk(disk)
        sqlite_calls.watch(watched)
        connection = sqlite3.connect(disk / "a.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE rows (id INTEGER)")
        connection.execute("INSERT INTO rows VALUES (1)")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("INSERT INTO rows VALUES (2)")
        watched.after_a_cut(folder / "kept", Always(how))

    in_forks([work])
    found = sqlite3.connect(folder / "kept" / "a.db")
    rows = [id for (id,) in found.execute("SELECT id FROM rows ORDER BY id")]
    found.close()
    return rows


@pytest.mark.parametrize(
    ("synchronous", "how", "rows"),
    [
        ("FULL", "lost", [1, 2]),
        ("NORMAL", "lost", [1]),
        ("NORMAL", "kept", [1, 2]),
    ],
)
def test_the_disk_keeps_what_was_synced(
    tmp_path: Path, synchronous: str, how: str, rows: list[int]
) -> None:
    assert after_a_commit(tmp_path, synchronous, how) == rows


class OldNames(random.Random):
    """Finds the names in folders as of their last syncs, and the contents of files as of now."""

    def choice(self, options: Any) -> Any:
        return "kept"

    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize(("synchronous", "rows"), [("EXTRA", [1, 2]), ("FULL", [1])])
def test_a_journal_is_gone_for_certain_only_if_its_deletion_was_synced(
    tmp_path: Path, synchronous: str, rows: list[int]
) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()

    def work() -> None:
        watched = Disk(disk)
        sqlite_calls.watch(watched)
        connection = sqlite3.connect(disk / "a.db", isolation_level=None)
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("CREATE TABLE rows (id INTEGER)")
        connection.execute("INSERT INTO rows VALUES (1)")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("INSERT INTO rows VALUES (2)")
        watched.after_a_cut(kept, OldNames())

    in_forks([work])
    found = sqlite3.connect(kept / "a.db")
    assert [id for (id,) in found.execute("SELECT id FROM rows ORDER BY id")] == rows
    found.close()


def test_the_disk_follows_python(tmp_path: Path) -> None:
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    (disk / "old").write_text("old")

    def write(name: str, text: str, *, sync: bool) -> None:
        with (disk / name).open("w") as file:
            file.write(text)
            file.flush()
            if sync:
                os.fsync(file.fileno())

    def sync_folder() -> None:
        descriptor = os.open(disk, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def work() -> None:
        watched = Disk(disk)
        write("synced", "whole", sync=True)
        write("not synced", "whole", sync=False)
        write("partial", "new", sync=True)
        os.replace(disk / "partial", disk / "renamed")
        os.unlink(disk / "old")
        sync_folder()
        write("nameless", "whole", sync=True)
        watched.after_a_cut(kept, Always("lost"))

    in_forks([work])
    found = {file.name: file.read_text() for file in kept.iterdir()}
    # Whether a name that no sync has reached is there is left to chance.
    found.pop("nameless", None)
    assert found == {"synced": "whole", "not synced": "", "renamed": "new"}


@pytest.mark.parametrize(
    ("held", "begun", "faults"),
    [
        ({1: ONE}, None, {}),
        ({}, None, {"lost": 1}),
        ({1: TWO}, None, {"lost": 1}),
        ({1: ONE, 2: TWO}, None, {"duplicated": 1}),
        ({1: ONE, 2: TWO}, Op("add", (TWO,)), {}),
        ({1: ONE}, Op("add", (TWO,)), {}),
        ({1: ONE, 2: TWO}, Op("add", (TWO, TWO)), {"in_part": 1}),
        ({1: ONE, 2: TWO, 3: TWO}, Op("add", (TWO,)), {"duplicated": 2}),
        ({2: TWO}, Op("update", (TWO,), (1,)), {}),
        ({1: ONE, 2: TWO}, Op("update", (TWO,), (1,)), {"in_part": 1}),
        ({}, Op("forget", ids=(1,)), {}),
        ({}, Op("backup"), {"lost": 1}),
    ],
)
def test_the_book_sees_what_is_not_so(
    held: dict[int, Memo], begun: Op | None, faults: dict[str, int]
) -> None:
    book, tally = Book(), Tally()
    book.done(Op("add", (ONE,)), [1])
    book.compare(held, begun, tally)
    assert {name: getattr(tally, name) for name in FAULTS if getattr(tally, name)} == faults
    assert tally.found == tally.acknowledged - faults.get("lost", 0)
    # What is held is taken as it is: the same is not counted twice.
    again = Tally()
    book.compare(held, None, again)
    assert not again.faults


def test_what_is_left_behind_is_found(tmp_path: Path) -> None:
    book, tally = Book(), Tally()
    book.done(Op("add", (ONE, TWO)), [1, 2])
    book.done(Op("forget", ids=(1, 2)), [])
    (tmp_path / "memory.db").write_bytes(b"x" * 100 + TWO.text.encode())
    search_files([tmp_path], book, tally)
    assert tally.left_behind == 1
    # In an encrypted store, what is there is to be in no file either.
    book.done(Op("add", (TWO,)), [3])
    search_files([tmp_path], book, tally)
    assert tally.left_behind == 1
    search_files([tmp_path], book, tally, encrypted=True)
    assert tally.left_behind == 2


@pytest.mark.parametrize("encrypted", [0.0, 1.0], ids=["plain", "encrypted"])
@pytest.mark.parametrize(
    ("torture", "count"),
    [(kill_processes, len(KINDS)), (cut_power, len(KINDS)), (crowd, 80)],
    ids=["kills", "power", "crowd"],
)
def test_a_short_torture(
    torture: Callable[..., Tally],
    count: int,
    encrypted: float,
    tmp_path: Path,
    model: ModelBundle,
) -> None:
    models = {"first": model, "second": tiny_model(1)}
    done = []
    tally = torture(
        count,
        models=models,
        seed=1,
        scratch=tmp_path,
        on_progress=lambda number, total: done.append((number, total)),
        encrypted=encrypted,
    )
    assert not tally.faults, tally.notes
    assert tally.acknowledged == tally.found > 0
    assert done[-1] == (count, count)
    assert tally.rounds == count
    assert tally.encrypted == (count if encrypted else 0)


def test_a_short_torture_of_a_server(tmp_path: Path, model: ModelBundle) -> None:
    count = 2 * len(servers.KINDS)
    tally = servers.kill_servers(
        count,
        models={"only": model},
        seed=1,
        scratch=tmp_path,
        on_progress=lambda *_: None,
    )
    assert not tally.faults, tally.notes
    assert tally.acknowledged == tally.found > 0
    assert tally.rounds == count


@pytest.mark.parametrize(
    "torture",
    [kill_processes, cut_power, servers.kill_servers, crowd],
    ids=lambda one: one.__name__,
)
def test_it_ends_when_its_time_is_over(
    torture: Callable[..., Tally], tmp_path: Path, model: ModelBundle
) -> None:
    models = {"first": model, "second": model}
    tally = torture(
        9, models=models, seed=1, scratch=tmp_path, on_progress=lambda *_: None, until=0.0
    )
    assert tally == Tally()
