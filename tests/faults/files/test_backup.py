"""A copied `memory.db` of a live store had 0 of 20 memories, and `verify` said that all is well."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError, NotAStoreError, StoreIncompleteError, StoreUnwritableError
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.sql.connection import reached
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL
from tests.support.cli import Cli, bundle

TEXTS = [f"note {n}" for n in range(20)]
FILES = ("memory.db", "memory.db-wal", "memory.db-mark")


def texts_in(place: Path, model: ModelBundle) -> list[str]:
    with Memory(place, model=model, create=False) as memory:
        assert memory.verify().ok
        return [chunk.text for chunk in memory.list()]


def copy(place: Path, target: Path, *names: str) -> Path:
    target.mkdir()
    for name in names:
        shutil.copy(place / name, target / name)
    return target


@pytest.fixture
def incomplete(memory: Memory, place: Path, tmp_path: Path) -> Path:
    """A copy of the database of a store that is open, without its log."""
    memory.add(TEXTS)
    return copy(place, tmp_path / "copy", "memory.db")


def test_a_database_without_its_log_is_refused(incomplete: Path, model: ModelBundle) -> None:
    for _ in range(2):
        with pytest.raises(StoreIncompleteError, match=r"without memory\.db-wal.*agentmem backup"):
            Memory(incomplete, model=model)
    assert [file.name for file in incomplete.iterdir()] == ["memory.db"]


def test_so_is_one_that_is_named_by_a_url(incomplete: Path, model: ModelBundle) -> None:
    with pytest.raises(StoreIncompleteError):
        Memory(f"sqlite:///{incomplete}/memory.db", model=model)


def test_the_command_line_finds_it(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "first")
    with Memory(cli.store, model=bundle()) as memory:
        memory.add(TEXTS)
        target = copy(cli.store, tmp_path / "copy", "memory.db")
        for command in (["verify"], ["recall", "note"], ["stats"]):
            assert "incomplete" in cli.error(7, *command, "--store", target)
        doctor = cli.run("doctor", "--store", target)
    assert doctor.exit_code == 7
    assert "incomplete" in doctor.stdout


def test_a_later_write_is_missed_as_well(memory: Memory, place: Path, tmp_path: Path) -> None:
    model = memory._model
    for number in range(3):
        memory.add(f"one more {number}")
        # As SQLite does it from time to time: now the database has everything.
        with closing(sqlite3.connect(place / "memory.db")) as other:
            other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        whole = copy(place, tmp_path / f"whole {number}", "memory.db")
        assert len(texts_in(whole, model)) == number * 2 + 1
        memory.add(f"and another {number}")
        part = copy(place, tmp_path / f"part {number}", "memory.db")
        with pytest.raises(StoreIncompleteError):
            Memory(part, model=model)


def refused(place: Path, model: ModelBundle) -> None:
    # SQLite deletes the log when the first attempt ends; the second one must see it all the same.
    for _ in range(2):
        with pytest.raises(
            StoreIncompleteError, match=r"lacks the last \d+ changes.*memory\.db-mark"
        ):
            Memory(place, model=model)


def test_an_older_log_is_refused(
    memory: Memory, place: Path, tmp_path: Path, model: ModelBundle
) -> None:
    memory.add(TEXTS[:5])
    older = copy(place, tmp_path / "copy", "memory.db-wal")
    memory.add(TEXTS[5:10])
    for name in ("memory.db", "memory.db-mark"):
        shutil.copy(place / name, older / name)
    refused(older, model)
    (older / "memory.db-mark").unlink()  # the loss is accepted
    assert texts_in(older, model) == TEXTS[:5]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_part_of_a_log_is_refused(
    memory: Memory, place: Path, tmp_path: Path, model: ModelBundle, share: float
) -> None:
    for text in TEXTS:
        memory.add(text)
    part = copy(place, tmp_path / "copy", *FILES)
    log = part / "memory.db-wal"
    os.truncate(log, int(log.stat().st_size * share))
    refused(part, model)


def test_the_command_line_finds_a_part_of_a_log(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "first")
    with Memory(cli.store, model=bundle()) as memory:
        memory.add(TEXTS)
        memory.add("last")
        part = copy(cli.store, tmp_path / "copy", *FILES)
        without_mark = copy(cli.store, tmp_path / "without mark", *FILES[:2])
    os.truncate(part / "memory.db-wal", (part / "memory.db-wal").stat().st_size // 2)
    for place in (part, without_mark):
        for command in (["verify"], ["recall", "note"], ["stats"]):
            assert "incomplete" in cli.error(7, *command, "--store", place)


def test_the_mark_of_a_closed_store_is_gone(
    place: Path, tmp_path: Path, model: ModelBundle
) -> None:
    with Memory(place, model=model) as memory:
        memory.add(TEXTS[:10])
        backup = memory.backup(tmp_path / "backup").path
        memory.add(TEXTS[10:])
        mark = (place / "memory.db-mark").read_bytes()
    assert not (place / "memory.db-mark").exists()
    # One that a killed process left does not refuse a database that replaces the old one.
    (place / "memory.db-mark").write_bytes(mark)
    shutil.copy(backup / "memory.db", place / "memory.db")
    assert texts_in(place, model) == TEXTS[:10]


@pytest.mark.parametrize("content", [b"", b"\0" * 55, b"other 9 0\n", "\u00e9".encode()])
def test_a_mark_that_a_crash_damaged_is_ignored(
    place: Path, model: ModelBundle, content: bytes
) -> None:
    with Memory(place, model=model) as memory:
        memory.add(TEXTS)
        (place / "memory.db-mark").write_bytes(content)
        assert texts_in(place, model) == TEXTS


def test_with_all_its_files_a_copy_is_complete(
    memory: Memory, place: Path, tmp_path: Path, model: ModelBundle
) -> None:
    for text in TEXTS:
        memory.add(text)
    assert texts_in(copy(place, tmp_path / "copy", *FILES), model) == TEXTS


def without_mark_refused(
    place: Path, model: ModelBundle, match: str = "without memory.db-mark"
) -> None:
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    for _ in range(2):
        with pytest.raises(StoreIncompleteError, match=match):
            Memory(place, model=model)
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1])
def test_a_log_without_its_mark_is_refused(
    memory: Memory, place: Path, tmp_path: Path, model: ModelBundle, share: float
) -> None:
    for text in TEXTS:
        memory.add(text)
    part = copy(place, tmp_path / "copy", "memory.db", "memory.db-wal")
    log = part / "memory.db-wal"
    os.truncate(log, int(log.stat().st_size * share))
    without_mark_refused(part, model)


def test_so_is_an_older_log(
    memory: Memory, place: Path, tmp_path: Path, model: ModelBundle
) -> None:
    memory.add(TEXTS[:5])
    older = copy(place, tmp_path / "copy", "memory.db-wal")
    memory.add(TEXTS[5:10])
    shutil.copy(place / "memory.db", older)
    without_mark_refused(older, model)
    with closing(sqlite3.connect(older / "memory.db")) as database:
        database.execute("PRAGMA user_version = 0")  # the loss is accepted
    assert texts_in(older, model) == TEXTS[:5]


@pytest.mark.parametrize(
    "early", [["memory.db"], ["memory.db-wal"], ["memory.db", "memory.db-mark"]]
)
def test_files_of_different_times_are_not_mixed(
    memory: Memory, place: Path, tmp_path: Path, model: ModelBundle, early: list[str]
) -> None:
    memory.add(TEXTS[:5])
    mixed = copy(place, tmp_path / "copy", *early)
    with closing(sqlite3.connect(place / "memory.db")) as other:
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
    memory.add(TEXTS[5:10])
    for name in FILES:
        if name not in early:
            shutil.copy(place / name, mixed)
    without_mark_refused(mixed, model, "copied at different times")


def test_without_a_mark_there_is_no_alarm_for_lack_of_it(
    place: Path, tmp_path: Path, model: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        # It cannot be written.
        patched.setattr(reached, "mark_of", lambda path: path.with_name("nowhere") / "mark")
        with Memory(f"sqlite:///{place}/memory.db", model=model) as memory:
            for text in TEXTS:
                memory.add(text)
            whole = copy(place, tmp_path / "copy", "memory.db", "memory.db-wal")
            alone = copy(place, tmp_path / "alone", "memory.db")
    assert texts_in(whole, model) == TEXTS
    without_mark_refused(alone, model, "without memory.db-wal")


def test_no_false_alarm_while_others_write(place: Path) -> None:
    program = f"""
