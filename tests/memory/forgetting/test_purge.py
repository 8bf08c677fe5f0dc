"""Purging later: what is forgotten is in no result, and its bytes leave the files when told so."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentmem import AsyncMemory, Memory
from agentmem.errors import InputError
from agentmem.models.bundle.load import ModelBundle
from tests.support.cli import Cli, bundle

SECRET = "xylophonist"
KEPT = "The tide is low at noon."


def left(folder: Path) -> list[str]:
    """The files of a store that have a byte of the word, whatever its case."""
    return [
        file.name
        for file in sorted(folder.rglob("*"))
        if file.is_file() and SECRET.encode() in file.read_bytes().lower()
    ]


def filled(folder: Path, model: ModelBundle, **options: object) -> Memory:
    memory = Memory(folder, model=model, keep_text=True, **options)  # type: ignore[arg-type]
    memory.add([f"The {SECRET} plays on day {number}." for number in range(40)], user_id="ana")
    memory.add(KEPT, user_id="ana")
    return memory


def test_forgotten_memories_are_gone_at_once_and_their_bytes_when_purged(
    tmp_path: Path, model: ModelBundle
) -> None:
    with filled(tmp_path / "s", model, purge="later") as memory:
        receipt = memory.forget([hit.id for hit in memory.recall(SECRET, k=50, mode="lexical")])
        assert len(receipt.ids) == 40
        assert not receipt.purged
        assert [hit.text for hit in memory.recall(SECRET)] == [KEPT]
        assert not len(memory.recall(SECRET, mode="lexical"))
        assert memory.verify().ok
        assert left(tmp_path / "s")
        assert memory.purge()
        assert left(tmp_path / "s") == []
        assert memory.purge()
        assert memory.verify().ok
        assert [chunk.text for chunk in memory.list()] == [KEPT]


def test_scores_do_not_depend_on_it(tmp_path: Path, model: ModelBundle) -> None:
    found = []
    for purge in ("now", "later"):
        with filled(tmp_path / purge, model, purge=purge) as memory:
            memory.add("Noon is when the tide turns, says the almanac.", user_id="ana")
            memory.forget([hit.id for hit in memory.recall(SECRET, k=50, mode="lexical")])
            hits = memory.recall("tide at noon", user_id="ana", mode="lexical")
            found.append([(hit.text, hit.score) for hit in hits])
    assert found[0] == found[1]
    assert len(found[0]) == 2


@pytest.mark.parametrize("verb", ["update", "gc", "add"])
def test_every_verb_that_erases_leaves_it_for_later(
    tmp_path: Path, model: ModelBundle, verb: str
) -> None:
    now = [datetime(2026, 5, 1, tzinfo=UTC)]
    with Memory(
        tmp_path / "s", model=model, keep_text=True, purge="later", clock=lambda: now[0]
    ) as memory:
        memory.add(SECRET, id="one", ttl=60 if verb == "gc" else None)
        if verb == "update":
            memory.update(next(iter(memory.list())).id, text=KEPT)
        elif verb == "gc":
            now[0] += timedelta(days=1)
            assert len(memory.gc().ids) == 1
        else:
            memory.add(KEPT, id="one")
        assert left(tmp_path / "s")
        assert memory.purge()
        assert left(tmp_path / "s") == []


def test_whoever_opens_the_store_otherwise_purges(tmp_path: Path, model: ModelBundle) -> None:
    with filled(tmp_path / "s", model, purge="later") as memory:
        memory.forget(user_id="ana")
    with Memory(tmp_path / "s", model=model, purge="later") as memory:
        assert memory.count() == 0
        assert left(tmp_path / "s")
    with Memory(tmp_path / "s", model=model):
        assert left(tmp_path / "s") == []


def test_another_process_that_forgets_purges_for_all(tmp_path: Path, model: ModelBundle) -> None:
    with filled(tmp_path / "s", model, purge="later") as later:
        with Memory(tmp_path / "s", model=model) as now:
            later.forget([hit.id for hit in later.recall(SECRET, k=50, mode="lexical")][:30])
            assert now.forget(user_id="ana").purged
        assert left(tmp_path / "s") == []
        assert later.count() == 0


def test_a_backup_has_no_byte_of_what_was_forgotten(tmp_path: Path, model: ModelBundle) -> None:
    with filled(tmp_path / "s", model, purge="later") as memory:
        memory.forget([hit.id for hit in memory.recall(SECRET, k=50, mode="lexical")])
        memory.backup(tmp_path / "copy")
        memory.export(tmp_path / "out.amem")
    assert left(tmp_path / "copy") == []


def test_bytes_stay_while_another_process_reads_an_older_state(
    tmp_path: Path, model: ModelBundle
) -> None:
    with filled(tmp_path / "s", model, purge="later", timeout_s=0.05) as memory:
        with closing(sqlite3.connect(tmp_path / "s" / "memory.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM chunks").fetchone()
            memory.forget(user_id="ana")
            assert not memory.purge()
            assert left(tmp_path / "s")
        assert memory.purge()
        assert left(tmp_path / "s") == []


def test_the_command_purges(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    cli.ok("add", f"The {SECRET} plays.")
    with Memory(cli.store, model=bundle(), purge="later") as memory:
        assert not memory.forget(where={"role": "user"}).purged
    assert cli.json("purge") == {"purged": True}
    assert cli.ok("purge", "--quiet") == ""
    assert "no byte of what was forgotten is left" in cli.ok("purge")


def test_it_can_be_awaited(tmp_path: Path, model: ModelBundle) -> None:
    async def forget() -> bool:
        async with AsyncMemory(
            tmp_path / "s", model=model, keep_text=True, purge="later"
        ) as memory:
            await memory.add(SECRET)
            receipt = await memory.forget(where={"role": "user"})
            return not receipt.purged and await memory.purge()

    assert asyncio.run(forget())
    assert left(tmp_path / "s") == []


def test_another_time_or_a_scoped_handle_is_refused(tmp_path: Path, model: ModelBundle) -> None:
    with pytest.raises(InputError, match="'now' or 'later', got 'never'"):
        Memory(tmp_path / "s", model=model, purge="never")  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()
    with (
        Memory(tmp_path / "s", model=model) as memory,
        pytest.raises(InputError, match=r"purge\(\) is for the complete store"),
    ):
        memory.scoped(user_id="ana").purge()


def _forget_until_killed(folder: Path, model: ModelBundle, forgot: Callable[[], None]) -> None:
    memory = Memory(folder, model=model, keep_text=True, purge="later")
    memory.forget(where={"user_id": "ana"})
    forgot()
    while True:
        memory.add(f"{SECRET} again", user_id="bob")
        memory.forget(user_id="bob")


def test_what_a_killed_process_left_is_purged_when_the_store_is_opened(
    tmp_path: Path, model: ModelBundle
) -> None:
    filled(tmp_path / "s", model).close()
    fork = multiprocessing.get_context("fork")
    forgot = fork.Event()
    child = fork.Process(target=_forget_until_killed, args=(tmp_path / "s", model, forgot.set))
    child.start()
    assert forgot.wait(240)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    with Memory(tmp_path / "s", model=model) as memory:
        assert memory.count(user_id="ana") == 0
        if memory.count():
            memory.forget(user_id="bob")
        assert left(tmp_path / "s") == []
        assert memory.verify().ok
