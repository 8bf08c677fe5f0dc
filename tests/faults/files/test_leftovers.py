"""A killed export, backup or save of the index left its partial file for ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle
from agentmem_storage.claims import claimed, remove_abandoned, remove_scratch
from tests.support.cli import Cli

# An export and a backup that stop half way, until the process is killed.
_STUCK = """
import sys, threading, time
from agentmem import Memory
from agentmem.testing import tiny_model

place, archive, folder = sys.argv[1:]
memory = Memory(place, model=tiny_model())
memory.add([f"note {n}" for n in range(20)])
begun = threading.Semaphore(0)

def stay(*_):
    begun.release()
    time.sleep(600)

for verb, target in ((memory.export, archive), (memory.backup, folder)):
    threading.Thread(target=verb, args=(target,), kwargs={"on_progress": stay}, daemon=True).start()
begun.acquire()
begun.acquire()
print("begun", flush=True)
time.sleep(600)
"""


@contextmanager
def stuck(place: Path, archive: Path, folder: Path) -> Iterator[None]:
    """A process that is in the middle of both, and is killed at the end."""
    command = [sys.executable, "-c", _STUCK, *map(str, (place, archive, folder))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield
        finally:
            process.kill()


def names(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


def test_a_killed_export_and_backup_are_cleared_by_the_next(
    place: Path, tmp_path: Path, model: ModelBundle
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    archive, folder, other = target / "all.amem", target / "backup", target / "all.amem.old"
    with stuck(place, archive, folder), Memory(place, model=model) as memory:
        before = names(target)
        assert len(before) == 2
        # While it lives, both are left alone.
        with pytest.raises(InputError, match="exists already"):
            memory.backup(folder)
        memory.export(other)
        remove_scratch(archive, ".partial")
        assert names(target) == {*before, other.name}
    assert {"memory.db.partial", "memory.db"} & names(folder) == {"memory.db.partial"}
    with Memory(place, model=model) as memory:
        memory.export(archive)
        memory.backup(folder)
    assert names(target) == {archive.name, folder.name, other.name}
    assert names(folder) == {"memory.db"}
    with Memory(folder, model=model, create=False) as memory:
        assert memory.count() == 20


def test_what_is_no_leftover_of_a_backup_is_kept(memory: Memory, tmp_path: Path) -> None:
    memory.add("tea")
    for number, extra in enumerate(("notes.txt", "memory.db", "keys.db")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / extra).write_text("mine")
        if extra != "keys.db":
            (folder / "memory.db.partial").write_text("half")
        before = names(folder)
        with pytest.raises(InputError, match="exists already"):
            memory.backup(folder)
        assert names(folder) == before


def test_garbage_collection_clears_what_a_killed_save_left(place: Path, model: ModelBundle) -> None:
    with Memory(place, model=model) as memory:
        memory.add("tea")
        memory.reindex()
        (cache,) = [one for one in (place / "index").iterdir() if one.is_file()]
        stray = cache.with_name(f"{cache.name}.abcd1234.tmp")
        stray.write_bytes(b"half")
        memory.gc(dry_run=True)
        assert stray.exists()
        memory.gc()
        assert not stray.exists()
        stray.write_bytes(b"half")

    async def collect() -> None:
        async with AsyncMemory(place, model=model) as memory:
            await memory.gc()

    asyncio.run(collect())
    assert not stray.exists()


def test_so_does_the_command(tmp_path: Path) -> None:
    cli = Cli(tmp_path / "cli")
    cli.ok("add", "tea")
    cli.ok("reindex")
    (cache,) = [one for one in (cli.store / "index").iterdir() if one.is_file()]
    stray = cache.with_name(f"{cache.name}.abcd1234.tmp")
    stray.write_bytes(b"half")
    cli.ok("gc")
    assert not stray.exists()
    target = tmp_path / "all.amem"
    partial = tmp_path / f".{target.name}.abcd1234.partial"
    partial.write_bytes(b"half")
    cli.ok("export", target)
    assert not partial.exists()


def test_an_increment_clears_what_a_killed_one_left(memory: Memory, tmp_path: Path) -> None:
    memory.add("tea")
    memory.backup(tmp_path / "first")
    memory.add("figs")
    memory.backup(tmp_path / "second")
    killed = tmp_path / ".second.abcd1234"
    killed.mkdir()
    (killed / "half").write_bytes(b"half")
    Memory.increment(tmp_path / "second", base=tmp_path / "first")
    assert not killed.exists()


def test_only_what_nobody_writes_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "a.amem"
    mine, others = tmp_path / ".a.amem.abcd1234.partial", tmp_path / ".a.amem.b.abcd1234.partial"
    for file in (mine, others):
        file.write_bytes(b"half")
    with claimed(mine) as ours:
        assert ours
        assert not remove_abandoned(mine)
        remove_scratch(target, ".partial")
        assert mine.exists()
    remove_scratch(target, ".partial")
    assert (mine.exists(), others.exists()) == (False, True)
    link = tmp_path / ".a.amem.abcd1235.partial"
    link.symlink_to(others)
    remove_scratch(target, ".partial")
    assert (link.is_symlink(), others.exists()) == (True, True)
    with claimed(tmp_path / "gone") as ours:
        assert not ours