import sys
from agentmem_storage.records import Scope
from agentmem_storage.sql.connection import reached
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
for number in range(15):
    with Store.open({str(place)!r}, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        for part in range(number % 3 + 1):
            text = f"{{sys.argv[1]}} {{number}} {{part}}"
            store.add([make_source(text)], Scope())
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    writers = [subprocess.Popen([*command, name], env=environment) for name in ("a", "b", "c")]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    with Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
        assert store.count() == 90
    assert not (place / "memory.db-mark").exists()


def test_a_closed_store_is_one_file(place: Path, tmp_path: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory, Memory(place, model=model) as another:
        memory.add(TEXTS[:10])
        another.add(TEXTS[10:])
        memory.close()  # while the other still has it open
        another.forget(before="2000-01-01")
    assert texts_in(copy(place, tmp_path / "copy", "memory.db"), model) == TEXTS


def test_no_false_alarm_if_another_program_closes_it_last(place: Path, model: ModelBundle) -> None:
    memory = Memory(place, model=model)
    memory.add(TEXTS)
    with closing(sqlite3.connect(place / "memory.db")) as other:
        other.execute("SELECT count(*) FROM chunks").fetchone()
        memory.close()
    assert not (place / "memory.db-wal").exists()
    assert texts_in(place, model) == TEXTS


ENDS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "not closed": "sys.exit()",
    "closed": "store.close()",
    "exits in the middle": "os._exit(0)",
}


@pytest.mark.parametrize("end", ENDS)
def test_no_false_alarm_however_a_process_ends(place: Path, end: str) -> None:
    program = f"""
import os, signal, sys
from agentmem_storage.records import Scope
from agentmem_storage.sql.connection import reached
from agentmem_storage.store import Store
from agentmem_storage.testing import EMBEDDING_DIMS, MODEL, make_source
store = Store.open({str(place)!r}, model=MODEL, embedding_dims=EMBEDDING_DIMS)
store.add([make_source(str(number)) for number in range(20)], Scope())
{ENDS[end]}
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    for _ in range(2):
        with Store.open(place, model=MODEL, embedding_dims=EMBEDDING_DIMS) as store:
            assert store.count() == 20


def test_a_process_killed_while_it_sets_the_mark(
    memory: Memory, place: Path, tmp_path: Path, model: ModelBundle
) -> None:
    memory.add(TEXTS)
    # What the files look like then: the log says 1, and is still there.
    with closing(sqlite3.connect(place / "memory.db", isolation_level=None)) as other:
        other.execute("PRAGMA user_version = 1")
        left = copy(place, tmp_path / "left", *FILES)
        other.execute("PRAGMA user_version = 0")
    for _ in range(2):
        assert texts_in(left, model) == TEXTS
        assert not (left / "memory.db-wal").exists()


def test_the_loss_can_be_accepted(incomplete: Path, model: ModelBundle) -> None:
    with closing(sqlite3.connect(incomplete / "memory.db")) as database:
        database.execute("PRAGMA user_version = 0")
    assert texts_in(incomplete, model) == []


def test_other_programs_use_the_same_field(tmp_path: Path, model: ModelBundle) -> None:
    with closing(sqlite3.connect(tmp_path / "memory.db")) as database:
        database.execute("PRAGMA user_version = 1")
        database.execute("CREATE TABLE bookmarks (url)")
    with pytest.raises(NotAStoreError):
        Memory(tmp_path, model=model)


def test_a_backup_has_everything(memory: Memory, tmp_path: Path, model: ModelBundle) -> None:
    memory.add(TEXTS)
    steps: list[tuple[int, int]] = []
    made = memory.backup(tmp_path / "deep" / "copy", on_progress=lambda *step: steps.append(step))
    assert (made.memories, made.path) == (20, tmp_path / "deep" / "copy")
    assert made.file_bytes == (made.path / "memory.db").stat().st_size
    assert steps[-1][0] == steps[-1][1] > 0
    assert [file.name for file in made.path.iterdir()] == ["memory.db"]
    memory.add("later")
    assert texts_in(made.path, model) == TEXTS
    with Memory(made.path, model=model) as restored:
        assert restored.recall("note 7", mode="lexical")[0].text == "note 7"
        restored.add("life goes on")


def test_a_backup_while_others_write(memory: Memory, tmp_path: Path, model: ModelBundle) -> None:
    memory.add(TEXTS)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            memory.add([f"pair {number} a", f"pair {number} b"])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [memory.backup(tmp_path / f"copy {n}").path for n in range(3)]
    finally:
        stop.set()
        writer.join()
    for path in made:
        pairs = texts_in(path, model)[20:]
        assert len(pairs) % 2 == 0  # what was written in one call is there as a whole
        assert pairs == [chunk.text for chunk in memory.list()][20 : 20 + len(pairs)]


def test_a_backup_of_a_store_in_memory(tmp_path: Path, model: ModelBundle) -> None:
    with Memory(":memory:", model=model) as memory:
        memory.add(TEXTS)
        memory.backup(tmp_path / "copy")
    assert texts_in(tmp_path / "copy", model) == TEXTS


def targets(tmp_path: Path) -> Iterator[object]:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    yield from (tmp_path / "file", tmp_path / "full", tmp_path / "store")
    yield from (":memory:", f"sqlite:///{tmp_path}/x.db", "", "a\0b")


def test_a_folder_that_cannot_be(memory: Memory, place: Path) -> None:
    memory.add(TEXTS)
    for target in ("~nouser/x", "odd/\ud800", place / "inside", f"{place}/deep/../deeper/copy"):
        with pytest.raises(InputError):
            memory.backup(target)
    assert not (place / "inside").exists()
    (place.parent / "link").symlink_to(place)
    with pytest.raises(InputError, match="own folder"):
        memory.backup(place.parent / "link" / "copy")


def test_nothing_is_overwritten(memory: Memory, tmp_path: Path) -> None:
    memory.add(TEXTS)
    for target in targets(tmp_path):
        with pytest.raises(InputError):
            memory.backup(target)  # type: ignore[arg-type]
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "notes.txt").read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "full", "store"]


def test_a_failed_backup_leaves_nothing(memory: Memory, tmp_path: Path) -> None:
    memory.add(TEXTS)

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise StopError

    with pytest.raises(StopError):
        memory.backup(tmp_path / "copy", on_progress=stop)
    with pytest.raises(StoreUnwritableError):
        memory.backup("/proc/nowhere/copy")
    assert not (tmp_path / "copy").exists()
    memory.add("life goes on")


def test_of_a_scope_there_is_no_backup(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="everybody"):
        memory.scoped(user_id="ana").backup(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_asyncio(place: Path, tmp_path: Path, model: ModelBundle) -> None:
    async def main() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.add(TEXTS)
            assert (await memory.backup(tmp_path / "copy")).memories == 20

    asyncio.run(main())
    assert texts_in(tmp_path / "copy", model) == TEXTS


def test_the_command(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", "I booked the 9:40 train to Lyon.")
    target = tmp_path / "copy"
    made = json.loads(cli.ok("backup", target, "--json"))
    assert (made["memories"], made["path"]) == (1, str(target))
    assert "1 memory copied to" in cli.ok("backup", tmp_path / "another")
    assert cli.ok("backup", tmp_path / "third", "--quiet").strip() == str(tmp_path / "third")
    assert "Lyon" in cli.ok("recall", "train", "--store", target)
    assert "exists already" in cli.error(3, "backup", target)
    assert "no store" in cli.error(4, "backup", tmp_path / "x", "--store", tmp_path / "nowhere")
